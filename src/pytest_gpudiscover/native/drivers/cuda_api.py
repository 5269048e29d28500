"""CUDA's driver functions, as many of them as the runner uses, and what their results are called.

Facts are from NVIDIA's CUDA driver API reference and its header `cuda.h`.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint, c_uint8, c_uint64, c_void_p

from pytest_gpudiscover.native.drivers.asking import raising
from pytest_gpudiscover.native.drivers.interface import CallError, DriverError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ATTRIBUTE_INTEGRATED = 18
ATTRIBUTE_COMPUTE_MAJOR = 75
ATTRIBUTE_COMPUTE_MINOR = 76

RESULT_NAMES = {
    1: "CUDA_ERROR_INVALID_VALUE",
    2: "CUDA_ERROR_OUT_OF_MEMORY",
    3: "CUDA_ERROR_NOT_INITIALIZED",
    4: "CUDA_ERROR_DEINITIALIZED",
    34: "CUDA_ERROR_STUB_LIBRARY",
    46: "CUDA_ERROR_DEVICE_UNAVAILABLE",
    100: "CUDA_ERROR_NO_DEVICE",
    101: "CUDA_ERROR_INVALID_DEVICE",
    102: "CUDA_ERROR_DEVICE_NOT_LICENSED",
    201: "CUDA_ERROR_INVALID_CONTEXT",
    209: "CUDA_ERROR_NO_BINARY_FOR_GPU",
    214: "CUDA_ERROR_ECC_UNCORRECTABLE",
    218: "CUDA_ERROR_INVALID_PTX",
    220: "CUDA_ERROR_NVLINK_UNCORRECTABLE",
    221: "CUDA_ERROR_JIT_COMPILER_NOT_FOUND",
    222: "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
    223: "CUDA_ERROR_JIT_COMPILATION_DISABLED",
    304: "CUDA_ERROR_OPERATING_SYSTEM",
    500: "CUDA_ERROR_NOT_FOUND",
    700: "CUDA_ERROR_ILLEGAL_ADDRESS",
    702: "CUDA_ERROR_LAUNCH_TIMEOUT",
    719: "CUDA_ERROR_LAUNCH_FAILED",
    800: "CUDA_ERROR_NOT_PERMITTED",
    801: "CUDA_ERROR_NOT_SUPPORTED",
    802: "CUDA_ERROR_SYSTEM_NOT_READY",
    803: "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
    804: "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE",
    805: "CUDA_ERROR_MPS_CONNECTION_FAILED",
    807: "CUDA_ERROR_MPS_SERVER_NOT_READY",
    999: "CUDA_ERROR_UNKNOWN",
}

_DEVICE, _POINTER, _OBJECT = c_int, c_uint64, c_void_p

SIGNATURES: dict[str, tuple[tuple[str, ...], tuple[Any, ...]]] = {
    "cuInit": (("cuInit",), (c_uint,)),
    "cuDriverGetVersion": (("cuDriverGetVersion",), (POINTER(c_int),)),
    "cuDeviceGetCount": (("cuDeviceGetCount",), (POINTER(c_int),)),
    "cuDeviceGet": (("cuDeviceGet",), (POINTER(_DEVICE), c_int)),
    "cuDeviceGetName": (("cuDeviceGetName",), (c_char_p, c_int, _DEVICE)),
    # The first name knows slices of a card; it came with CUDA 11.4.
    "cuDeviceGetUuid": (("cuDeviceGetUuid_v2", "cuDeviceGetUuid"), (POINTER(c_uint8 * 16), _DEVICE)),
    "cuDeviceGetPCIBusId": (("cuDeviceGetPCIBusId",), (c_char_p, c_int, _DEVICE)),
    "cuDeviceTotalMem": (("cuDeviceTotalMem_v2",), (POINTER(c_size_t), _DEVICE)),
    "cuDeviceGetAttribute": (("cuDeviceGetAttribute",), (POINTER(c_int), c_int, _DEVICE)),
    "cuDevicePrimaryCtxRetain": (("cuDevicePrimaryCtxRetain",), (POINTER(_OBJECT), _DEVICE)),
    # The first name came with CUDA 11.
    "cuDevicePrimaryCtxRelease": (("cuDevicePrimaryCtxRelease_v2", "cuDevicePrimaryCtxRelease"), (_DEVICE,)),
    "cuCtxPushCurrent": (("cuCtxPushCurrent_v2",), (_OBJECT,)),
    "cuCtxPopCurrent": (("cuCtxPopCurrent_v2",), (POINTER(_OBJECT),)),
    "cuCtxSynchronize": (("cuCtxSynchronize",), ()),
    "cuMemGetInfo": (("cuMemGetInfo_v2",), (POINTER(c_size_t), POINTER(c_size_t))),
    "cuMemAlloc": (("cuMemAlloc_v2",), (POINTER(_POINTER), c_size_t)),
    "cuMemFree": (("cuMemFree_v2",), (_POINTER,)),
    "cuMemcpyHtoD": (("cuMemcpyHtoD_v2",), (_POINTER, c_void_p, c_size_t)),
    "cuMemcpyDtoH": (("cuMemcpyDtoH_v2",), (c_void_p, _POINTER, c_size_t)),
    "cuModuleLoadData": (("cuModuleLoadData",), (POINTER(_OBJECT), c_char_p)),
    "cuModuleUnload": (("cuModuleUnload",), (_OBJECT,)),
    "cuModuleGetFunction": (("cuModuleGetFunction",), (POINTER(_OBJECT), _OBJECT, c_char_p)),
    "cuLaunchKernel": (
        ("cuLaunchKernel",),
        (_OBJECT, *(c_uint,) * 6, c_uint, _OBJECT, POINTER(c_void_p), POINTER(c_void_p)),
    ),
}
"""By function: the names it may be exported under, the best first, and the types of its arguments."""


class CudaError(CallError):
    """A function of CUDA failed; its result is a CUresult."""

    def __str__(self) -> str:
        name = RESULT_NAMES.get(self.result, "a result without a name")
        return f"{self.function} answered {name} ({self.result})"


class Cuda:
    """The functions of a loaded library; each raises `CudaError` unless its result is good."""

    def __init__(self, library: ctypes.CDLL) -> None:
        for name, (exported, arguments) in SIGNATURES.items():
            function = next((library[one] for one in exported if hasattr(library, one)), None)
            if function is None:
                raise DriverError(
                    "expected a driver for CUDA 9.2 or later, got one that lacks"
                    f" {' and '.join(exported)}: update NVIDIA's driver"
                )
            function.restype = c_int
            function.argtypes = arguments
            function.errcheck = raising(CudaError, name)
            setattr(self, name, function)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Every function of `SIGNATURES`."""
