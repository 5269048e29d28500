"""Which variants list a card, which of them fail on it, and the machine that some cards make.

All of it follows from what a card is (`fake_runner.profiles`) and from what each build of the libraries has
kernels for (`BUILDS`). docs/profiles.md gives the sources.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fake_runner.profiles import PROFILES, Profile
from pytest_gpudiscover.errors import HostFileError

__all__ = ["BUILDS", "PROFILES", "USUAL_VARIANTS", "Build", "Profile", "document_of"]

_JETSON = "cuda_jetpack"


@dataclass(frozen=True, kw_only=True)
class Build:
    """What one variant's libraries were built for.

    A binary for one compute capability also runs on a higher minor of the same major. PTX is compiled by the
    driver for whatever is at least as new (NVIDIA, "Blackwell Compatibility Guide", 1.2). ROCm's binaries run
    on their own target only.

    Attributes:
        library: `CUDA`, `ROCm`, `Vulkan` or `Metal`.
        binaries: the capabilities (`8.9`) or targets (`gfx1030`) that it has binaries for; () for a library
            that compiles everything on the machine.
        ptx: the oldest capability that it has PTX for; "" for none.
    """

    library: str
    binaries: tuple[str, ...] = ()
    ptx: str = ""

    def supports(self, profile: Profile) -> bool:
        """Whether it has code that runs on this card."""
        if self.library == "ROCm":
            return profile.compute in self.binaries
        if self.library != "CUDA":
            return True
        major, minor = card = _capability(profile.compute)
        return bool(self.ptx and card >= _capability(self.ptx)) or any(
            major == other[0] and minor >= other[1] for other in map(_capability, self.binaries)
        )


_CUDA_12_BINARIES = ("5.0", "6.0", "6.1", "7.0", "7.5", "8.0", "8.6", "8.7", "8.9", "9.0")
_ROCM_6_TARGETS = (
    *("gfx900", "gfx906", "gfx908", "gfx90a", "gfx940", "gfx941", "gfx942", "gfx1010", "gfx1012", "gfx1030"),
    *("gfx1100", "gfx1101", "gfx1102", "gfx1151", "gfx1200", "gfx1201"),
)
_ROCM_7_TARGETS = (
    *("gfx908", "gfx90a", "gfx942", "gfx950", "gfx1010", "gfx1012", "gfx1030", "gfx1100", "gfx1101"),
    *("gfx1102", "gfx1103", "gfx1150", "gfx1151", "gfx1200", "gfx1201"),
)

BUILDS = {
    "cuda_v13": Build(library="CUDA", ptx="7.5"),
    "cuda_v12_8": Build(library="CUDA", binaries=(*_CUDA_12_BINARIES, "12.0"), ptx="5.0"),
    "cuda_v12": Build(library="CUDA", binaries=_CUDA_12_BINARIES),
    "cuda_v11": Build(
        library="CUDA", binaries=("5.0", "5.2", "5.3", "6.0", "6.1", "7.0", "7.5", "8.0", "8.6"), ptx="5.0"
    ),
    "cuda_jetpack6": Build(library="CUDA", binaries=("8.7",)),
    "cuda_jetpack5": Build(library="CUDA", binaries=("7.2", "8.7")),
    "rocm_v7_2": Build(library="ROCm", binaries=_ROCM_7_TARGETS),
    "rocm": Build(library="ROCm", binaries=_ROCM_6_TARGETS),
    "vulkan": Build(library="Vulkan"),
    "": Build(library="Metal"),
}
"""The variants that a simulated machine can have, by name.

`cuda_v12` is one without PTX from before CUDA 12.8, the first with code for Blackwell; `cuda_v12_8` is one
like Ollama's since 0.5.13. The variant `""` is what a runner shows that has everything built in.
"""

USUAL_VARIANTS = ("cuda_v13", "cuda_v12", "cuda_jetpack6", "rocm", "vulkan", "")
"""The variants of a machine unless it says otherwise; one that lists nothing is left out."""

_Named = Sequence[tuple[str, Profile]]
_Known = TypeVar("_Known")


def document_of(
    names: Iterable[str],
    *,
    variants: Sequence[str] = USUAL_VARIANTS,
    pci_ids: Sequence[str] = (),
) -> dict[str, Any]:
    """The host file of a machine with these cards. They are called `gpu0`, `gpu1` and so on.

    Args:
        names: of `PROFILES`.
        variants: of `BUILDS`: the libraries that the machine has.
        pci_ids: where the cards are; default: bus 1, 2 and so on.

    Raises:
        HostFileError: there is no profile, or no variant, of that name.
    """
    cards = [(f"gpu{n}", _named("card", name, PROFILES)) for n, name in enumerate(names)]
    builds = {name: _named("variant", name, BUILDS) for name in variants}
    pci_ids = pci_ids or [f"0000:{n + 1:02x}:00.0" for n in range(len(cards))]
    listed = {
        name: [card for card in cards if _lists(name, build, card[1])] for name, build in builds.items()
    }
    return {
        "gpu": [_gpu(name, profile, pci_id) for (name, profile), pci_id in zip(cards, pci_ids, strict=True)],
        "variant": {name: _variant(builds[name], seen) for name, seen in listed.items() if seen},
        "fault": [
            {"name": "crash_deep", "variant": variant, "device": name, "signal": "ABRT"}
            for variant, seen in listed.items()
            for name, profile in seen
            if not builds[variant].supports(profile)
        ],
    }


def _named(kind: str, name: str, known: Mapping[str, _Known]) -> _Known:
    if name not in known:
        names = ", ".join(each or repr(each) for each in known)
        raise HostFileError(f"no {kind} is called {name!r}; there is: {names}")
    return known[name]


def _gpu(name: str, profile: Profile, pci_id: str) -> dict[str, Any]:
    # Neither Metal nor the CUDA of a Jetson board gives an address on a PCI bus.
    on_a_bus = profile.vendor != "Apple" and not profile.jetson
    return {"name": name, **profile.figures, "pci_id": pci_id if on_a_bus else ""}


def _variant(build: Build, seen: _Named) -> dict[str, Any]:
    return {"library": build.library, "devices": [_view(build.library, *card) for card in seen]}


def _view(library: str, name: str, profile: Profile) -> Any:
    if library == "Vulkan" and profile.vulkan != profile.description:
        return {"gpu": name, "description": profile.vulkan}
    return name


def _lists(variant: str, build: Build, profile: Profile) -> bool:
    """Whether a runner of this variant lists the card: its driver does, whatever the build has code for."""
    match build.library:
        case "CUDA":
            return profile.vendor == "NVIDIA" and profile.jetson == variant.startswith(_JETSON)
        case "ROCm":
            return profile.vendor == "AMD"
        case "Metal":
            return profile.vendor == "Apple"
        case _:
            return bool(profile.vulkan)


def _capability(text: str) -> tuple[int, int]:
    major, minor = text.split(".")
    return int(major), int(minor)
