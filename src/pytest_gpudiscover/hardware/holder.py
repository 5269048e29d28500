"""A program that takes memory of the first GPU it sees: `python -m pytest_gpudiscover.hardware.holder CUDA`.

It says `ready` once it has a context, and then answers each line that it reads with one, figures in bytes:

- `take N`: takes N, and says `took N`;
- `leave N`: takes all but N of what the driver counts as free, as far as it can, and says how much is `left`;
- `give`: gives all back, and says `gave`.

When something fails it says what, and ends. What functions do is from NVIDIA's CUDA driver API reference and
AMD's HIP API reference.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from ctypes import byref, c_size_t
from typing import Any, Protocol

from pytest_gpudiscover.native.drivers import CUDA, ROCM
from pytest_gpudiscover.native.drivers.cuda_api import Cuda
from pytest_gpudiscover.native.drivers.interface import DeviceError, DriverError
from pytest_gpudiscover.native.drivers.loading import load
from pytest_gpudiscover.native.drivers.rocm_hip import Hip

_LARGEST = 1 << 30
_SMALLEST = 2 << 20
"""Bytes of the blocks that are taken: drivers hand memory out in pages of 2 MiB."""


class Memory(Protocol):
    """The memory of one GPU."""

    def free(self) -> int:
        """Bytes that the driver counts as free."""

    def take(self, size: int) -> object:
        """Take so many bytes; what it returns gives them back.

        Raises:
            DeviceError: there are none to be had.
        """

    def give(self, block: Any) -> None:
        """Give back what was taken."""


class CudaMemory:
    """Through CUDA's driver, in the primary context of the first device."""

    def __init__(self) -> None:
        self._cuda = load(CUDA, Cuda)
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self._cuda.cuInit(0)
        self._cuda.cuDeviceGet(byref(device), 0)
        self._cuda.cuDevicePrimaryCtxRetain(byref(context), device)
        self._cuda.cuCtxPushCurrent(context)

    def free(self) -> int:
        """Bytes that the driver counts as free."""
        free, total = c_size_t(), c_size_t()
        self._cuda.cuMemGetInfo(byref(free), byref(total))
        return free.value

    def take(self, size: int) -> ctypes.c_uint64:
        """Take so many bytes."""
        block = ctypes.c_uint64()
        self._cuda.cuMemAlloc(byref(block), size)
        return block

    def give(self, block: ctypes.c_uint64) -> None:
        """Give them back."""
        self._cuda.cuMemFree(block)


class HipMemory:
    """Through HIP, on the first device."""

    def __init__(self) -> None:
        self._hip = load(ROCM, Hip)
        self._hip.hipInit(0)
        self._hip.hipSetDevice(0)
        self.take(_SMALLEST)  # whatever a first block brings along is there before anybody counts

    def free(self) -> int:
        """Bytes that the driver counts as free."""
        free, total = c_size_t(), c_size_t()
        self._hip.hipMemGetInfo(byref(free), byref(total))
        return free.value

    def take(self, size: int) -> ctypes.c_void_p:
        """Take so many bytes."""
        block = ctypes.c_void_p()
        self._hip.hipMalloc(byref(block), size)
        return block

    def give(self, block: ctypes.c_void_p) -> None:
        """Give them back."""
        self._hip.hipFree(block)


KINDS: dict[str, Callable[[], Memory]] = {"CUDA": CudaMemory, "ROCm": HipMemory}
"""By library, how its memory is taken."""


class Holder:
    """What this program holds."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._blocks: list[object] = []

    def take(self, size: int) -> str:
        """Take so many bytes."""
        self._blocks.append(self._memory.take(size))
        return f"took {size}"

    def leave(self, size: int) -> str:
        """Take blocks, smaller and smaller ones, until so many bytes are left, or none can be had."""
        block = _LARGEST
        while (spare := self._memory.free() - size) >= _SMALLEST and block >= _SMALLEST:
            try:
                self._blocks.append(self._memory.take(min(block, spare)))
            except DeviceError:
                block //= 2
        return f"left {self._memory.free()}"

    def give(self) -> str:
        """Give everything back."""
        while self._blocks:
            self._memory.give(self._blocks.pop())
        return "gave"


def main(library: str) -> None:
    """Do what the lines of stdin say, until they end."""
    # Drivers may print on stdout, and must not be taken for us.
    with os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1) as answers:
        os.dup2(2, 1)
        try:
            holder = Holder(KINDS[library]())
            print("ready", file=answers)
            for line in sys.stdin:
                print(_answer(holder, *line.split()), file=answers)
        except (DeviceError, DriverError) as error:
            print(f"failed: {error}", file=answers)


def _answer(holder: Holder, word: str, *size: str) -> str:
    answer: str = getattr(holder, word)(*map(int, size))
    return answer


if __name__ == "__main__":
    main(*sys.argv[1:])
