"""What somebody needs of a machine, and which of its devices meet it.

Pure: devices in, devices and reasons in words out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.errors import RequirementError
from pytest_gpudiscover.text import count, exact_unit, in_unit, parse_size, printable

GRAMMAR = "[COUNTx][LIBRARY][>=SIZE][@COMPUTE]"
"""How a requirement is written: `2`, `CUDA`, `2xROCm>=16GiB`, `CUDA@8.0`."""

_WORD = "[a-z][a-z0-9_.-]+"
_WRITTEN = re.compile(
    rf"""(?: (?P<count>[0-9]{{1,6}}) \ ? (?: x | (?=[>@]|\Z) ) )? \ ?
    (?P<library>{_WORD}(?:\ {_WORD})*)? \ ? (?: >= (?P<memory>[^>@]*) )? (?: @ (?P<compute>[^>@]*) )?""",
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)
_LIBRARIES = {name.lower(): name for name in ("CUDA", "ROCm", "Vulkan", "Metal", "Level Zero")}

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

    @classmethod
    def parse(cls, text: str) -> Requirement:
        """Read what somebody wrote in short: `2xCUDA>=16GiB@8.0`.

        Every part may be left out, but not all of them. Case does not count, and blanks between the parts do
        not either. A library may have any name, since a runner may call it anything.

        Raises:
            RequirementError: it cannot be read.
        """
        tidy = " ".join(text.split())
        match = _WRITTEN.fullmatch(tidy)
        if not match or not tidy:
            raise _unreadable(text)
        library, memory, compute = match.group("library", "memory", "compute")
        try:
            return cls(
                count=_positive(match.group("count") or "1"),
                library=_LIBRARIES.get(library.lower(), library) if library else None,
                min_memory=None if memory is None else parse_size(memory),
                min_compute=None if compute is None else Compute.parse(compute),
            )
        except RequirementError as error:
            raise _unreadable(text, f"{error}; ") from error

    @classmethod
    def parse_all(cls, text: str) -> tuple[Requirement, ...]:
        """Read several, between commas: `1xCUDA, 1xROCm`. Which devices each may have: `unserved`.

        Raises:
            RequirementError: one of them cannot be read.
        """
        return tuple(cls.parse(part) for part in text.split(","))

    @property
    def written(self) -> str:
        """It in short, as `parse` reads it: `2xCUDA>=16GiB@8.0`."""
        kind = self.library or ""
        if self.min_memory is not None:
            number, unit = self._memory(self.min_memory, up=True).split()
            kind += f">={number.removesuffix('.0')}{unit}"
        if self.min_compute:
            kind += f"@{self.min_compute.text}"
        return f"{self.count}x{kind}" if kind else str(self.count)

    def __str__(self) -> str:
        extras = [
            f"of {self._memory(self.min_memory, up=True)} or more" if self.min_memory is not None else "",
            f"with compute {self.min_compute.text} or higher" if self.min_compute else "",
        ]
        kind = f"{printable(self.library, 60)} device" if self.library else "device"
        return " ".join([count(self.count, kind), *(extra for extra in extras if extra)])

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
        fitting = self.selected(devices)
        if len(fitting) >= self.count:
            return []
        needed = f"needed: {self}; usable: {len(fitting)} of {count(len(devices), 'device')}"
        if fitting and len(fitting) == len(devices):
            return [needed, f"fitting: {', '.join(map(_named, fitting))}"]
        lacking = [(device, self.shortcomings(device)) for device in devices]
        return [needed, *(f"{_named(device)}: {', '.join(lacks)}" for device, lacks in lacking if lacks)]


def _named(device: DeviceInfo) -> str:
    name = printable(device.description or device.name, 60)
    return f"{printable(device.library)} {printable(device.id, 60)} ({name})"


def unserved(requirements: Iterable[Requirement], devices: Sequence[DeviceInfo]) -> list[Requirement]:
    """Of several requirements, those that cannot be met together with those before them.

    Each has devices of its own: `1xCUDA, 1x>=40GiB` needs two devices, whichever of them is which.
    """
    asked, left = list(requirements), []
    fitting = [[n for n, device in enumerate(devices) if not one.shortcomings(device)] for one in asked]
    holders: dict[int, int] = {}
    for mine, requirement in enumerate(asked):
        tried = dict(holders)
        if all(_place(mine, fitting, tried, set()) for _ in range(requirement.count)):
            holders = tried
        else:
            left.append(requirement)
    return left


def _place(mine: int, fitting: Sequence[Sequence[int]], holders: dict[int, int], seen: set[int]) -> bool:
    """Give one more device to a requirement; who holds the only one that fits may have to take another."""
    for device in fitting[mine]:
        if device in seen:
            continue
        seen.add(device)
        if device not in holders or _place(holders[device], fitting, holders, seen):
            holders[device] = mine
            return True
    return False


def _positive(digits: str) -> int:
    if not int(digits):
        raise RequirementError("a count of 0 needs nothing")
    return int(digits)


def _unreadable(text: str, problem: str = "") -> RequirementError:
    return RequirementError(
        f"{printable(text, 100)!r} is no requirement: {problem}expected {GRAMMAR}, such as 2xCUDA>=16GiB@8.0"
    )
