"""Cards by name, and the machine that they make.

Memory is the nominal size that the maker gives. What a variant lists, and what of it fails, follows from
the compute capability: CUDA 13 dropped everything before Turing (7.5), builds for CUDA 12 end at Hopper
(9.0), and ROCm's libraries have kernels for some targets only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pytest_gpudiscover.errors import HostFileError
from pytest_gpudiscover.text import GIB

_NVIDIA, _AMD, _INTEL = "NVIDIA", "AMD", "Intel"
_ROCM_TARGETS = (
    *("gfx906", "gfx908", "gfx90a", "gfx942", "gfx1010", "gfx1012", "gfx1030"),
    *("gfx1100", "gfx1101", "gfx1102", "gfx1151", "gfx1200", "gfx1201"),
)
_CUDA_VARIANTS = {"cuda_v13": ((7, 5), (12, 1)), "cuda_v12": ((5, 0), (9, 0))}
"""By variant, the oldest and the newest compute capability that it has kernels for."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One kind of card.

    Attributes:
        description: the product name, as its library reports it.
        vendor: who made the GPU.
        memory: bytes, nominal.
        compute: `8.9` or `gfx1030`; "" where no compute library knows it.
        integrated: whether it shares the system's memory.
    """

    description: str
    vendor: str
    memory: int
    compute: str = ""
    integrated: bool = False


PROFILES = {
    "GTX 1060": Profile(
        description="NVIDIA GeForce GTX 1060 6GB", vendor=_NVIDIA, memory=6 * GIB, compute="6.1"
    ),
    "RTX 2080 Ti": Profile(
        description="NVIDIA GeForce RTX 2080 Ti", vendor=_NVIDIA, memory=11 * GIB, compute="7.5"
    ),
    "RTX 3090": Profile(
        description="NVIDIA GeForce RTX 3090", vendor=_NVIDIA, memory=24 * GIB, compute="8.6"
    ),
    "RTX 4090": Profile(
        description="NVIDIA GeForce RTX 4090", vendor=_NVIDIA, memory=24 * GIB, compute="8.9"
    ),
    "RTX 5090": Profile(
        description="NVIDIA GeForce RTX 5090", vendor=_NVIDIA, memory=32 * GIB, compute="12.0"
    ),
    "A100": Profile(description="NVIDIA A100-SXM4-80GB", vendor=_NVIDIA, memory=80 * GIB, compute="8.0"),
    "H100": Profile(description="NVIDIA H100 80GB HBM3", vendor=_NVIDIA, memory=80 * GIB, compute="9.0"),
    "L4": Profile(description="NVIDIA L4", vendor=_NVIDIA, memory=24 * GIB, compute="8.9"),
    "MI300X": Profile(description="AMD Instinct MI300X", vendor=_AMD, memory=192 * GIB, compute="gfx942"),
    "RX 6700 XT": Profile(
        description="AMD Radeon RX 6700 XT", vendor=_AMD, memory=12 * GIB, compute="gfx1031"
    ),
    "RX 7900 XTX": Profile(
        description="AMD Radeon RX 7900 XTX", vendor=_AMD, memory=24 * GIB, compute="gfx1100"
    ),
    "Radeon 780M": Profile(
        description="AMD Radeon 780M Graphics",
        vendor=_AMD,
        memory=16 * GIB,
        compute="gfx1103",
        integrated=True,
    ),
    "Arc A770": Profile(description="Intel(R) Arc(tm) A770 Graphics", vendor=_INTEL, memory=16 * GIB),
}
"""The cards that `FakeHost.of` knows, by the name it takes."""


def document_of(names: Iterable[str]) -> dict[str, Any]:
    """The host file of a machine with these cards. They are called `gpu0`, `gpu1` and so on.

    Raises:
        HostFileError: there is no profile of that name.
    """
    profiles = [(f"gpu{n}", _profile(name)) for n, name in enumerate(names)]
    variants = {name: devices for name, devices in _variants(profiles) if devices}
    return {
        "gpu": [_gpu(n, name, profile) for n, (name, profile) in enumerate(profiles)],
        "variant": {
            name: {"library": _LIBRARIES[name], "devices": list(ds)} for name, ds in variants.items()
        },
        "fault": [fault for name, profile in profiles for fault in _faults(name, profile)],
    }


_LIBRARIES = {"cuda_v13": "CUDA", "cuda_v12": "CUDA", "rocm": "ROCm", "vulkan": "Vulkan"}
_Named = list[tuple[str, Profile]]


def _profile(name: str) -> Profile:
    if name not in PROFILES:
        raise HostFileError(f"no card is called {name!r}; there is: {', '.join(PROFILES)}")
    return PROFILES[name]


def _gpu(n: int, name: str, profile: Profile) -> dict[str, Any]:
    known = {"compute": profile.compute} if profile.compute else {}
    return known | {
        "name": name,
        "description": profile.description,
        "pci_id": f"0000:{n + 1:02x}:00.0",
        "total_memory": profile.memory,
        "driver": "13.0" if profile.vendor == _NVIDIA else "6.4",
        "integrated": profile.integrated,
    }


def _variants(profiles: _Named) -> Iterable[tuple[str, list[str]]]:
    nvidia = [name for name, profile in profiles if profile.vendor == _NVIDIA]
    yield "cuda_v13", nvidia
    yield "cuda_v12", nvidia
    yield "rocm", [name for name, profile in profiles if profile.vendor == _AMD]
    yield "vulkan", [name for name, _ in profiles]


def _faults(name: str, profile: Profile) -> Iterable[dict[str, str]]:
    """A card that a variant lists and has no kernels for ends the runner when it is initialised deeply."""
    for variant in _unsupported_by(profile):
        yield {"name": "crash_deep", "variant": variant, "device": name, "signal": "ABRT"}


def _unsupported_by(profile: Profile) -> list[str]:
    if profile.vendor == _AMD:
        return [] if profile.compute in _ROCM_TARGETS else ["rocm"]
    if profile.vendor != _NVIDIA:
        return []
    capability = tuple(int(number) for number in profile.compute.split("."))
    return [
        variant for variant, (oldest, newest) in _CUDA_VARIANTS.items() if not oldest <= capability <= newest
    ]
