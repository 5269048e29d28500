"""What is true of a simulated machine, as data: its physical GPUs, and which of them each library means.

Nothing here decides anything, so that oracles can be written with it: of an engine's answer, or of anything
else that is told about GPUs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fake_runner import hosts as host_files
from fake_runner import views
from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.simulation import FakeHost


@dataclass(frozen=True, kw_only=True)
class PhysicalGpu:
    """One GPU that is there, whatever the libraries say of it.

    Attributes:
        name: how the host file calls it (`gpu0`).
        card: which card it is on. Slices of one card share it; so does the card as a whole, when a library
            knows nothing of its slices.
        description: its product name.
        total_memory: bytes.
        free_memory: bytes. On a machine that `hosts` has drawn each GPU has a figure of its own.
        integrated: whether it shares the system's memory.
    """

    name: str
    card: str
    description: str
    total_memory: int
    free_memory: int
    integrated: bool


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One device of a variant's list, and the GPU that is behind it.

    Attributes:
        gpu: the GPU.
        device: what the library says of it, as it stands in the runner's answer.
    """

    gpu: PhysicalGpu
    device: DeviceInfo


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The truth about a machine, and what its libraries say where nothing goes wrong.

    Attributes:
        gpus: what is there, in the order of the host file.
        listed: what each variant lists, variant after variant in the order of the host file.
    """

    gpus: tuple[PhysicalGpu, ...]
    listed: tuple[Listed, ...]

    @classmethod
    def of(cls, host: FakeHost, environment: Mapping[str, str] | None = None) -> Truth:
        """The truth about a machine as it is now.

        Args:
            host: the machine. Its faults change nothing: they are what goes wrong.
            environment: the masks to see it through; default: none.
        """
        now = host.checked()
        gpus = {name: _gpu(gpu) for name, gpu in now.gpus.items()}
        listed = [
            Listed(gpu=gpus[entry.gpu], device=_device(variant.name, entry.wire))
            for variant in now.variants.values()
            for entry in views.listed([variant], environment or {})
        ]
        return cls(gpus=tuple(gpus.values()), listed=tuple(listed))

    def by(self, variant: str) -> tuple[Listed, ...]:
        """What one variant lists."""
        return tuple(each for each in self.listed if each.device.variant == variant)

    def behind(self, device: DeviceInfo) -> PhysicalGpu:
        """The GPU behind a device of a discovery, whatever has become of its id.

        The library's own name for it (`CUDA0`) tells, which no rule looks at.

        Raises:
            LookupError: no variant lists such a device.
        """
        for each in self.listed:
            if (each.device.variant, each.device.library, each.device.name) == (
                device.variant,
                device.library,
                device.name,
            ):
                return each.gpu
        raise LookupError(f"no variant of this machine lists {device!r}")


def _gpu(gpu: host_files.Gpu) -> PhysicalGpu:
    figures: Mapping[str, Any] = gpu.figures
    return PhysicalGpu(
        name=gpu.name,
        card=figures["pci_id"] or gpu.name,
        description=figures["description"],
        total_memory=figures["total_memory"],
        free_memory=figures["free_memory"],
        integrated=figures["integrated"],
    )


def _device(variant: str, wire: Mapping[str, Any]) -> DeviceInfo:
    return DeviceInfo(
        id=wire["id"],
        library=wire["backend"],
        variant=variant,
        name=wire["name"],
        description=wire["description"],
        integrated=wire.get("integration", False),
        pci_id=wire.get("pci_id", ""),
        total_memory=wire["total_memory"],
        free_memory=wire.get("free_memory", 0),
        compute_major=wire["ComputeMajor"],
        compute_minor=wire["ComputeMinor"],
        driver_major=wire.get("driver_major", 0),
        driver_minor=wire.get("driver_minor", 0),
        library_path=tuple(wire["LibraryPath"]),
        index=wire.get("index"),
    )
