"""NVML: what NVIDIA's driver knows of its cards without a context, which would cost some of their memory.

It knows how much memory is free, and it shows every slice of a card that is cut into some (MIG), where CUDA
shows a process one at most.

Facts are from NVIDIA's NVML API reference and its header `nvml.h`. The library comes with the driver, and is
optional: whatever it refuses is simply not known. Through `ctypes`: a probe runs without site-packages, where
a Python package would have to be, and a dozen functions need none.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import contextmanager
from ctypes import byref, c_char, c_int, c_uint, c_uint64, c_void_p, create_string_buffer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LIBRARIES = {
    "linux": ("libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1"),
    "win32": ("nvml.dll",),
}

UNAVAILABLE = -1
"""What stands for a result where there is no library, or where it lacks a function."""
LOST = 15
"""NVML_ERROR_GPU_IS_LOST: the card has fallen off the bus."""

_TEXT_SIZE = 96


class Memory(ctypes.Structure):
    """A card's memory in bytes: `nvmlMemory_t`."""

    _fields_ = (("total", c_uint64), ("free", c_uint64), ("used", c_uint64))


class PciInfo(ctypes.Structure):
    """Where a card is: `nvmlPciInfo_t`. The domain of `bus_id` has eight digits, CUDA's has four."""

    _fields_ = (
        ("bus_id_legacy", c_char * 16),
        ("domain", c_uint),
        ("bus", c_uint),
        ("device", c_uint),
        ("pci_device_id", c_uint),
        ("pci_subsystem_id", c_uint),
        ("bus_id", c_char * 32),
    )


class Attributes(ctypes.Structure):
    """What a slice has of its card: `nvmlDeviceAttributes_t`; eight counts, and its memory in MiB."""

    _fields_ = (("counts", c_uint * 8), ("memory_mib", c_uint64))


class Card:
    """A card, or a slice of one, as NVML knows it; what it refuses to tell is empty, zero or None.

    Attributes:
        id: as CUDA's mask names it: `GPU-...`, for a slice `MIG-...`.
        description: the product name, for a slice with its profile.
        pci_id: `0000:0a:00.0`, for a slice its card's.
        compute: major and minor compute capability, for a slice its card's.
        total_memory: bytes.
        free_memory: bytes; None where it is not known.
        lost: whether the card has fallen off the bus.
        slices: what it is cut into; None for a card that is not in MIG mode, and for a slice.
        placed: for a slice its other name in masks, `MIG-<the card's id>/<GPU instance>/<compute instance>`.
    """

    def __init__(self) -> None:
        self.id = ""
        self.description = ""
        self.pci_id = ""
        self.compute = (0, 0)
        self.total_memory = 0
        self.free_memory: int | None = None
        self.lost = False
        self.slices: list[Card] | None = None
        self.placed = ""


class Nvml:
    """The library for as long as it is open. Without it nothing is known."""

    def __init__(self, library: ctypes.CDLL | None) -> None:
        self._library = library
        self.state = self._call("nvmlInit_v2")

    def close(self) -> None:
        """Close the library, if it could be opened."""
        if not self.state:
            self._call("nvmlShutdown")

    def memory_of(self, uuid: str, pci_id: str) -> tuple[int, Memory]:
        """Ask for the memory of a device that CUDA shows, never by its position: NVML counts otherwise.

        Args:
            uuid: `GPU-...` or `MIG-...`; "" where it has none.
            pci_id: what it is found by then.

        Returns:
            the result, and the figures if that is 0. Cards that share the system's memory have none.
        """
        handle = c_void_p()
        finder, key = ("ByUUID", uuid) if uuid else ("ByPciBusId_v2", pci_id)
        result = self._call(f"nvmlDeviceGetHandle{finder}", key.encode(), byref(handle))
        return (result, Memory()) if result else self._memory(handle)

    def cards(self) -> list[Card]:
        """Every card, in the order of the PCI ids, and with the slices it is cut into.

        Of a card that is lost, often nothing more is known.
        """
        cards = []
        for place in range(self._number("nvmlDeviceGetCount_v2")):
            handle = c_void_p()
            result = self._call("nvmlDeviceGetHandleByIndex_v2", place, byref(handle))
            if result in (0, LOST):
                cards.append(_lost() if result else self._card(handle))
        return cards

    def _memory(self, handle: c_void_p) -> tuple[int, Memory]:
        memory = Memory()
        return self._call("nvmlDeviceGetMemoryInfo", handle, byref(memory)), memory

    def _card(self, handle: c_void_p) -> Card:
        card = self._described(handle)
        card.pci_id = self._pci_id(handle)
        major, minor, mode, pending = c_int(), c_int(), c_uint(), c_uint()
        self._call("nvmlDeviceGetCudaComputeCapability", handle, byref(major), byref(minor))
        card.compute = (major.value, minor.value)
        if not self._call("nvmlDeviceGetMigMode", handle, byref(mode), byref(pending)) and mode.value:
            card.slices = list(self._slices(handle, card))
        return card

    def _slices(self, handle: c_void_p, card: Card) -> Iterator[Card]:
        for place in range(self._number("nvmlDeviceGetMaxMigDeviceCount", handle)):
            found = c_void_p()
            # Places are not used in order: one that is free is no reason to stop.
            if not self._call("nvmlDeviceGetMigDeviceHandleByIndex", handle, place, byref(found)):
                each = self._described(found)
                each.pci_id, each.compute = card.pci_id, card.compute
                instances = [
                    self._number(f"nvmlDeviceGet{kind}InstanceId", found) for kind in ("Gpu", "Compute")
                ]
                each.placed = "/".join(["MIG-" + card.id, *map(str, instances)])
                yield each

    def _described(self, handle: c_void_p) -> Card:
        """What is asked alike of a card and of a slice."""
        each = Card()
        each.id = self._text("nvmlDeviceGetUUID", handle)
        each.description = self._text("nvmlDeviceGetName", handle)
        result, memory = self._memory(handle)
        each.lost = result == LOST
        each.free_memory = None if result else int(memory.free)
        each.total_memory = memory.total or self._attributed_memory(handle)
        return each

    def _attributed_memory(self, handle: c_void_p) -> int:
        """The memory that a slice was cut with, in bytes; 0 for a card."""
        attributes = Attributes()
        self._call("nvmlDeviceGetAttributes_v2", handle, byref(attributes))
        return int(attributes.memory_mib) * 1024 * 1024

    def _pci_id(self, handle: c_void_p) -> str:
        """In lower case, and with a domain of four digits where that is enough, as CUDA writes it."""
        info = PciInfo()
        if self._call("nvmlDeviceGetPciInfo_v3", handle, byref(info)):
            return ""
        text = str(info.bus_id.decode(errors="replace")).lower()
        return text.removeprefix("0000") if text.find(":") == 8 else text

    def _text(self, function: str, handle: c_void_p) -> str:
        text = create_string_buffer(_TEXT_SIZE)
        self._call(function, handle, text, _TEXT_SIZE)
        return text.value.decode(errors="replace")

    def _number(self, function: str, *arguments: object) -> int:
        number = c_uint()
        self._call(function, *arguments, byref(number))
        return number.value

    def _call(self, name: str, *arguments: object) -> int:
        function = getattr(self._library, name, None)
        return UNAVAILABLE if function is None else int(function(*arguments))


def _lost() -> Card:
    card = Card()
    card.description, card.lost = "a GPU without a name", True
    return card


@contextmanager
def opened(platform: str) -> Iterator[Nvml]:
    """Open NVML for as long as the block lasts, or what stands for it where there is none.

    Args:
        platform: as `sys.platform` spells it.
    """
    # What a runner wrote last is shown where it died: NVML may crash or hang as CUDA may.
    sys.stderr.write("NVML is being initialised\n")
    nvml = Nvml(_load(platform))
    sys.stderr.write(f"CUDA goes on {'without' if nvml.state else 'with'} NVML\n")
    try:
        yield nvml
    finally:
        nvml.close()


def _load(platform: str) -> ctypes.CDLL | None:
    for name in LIBRARIES.get(platform, ()):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None
