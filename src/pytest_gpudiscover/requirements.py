"""What somebody needs of a machine, and which of its devices meet it.

Pure: devices in, devices and reasons in words out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.errors import RequirementError
from pytest_gpudiscover.text import count, exact_unit, in_unit, printable

_DOTTED = re.compile(r"([0-9]{1,4})(?:\.([0-9]{1,4}))?", re.ASCII)
_GFX = re.compile(r"gfx([0-9a-f]{1,6})([0-9a-f]{2})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Compute:
    """A compute capability as somebody asked for it: the libraries it belongs to, and how it compares.

    Attributes:
        text: as it was written.
        rocm: whether it is one of ROCm's targets (`gfx1030`); else it is one of the others' (`8.9`).
        level: what is compared, major before minor.
    """

    text: str
    rocm: bool
    level: tuple[int, int]

    @classmethod
    def parse(cls, text: str) -> Compute:
        """Read `8.9`, `9`, or `gfx1030`.

        Raises:
            RequirementError: it is neither.
        """
        if gfx := _GFX.fullmatch(text.strip()):
            return cls(text=text.strip(), rocm=True, level=(int(gfx.group(1), 16), int(gfx.group(2), 16)))
        if dotted := _DOTTED.fullmatch(text.strip()):
            return cls(text=text.strip(), rocm=False, level=(int(dotted.group(1)), int(dotted.group(2) or 0)))
        shown = printable(text)
        raise RequirementError(
            f"{shown!r} is no compute capability: expected one such as 8.9, or gfx1030 for ROCm"
        )

    def met_by(self, device: DeviceInfo) -> bool:
        """Whether a device has at least this capability; one of the other kind of library never has."""
        same_kind = self.rocm == (device.library == "ROCm")
        return same_kind and (device.compute_major, device.compute_minor) >= self.level


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """How many devices of what kind somebody needs.

    Attributes:
        count: how many.
        library: only devices of this library, compared without case; None: any.
        min_memory: bytes of total memory each must have.
        min_compute: the compute capability each must have.
    """

    count: int = 1
    library: str | None = None
    min_memory: int | None = None
    min_compute: Compute | None = None

    def __str__(self) -> str:
        extras = [
            f"of {self._memory(self.min_memory, up=True)} or more" if self.min_memory is not None else "",
            f"with compute {self.min_compute.text} or higher" if self.min_compute else "",
        ]
        devices = count(self.count, f"{self.library} device" if self.library else "device")
        return " ".join([devices, *(extra for extra in extras if extra)])

    def shortcomings(self, device: DeviceInfo) -> list[str]:
        """Say in words what a device lacks; empty when it meets the requirement."""
        found = []
        if self.library is not None and device.library.lower() != self.library.lower():
            found.append(f"its library is {printable(device.library)}")
        if self.min_memory is not None and device.total_memory < self.min_memory:
            found.append(f"it has {self._memory(device.total_memory)}")
        if self.min_compute is not None and not self.min_compute.met_by(device):
            found.append(f"its compute capability is {printable(device.compute) or 'unknown'}")
        return found

    def _memory(self, size: int, *, up: bool = False) -> str:
        # In the one unit that says exactly what is needed; whoever has less, also by a byte, shows less.
        return in_unit(size, exact_unit(self.min_memory or 0), up=up)

    def selected(self, devices: Iterable[DeviceInfo]) -> list[DeviceInfo]:
        """Pick the devices that meet it, however many."""
        return [device for device in devices if not self.shortcomings(device)]

    def unmet(self, devices: Sequence[DeviceInfo]) -> list[str]:
        """Say in words why these devices do not do; empty when they do."""
        fitting = len(self.selected(devices))
        if fitting >= self.count:
            return []
        reasons = [f"needed: {self}; usable: {fitting} of {count(len(devices), 'device')}"]
        for device in devices:
            if lacking := self.shortcomings(device):
                name = printable(device.description or device.name, 60)
                reasons.append(f"{printable(device.library)} {device.id} ({name}): {', '.join(lacking)}")
        return reasons
