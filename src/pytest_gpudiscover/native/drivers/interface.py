"""What a driver module hands back, or raises. No driver, no I/O.

Plain classes: a probe's process should not pay for importing `dataclasses`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class DriverError(Exception):
    """A driver refuses as a whole. The message says what was expected, what came, and what to do."""


class DeviceError(Exception):
    """One device refuses; those beside it are untouched. The message says which call failed, and how."""


class CallError(DeviceError):
    """A function of a driver failed; each library has its own, which says what its results are called.

    Attributes:
        function: its name.
        result: what it answered.
    """

    def __init__(self, function: str, result: int) -> None:
        super().__init__(function, result)
        self.function = function
        self.result = result


def grouped(uuid: bytes) -> str:
    """A UUID of 16 bytes as text, 8-4-4-4-12; "" for zeros, which stand for none."""
    digits = uuid.hex()
    if not digits.strip("0"):
        return ""
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


class Unusable:
    """Why a device is listed and not for use.

    Attributes:
        reason: one word, `cpu` or `unusable`.
        detail: a sentence.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail


class Entry:
    """One device of the answer.

    Attributes:
        id: a UUID, or a number as text where the driver gives none.
        backend: the library, `Vulkan`.
        name: the library's own name for it, `Vulkan0`.
        description: the product name.
        index: the position in the driver's raw enumeration, what a mask by number needs.
        integrated: whether it shares the system's memory.
        pci_id: `0000:01:00.0`, domain:bus:device.function in hexadecimal; "" where unknown.
        total_memory: bytes.
        free_memory: bytes.
        compute: major and minor compute capability; zeros where the library has none.
        driver: major and minor version of the driver; zeros where unknown.
        unusable: why it is not for use; None when it is.
    """

    def __init__(
        self,
        *,
        id: str,  # noqa: A002 - the protocol's word
        backend: str,
        name: str,
        description: str,
        index: int,
        integrated: bool = False,
        pci_id: str = "",
        total_memory: int = 0,
        free_memory: int = 0,
        compute: tuple[int, int] = (0, 0),
        driver: tuple[int, int] = (0, 0),
        unusable: Unusable | None = None,
    ) -> None:
        self.id = id
        self.backend = backend
        self.name = name
        self.description = description
        self.index = index
        self.integrated = integrated
        self.pci_id = pci_id
        self.total_memory = total_memory
        self.free_memory = free_memory
        self.compute = compute
        self.driver = driver
        self.unusable = unusable

    def to_wire(self) -> dict[str, Any]:
        """The entry as the protocol spells it: some keys are left out when they are empty, false or zero."""
        always = {
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "total_memory": self.total_memory,
            "ComputeMajor": self.compute[0],
            "ComputeMinor": self.compute[1],
            "LibraryPath": [],
            "index": self.index,
        }
        unless_empty = {
            "backend": self.backend,
            "integration": self.integrated,
            "pci_id": self.pci_id,
            "free_memory": self.free_memory,
            "driver_major": self.driver[0],
            "driver_minor": self.driver[1],
            "unusable": self.unusable and {"reason": self.unusable.reason, "detail": self.unusable.detail},
        }
        return always | {key: value for key, value in unless_empty.items() if value}
