"""NVML: how much of a card's memory is free, without a context on it, which would cost some of that memory.

Facts are from NVIDIA's NVML API reference. The library comes with the driver, and is optional: whatever it
refuses is simply not known. Through `ctypes`, because a probe runs without site-packages.
"""

from __future__ import annotations

import ctypes
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIBRARIES = {
    "linux": ("libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1"),
    "win32": ("nvml.dll",),
}


class Memory(ctypes.Structure):
    """A card's memory in bytes: `nvmlMemory_t`."""

    _fields_ = (("total", ctypes.c_uint64), ("free", ctypes.c_uint64), ("used", ctypes.c_uint64))


@contextmanager
def free_memory(platform: str) -> Iterator[Callable[[str, str], int | None]]:
    """Open NVML for as long as the block lasts.

    Yields:
        a function from a device's UUID (`GPU-...` or `MIG-...`, "" where it has none) and its PCI id to its
        free memory in bytes; None where NVML does not know, as on cards that share the system's memory, and
        everywhere without NVML. Never by position: NVML counts cards in another order than CUDA.
    """
    library = _load(platform)
    if library is None or not _succeeds(library, "nvmlInit_v2"):
        yield lambda _uuid, _pci_id: None
        return
    try:
        yield lambda uuid, pci_id: _free(library, uuid, pci_id)
    finally:
        _succeeds(library, "nvmlShutdown")


def _load(platform: str) -> ctypes.CDLL | None:
    for name in LIBRARIES.get(platform, ()):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def _succeeds(library: ctypes.CDLL, name: str, *arguments: object) -> bool:
    """Call a function; one that is missing does not succeed either."""
    function = getattr(library, name, None)
    return function is not None and function(*arguments) == 0


def _free(library: ctypes.CDLL, uuid: str, pci_id: str) -> int | None:
    handle, memory = ctypes.c_void_p(), Memory()
    finder, key = ("ByUUID", uuid) if uuid else ("ByPciBusId_v2", pci_id)
    found = _succeeds(library, f"nvmlDeviceGetHandle{finder}", key.encode(), ctypes.byref(handle))
    if not found or not _succeeds(library, "nvmlDeviceGetMemoryInfo", handle, ctypes.byref(memory)):
        return None
    free: int = memory.free
    return free
