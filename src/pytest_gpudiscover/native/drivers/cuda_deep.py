"""CUDA, deep: put a device to work, and see whether it did what it was told.

A kernel computes a different word at every place of a buffer, and each is compared with what the host
computes. That passes only if the driver makes a context, compiles, allocates, executes and copies.
"""

from __future__ import annotations

import ctypes
from contextlib import ExitStack
from ctypes import byref

from pytest_gpudiscover.native.drivers.deep import FACTOR, UNTOUCHED, WORD, afterwards, compare, word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pytest_gpudiscover.native.drivers.cuda_api import Cuda

THREADS, BLOCKS = 256, 64
WORDS = THREADS * BLOCKS

_KERNEL = """\
.version 6.0
.target {target}
.address_size 64

.visible .entry number_words(.param .u64 words, .param .u32 summand)
{{
    .reg .b32 %place, %block, %size, %word, %start;
    .reg .b64 %address, %offset;

    ld.param.u64 %address, [words];
    ld.param.u32 %start, [summand];
    cvta.to.global.u64 %address, %address;
    mov.u32 %block, %ctaid.x;
    mov.u32 %size, %ntid.x;
    mov.u32 %place, %tid.x;
    mad.lo.u32 %place, %block, %size, %place;
    mul.lo.u32 %word, %place, {factor};
    add.u32 %word, %word, %start;
    mul.wide.u32 %offset, %place, 4;
    add.u64 %address, %address, %offset;
    st.global.u32 [%address], %word;
    ret;
}}
"""


def kernel(compute: tuple[int, int]) -> bytes:
    """The kernel as PTX text, which the driver compiles for the device.

    PTX 6.0 is CUDA 9.0's. Text for an old target runs on every later one, so cards before Maxwell get
    Kepler's, and all others Maxwell's, which drivers will know for longer.

    Args:
        compute: the device's compute capability.
    """
    target = "sm_50" if compute >= (5, 0) else "sm_30"
    return _KERNEL.format(target=target, factor=f"{FACTOR:#x}").encode()


def compute_and_compare(cuda: Cuda, device: int, compute: tuple[int, int]) -> int:
    """Run the kernel on a device and compare its result; everything it took is given back.

    Args:
        cuda: the loaded library.
        device: the device's handle.
        compute: its compute capability.

    Returns:
        the device's free memory in bytes, as the driver counts it with our own context in place.

    Raises:
        DeviceError: a call failed, or what came back is not what was asked for.
    """
    with ExitStack() as cleanup:
        _enter_context(cuda, device, cleanup)
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        cuda.cuMemGetInfo(byref(free), byref(total))
        expected = [word(place) for place in range(WORDS)]
        compare(_computed(cuda, kernel(compute), cleanup), expected, "a kernel computes wrong")
    return free.value


def _enter_context(cuda: Cuda, device: int, cleanup: ExitStack) -> None:
    context = ctypes.c_void_p()
    cuda.cuDevicePrimaryCtxRetain(byref(context), device)
    afterwards(cleanup, cuda.cuDevicePrimaryCtxRelease, device)
    cuda.cuCtxPushCurrent(context)
    afterwards(cleanup, cuda.cuCtxPopCurrent, byref(ctypes.c_void_p()))


def _computed(cuda: Cuda, text: bytes, cleanup: ExitStack) -> bytes:
    size = WORDS * 4
    words = ctypes.create_string_buffer(bytes([UNTOUCHED]) * size, size)
    memory = ctypes.c_uint64()
    cuda.cuMemAlloc(byref(memory), size)
    afterwards(cleanup, cuda.cuMemFree, memory)
    cuda.cuMemcpyHtoD(memory, words, size)
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    cuda.cuModuleLoadData(byref(module), text)
    afterwards(cleanup, cuda.cuModuleUnload, module)
    cuda.cuModuleGetFunction(byref(function), module, b"number_words")
    given = (memory, ctypes.c_uint32(WORD))
    arguments = (ctypes.c_void_p * len(given))(*map(ctypes.addressof, given))
    cuda.cuLaunchKernel(function, BLOCKS, 1, 1, THREADS, 1, 1, 0, None, arguments, None)
    cuda.cuCtxSynchronize()
    cuda.cuMemcpyDtoH(words, memory, size)
    return words.raw
