"""ROCm, deep: put a GPU to work through HIP, and see whether it did what it was told.

HIP fills memory with a kernel of its own, which it has compiled for every GPU that it supports: to fill and
to compare is to run code on the GPU. A kernel of ours would need hiprtc, a compiler of some hundred megabytes
that programs for ROCm do not need, and a GPU without it would be wrongly refused.
"""

from __future__ import annotations

import ctypes
from contextlib import contextmanager, suppress
from ctypes import byref

from pytest_gpudiscover.native.drivers import ROCM
from pytest_gpudiscover.native.drivers.deep import UNTOUCHED, compare, word
from pytest_gpudiscover.native.drivers.interface import DeviceError, DriverError
from pytest_gpudiscover.native.drivers.loading import load
from pytest_gpudiscover.native.drivers.rocm_hip import Hip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gpudiscover.native.drivers.rocm_nodes import Gpu

PARTS, WORDS_PER_PART = 16, 1024
WORDS = PARTS * WORDS_PER_PART
"""Every word of a part is the one that belongs to the part's number."""


class Verifier:
    """Puts GPUs that the kernel lists to work through HIP, which counts in an order of its own."""

    def __init__(self) -> None:
        self._numbers: dict[str, list[int]] = {}
        self._refusal = ""
        self._unplaced = ""
        try:
            self._hip = load(ROCM, Hip)
            self._count()
        except (DriverError, DeviceError) as error:
            self._refusal = f"it cannot be put to work: {error}"

    def fault(self, gpu: Gpu) -> str:
        """Put a GPU to work; say why it is not for use, "" when it is."""
        if self._refusal:
            return self._refusal
        numbers = self._numbers.get(_slot(gpu.pci_id))
        if not numbers:
            return self._unplaced or (
                f"HIP lists no GPU at {gpu.pci_id}: this ROCm may not support {gpu.target_name}; update ROCm,"
                " or name a close relative that it knows in HSA_OVERRIDE_GFX_VERSION"
            )
        try:
            fill_and_compare(self._hip, numbers.pop(0))
        except DeviceError as error:
            return str(error)
        return ""

    def _count(self) -> None:
        count = ctypes.c_int()
        self._hip.hipInit(0)
        self._hip.hipGetDeviceCount(byref(count))
        for number in range(count.value):
            try:
                address = self._hip.text(self._hip.hipDeviceGetPCIBusId, number)
            except DeviceError as error:
                # Which GPU it is nobody knows: it is one of those that are not found.
                self._unplaced = f"it cannot be put to work: {error}"
            else:
                self._numbers.setdefault(_slot(address), []).append(number)


def _slot(pci_id: str) -> str:
    """Domain, bus and device: HIP writes 0 for every function. Parts of one card come in the same order."""
    return pci_id.lower().rpartition(".")[0]


def fill_and_compare(hip: Hip, device: int) -> int:
    """Have a GPU fill memory, part by part with another word, copy it, and compare what comes back.

    Args:
        hip: the loaded library.
        device: the number that HIP counts the GPU by.

    Returns:
        the GPU's free memory in bytes, as HIP counts it.

    Raises:
        DeviceError: a call failed, or what came back is not what was asked for.
    """
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    hip.hipSetDevice(device)
    hip.hipMemGetInfo(byref(free), byref(total))
    expected = [word(place // WORDS_PER_PART) for place in range(WORDS)]
    compare(_filled(hip), expected, "the GPU fills memory wrong")
    return free.value


def _filled(hip: Hip) -> bytes:
    size = WORDS * 4
    words = ctypes.create_string_buffer(bytes([UNTOUCHED]) * size, size)
    with _memory(hip, size) as filled, _memory(hip, size) as copied:
        for memory in (filled, copied):
            hip.hipMemcpyHtoD(memory, words, size)
        for part in range(PARTS):
            start = ctypes.c_void_p(filled + part * WORDS_PER_PART * 4)
            hip.hipMemsetD32(start, ctypes.c_int(word(part)), WORDS_PER_PART)
        hip.hipMemcpyDtoD(copied, filled, size)
        hip.hipDeviceSynchronize()
        hip.hipMemcpyDtoH(words, copied, size)
    return words.raw


@contextmanager
def _memory(hip: Hip, size: int) -> Iterator[int]:
    """The address of so many bytes on the GPU, for as long as the block lasts."""
    memory = ctypes.c_void_p()
    hip.hipMalloc(byref(memory), size)
    try:
        yield memory.value or 0
    except DeviceError:
        with suppress(DeviceError):  # what failed first says more
            hip.hipFree(memory)
        raise
    hip.hipFree(memory)
