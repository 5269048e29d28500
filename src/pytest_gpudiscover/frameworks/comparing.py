"""What a framework says it sees, and how that differs from what it is to see.

Pure: no process here.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_gpudiscover.devices import DeviceInfo, pci_address
from pytest_gpudiscover.text import count, gibibytes, printable

_MEMORY_TOLERANCE = 0.1
"""As a share of the total: what drivers keep for themselves is counted by some, and not by others."""


class Outcome(enum.StrEnum):
    """What became of asking a framework."""

    AGREES = "agrees"
    """It sees the devices that it is to see, all at once in their order and each alone."""
    DIFFERS = "differs"
    """It sees others."""
    FAILED = "failed"
    """It could not be imported or asked, it crashed, or it was not done in time."""
    NO_GPU_SUPPORT = "no_gpu_support"
    """It is built for CPUs."""
    NOT_INSTALLED = "not_installed"
    """It is not on this machine."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One device as a framework describes it; what it does not say is empty.

    Attributes:
        name: the product name.
        uuid: hexadecimal digits, with or without dashes and a prefix.
        pci_id: `0000:01:00.0`; its function counts for nothing, as no framework says it.
        memory: bytes in all; None where unknown.
    """

    name: str = ""
    uuid: str = ""
    pci_id: str = ""
    memory: int | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one process said of one framework.

    Attributes:
        failure: why it said nothing, in words; "" when it answered.
        installed: whether there is such a framework.
        version: its own.
        library: `CUDA` or `ROCm`, what it is built for; "" for CPUs.
        devices: what it sees, in its order.
    """

    failure: str = ""
    installed: bool = True
    version: str = ""
    library: str = ""
    devices: tuple[Seen, ...] = ()

    @classmethod
    def read(cls, document: dict[str, Any]) -> Answer:
        """Read what `program` wrote.

        Raises:
            TypeError: it is no such thing.
        """
        return cls(**{**document, "devices": tuple(Seen(**one) for one in document.get("devices", ()))})


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is to be said of one framework.

    Attributes:
        framework: `torch`, `cupy` or `jax`.
        outcome: one word.
        version: the framework's.
        library: what it is built for; "" for CPUs, and where that is unknown.
        devices: how many devices it was to see.
        problems: what is wrong, a sentence each.
    """

    framework: str
    outcome: Outcome
    version: str = ""
    library: str = ""
    devices: int = 0
    problems: tuple[str, ...] = ()

    @property
    def bad(self) -> bool:
        """Whether it keeps the framework from using what was found."""
        return self.outcome in (Outcome.DIFFERS, Outcome.FAILED)

    def to_json(self) -> dict[str, Any]:
        """The object that `gpudiscover frameworks --json` prints for it."""
        return {
            "framework": self.framework,
            "outcome": str(self.outcome),
            "version": self.version,
            "library": self.library,
            "devices": self.devices,
            "problems": list(self.problems),
        }


def differences(seen: Sequence[Seen], expected: Sequence[DeviceInfo]) -> list[str]:
    """Say how what a framework sees differs from what it is to see; empty when it does not.

    Args:
        seen: in the framework's order.
        expected: in the order of the mask.
    """
    if len(seen) != len(expected):
        names = ", ".join(printable(one.name, 60) or "a device without a name" for one in seen)
        shown = f" ({names})" if names else ""
        return [f"it sees {count(len(seen), 'device')}{shown} where {len(expected)} are shown to it"]
    return [
        f"device {place}: {contradiction}{_elsewhere(one, place, expected)}"
        for place, (one, device) in enumerate(zip(seen, expected, strict=True))
        if (contradiction := next(_contradictions(one, device), ""))
    ]


def _elsewhere(one: Seen, place: int, expected: Sequence[DeviceInfo]) -> str:
    """Say which other device it is."""
    for other, device in enumerate(expected):
        if other != place and next(_contradictions(one, device), None) is None:
            return f"; it is the one that is shown as device {other}"
    return ""


def _contradictions(one: Seen, device: DeviceInfo) -> Iterator[str]:
    # Of ROCm's devices everybody writes other UUIDs and names: HIP has its own for both.
    if device.library == "CUDA":
        if one.uuid and device.id.startswith("GPU-") and _digits(one.uuid) != _digits(device.id):
            yield f"its UUID is {printable(one.uuid, 60)} where {device.id} is shown"
        if one.name and device.description and one.name != device.description:
            yield f"it is called {printable(one.name, 60)!r} where {device.description!r} is shown"
    here, there = pci_address(one.pci_id), pci_address(device.pci_id)
    if here and there and here[:3] != there[:3]:
        yield f"its PCI id is {printable(one.pci_id, 60)} where {device.pci_id} is shown"
    # How much of the system's memory an integrated GPU has is everybody's own figure.
    own = None if device.integrated else one.memory
    if own is not None and not _about(own, device.total_memory):
        yield f"it has {gibibytes(own)} of memory where {gibibytes(device.total_memory)} are shown"


def _digits(uuid: str) -> str:
    return uuid.lower().removeprefix("gpu-").replace("-", "")


def _about(memory: int, total: int) -> bool:
    return abs(memory - total) <= _MEMORY_TOLERANCE * total
