"""What a runner sees of its host: the variant it was pointed at, behind the masks, as entries of the wire.

Pure: the environment is an argument.
"""

from __future__ import annotations

import os

from fake_runner import masks
from fake_runner.hosts import PHASES
from fake_runner.tables import HostError, choices

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fake_runner.hosts import Host, Listing, Variant

WITH_COMPUTE = ("CUDA", "ROCm")
"""The libraries that tell the compute capability and the driver's version; the others have neither."""


class Entry:
    """One device of an answer.

    Attributes:
        gpu: which physical GPU it is, by the name the host file uses.
        wire: the object that goes into the answer.
        position: its place among the visible devices of its library; None for one that is made up.
    """

    __slots__ = ("gpu", "position", "wire")

    def __init__(self, gpu: str, wire: dict[str, object], position: int | None = None) -> None:
        self.gpu = gpu
        self.wire = wire
        self.position = position


class Probe:
    """How a runner was started.

    Attributes:
        variant: the variant it was pointed at; "" for none in particular.
        variants: those whose devices it lists: that one, or the newest of each library.
        environment: its variables.
        deep: whether it initialises each device (`GGML_CUDA_INIT=1`).
        phase: what the answer is for: `enumerate`, `verify` or `refresh`.
    """

    __slots__ = ("deep", "environment", "phase", "variant", "variants")

    def __init__(self, host: Host, variant: str, environment: Mapping[str, str]) -> None:
        """Find out what was asked of a runner for `variant` ("": none in particular).

        Raises:
            HostError: `GPUDISCOVER_PHASE` names no phase.
        """
        self.variant = variant if variant in host.variants else ""
        self.variants = (host.variants[variant],) if variant in host.variants else built_in(host)
        self.environment = environment
        self.deep = environment.get("GGML_CUDA_INIT") == "1"
        self.phase = environment.get("GPUDISCOVER_PHASE") or ("verify" if self.deep else "enumerate")
        if self.phase not in PHASES:
            raise HostError("GPUDISCOVER_PHASE", f"expected one of {choices(PHASES)}, got {self.phase!r}")


def asked_variant(host: Host, environment: Mapping[str, str]) -> str:
    """The variant that `OLLAMA_LIBRARY_PATH` points at: the name of its last directory, if the host has it.

    "" otherwise: the runner then shows what is built in.
    """
    last = environment.get("OLLAMA_LIBRARY_PATH", "").split(os.pathsep)[-1]
    name = last.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return name if name in host.variants else ""


def built_in(host: Host) -> tuple[Variant, ...]:
    """The newest variant of each library, in the order in which a discovery asks variants: by family."""
    newest: dict[str, Variant] = {}
    for variant in host.variants.values():
        rival = newest.get(variant.library)
        if rival is None or version(variant.name)[1] > version(rival.name)[1]:
            newest[variant.library] = variant
    return tuple(sorted(newest.values(), key=lambda variant: version(variant.name)))


def version(name: str) -> tuple[str, tuple[int, ...]]:
    """Split a variant's name into its family and its version, the trailing run of integers.

    `cuda_v13_1` is (`cuda_v`, (13, 1)), `rocm` is (`rocm`, ()): no version is older than any other.
    """
    family = name.rstrip("0123456789._-") if name[-1:].isdecimal() else name
    numbers = name[len(family) :].replace(".", " ").replace("_", " ").replace("-", " ").split()
    return family, tuple(int(number) for number in numbers)


def listed(variants: Iterable[Variant], environment: Mapping[str, str]) -> list[Entry]:
    """The devices of some variants, each library behind its own masks."""
    return [entry for variant in variants for entry in _listed(variant, environment)]


def _listed(variant: Variant, environment: Mapping[str, str]) -> list[Entry]:
    positions = masks.visible(variant.library, names(variant), environment)
    return [
        Entry(
            variant.devices[index].gpu.name,
            _wire(variant, variant.devices[index], index, position, environment),
            position,
        )
        for position, index in enumerate(positions)
    ]


def names(variant: Variant) -> list[str]:
    """What a mask may call the devices of a variant's raw enumeration, beside their indices."""
    return [str(device.figure("id", device.figure("uuid"))) for device in variant.devices]


def _wire(
    variant: Variant, device: Listing, index: int, position: int, environment: Mapping[str, str]
) -> dict[str, object]:
    """One entry of the answer: `index` is its place in the raw enumeration, `position` among the visible."""
    wire: dict[str, object] = {
        "id": device.figure("id", _id(variant, device, position)),
        "backend": variant.library,
        "name": device.figure("name", f"{variant.library}{position}"),
        "description": device.figure("description"),
        "integration": device.figure("integrated"),
        "pci_id": device.figure("pci_id"),
        "total_memory": device.figure("total_memory"),
        "free_memory": device.figure("free_memory"),
        "LibraryPath": device.figure("library_path", _library_path(environment)),
        "unusable": device.figure("unusable"),
    }
    wire["ComputeMajor"], wire["ComputeMinor"] = _version(variant, device, "compute")
    wire["driver_major"], wire["driver_minor"] = _version(variant, device, "driver")
    wire = {key: value for key, value in wire.items() if value or key not in LEFT_OUT_WHEN_EMPTY}
    return wire | {"index": index} if variant.library == "Vulkan" else wire


LEFT_OUT_WHEN_EMPTY = (
    "backend",
    "integration",
    "pci_id",
    "free_memory",
    "driver_major",
    "driver_minor",
    "unusable",
)


def _id(variant: Variant, device: Listing, position: int) -> str:
    if variant.ids == "number":
        return str(position)
    uuid = str(device.figure("uuid"))
    return uuid.removeprefix("GPU-") if variant.library == "Vulkan" else uuid


def _version(variant: Variant, device: Listing, key: str) -> tuple[int, int]:
    """A version of two numbers: what the view says, else what the GPU says where the library can tell."""
    found = device.figure(key) if variant.library in WITH_COMPUTE else device.overrides.get(key)
    return found if isinstance(found, tuple) else (0, 0)


def _library_path(environment: Mapping[str, str]) -> list[str]:
    """What a runner says it loaded its libraries from: the directories it was pointed at."""
    return [path for path in environment.get("OLLAMA_LIBRARY_PATH", "").split(os.pathsep) if path]
