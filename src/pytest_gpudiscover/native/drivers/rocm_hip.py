"""HIP's functions, as many of them as the runner uses, and what their results are called and mean.

Facts are from AMD's HIP runtime API reference and its header `hip_runtime_api.h`, which numbers attributes in
another way than CUDA. Where a GPU's properties hold its target is from LLVM's `offload-arch`.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint, c_void_p

from pytest_gpudiscover.native.drivers.asking import raising
from pytest_gpudiscover.native.drivers.interface import CallError, DriverError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

ATTRIBUTE_INTEGRATED = 16

_TARGET_AT = {"hipGetDevicePropertiesR0600": 1160, "hipGetDeviceProperties": 396}
"""By function, the newer first: where the properties it fills hold the target as text."""
_TARGET_SIZE = 256
_PROPERTIES_SIZE = 4096
"""Bytes: more than any version fills."""

_HUNG = "the GPU may hang: look for 'amdgpu' in the kernel's log, and restart the machine"
_NO_CODE = (
    "this ROCm has no code for the GPU: update ROCm, or name a close relative that it knows"
    " in HSA_OVERRIDE_GFX_VERSION"
)

RESULTS = {
    1: ("hipErrorInvalidValue", ""),
    2: ("hipErrorOutOfMemory", "the GPU has no memory left: end what else runs on it"),
    3: ("hipErrorNotInitialized", ""),
    35: (
        "hipErrorInsufficientDriver",
        "the kernel's driver is too old for this ROCm: update it, or the kernel",
    ),
    98: ("hipErrorInvalidDeviceFunction", _NO_CODE),
    100: (
        "hipErrorNoDevice",
        "HIP sees no GPU: check that rocminfo lists one, and that this ROCm supports it",
    ),
    101: ("hipErrorInvalidDevice", ""),
    200: ("hipErrorInvalidImage", _NO_CODE),
    209: ("hipErrorNoBinaryForGpu", _NO_CODE),
    214: ("hipErrorECCNotCorrectable", f"the GPU's memory has an error that cannot be corrected; {_HUNG}"),
    303: ("hipErrorSharedObjectInitFailed", "a library of ROCm cannot be loaded: install ROCm anew"),
    304: ("hipErrorOperatingSystem", "the operating system refused HIP: check /dev/kfd and /dev/dri"),
    700: ("hipErrorIllegalAddress", _HUNG),
    702: ("hipErrorLaunchTimeOut", _HUNG),
    719: ("hipErrorLaunchFailure", _HUNG),
    801: ("hipErrorNotSupported", ""),
    999: ("hipErrorUnknown", _HUNG),
    1052: ("hipErrorRuntimeMemory", _HUNG),
    1053: ("hipErrorRuntimeOther", _HUNG),
}
"""By hipError_t: its name, and what it means here and what to do."""

SIGNATURES: dict[str, tuple[Any, ...]] = {
    "hipInit": (c_uint,),
    "hipDriverGetVersion": (POINTER(c_int),),
    "hipGetDeviceCount": (POINTER(c_int),),
    "hipDeviceGetPCIBusId": (c_char_p, c_int, c_int),
    "hipDeviceGetName": (c_char_p, c_int, c_int),
    "hipDeviceGetUuid": (c_char_p, c_int),
    "hipDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "hipDeviceTotalMem": (POINTER(c_size_t), c_int),
    "hipSetDevice": (c_int,),
    "hipMemGetInfo": (POINTER(c_size_t), POINTER(c_size_t)),
    "hipMalloc": (POINTER(c_void_p), c_size_t),
    "hipFree": (c_void_p,),
    "hipMemsetD32": (c_void_p, c_int, c_size_t),
    "hipMemcpyHtoD": (c_void_p, c_void_p, c_size_t),
    "hipMemcpyDtoD": (c_void_p, c_void_p, c_size_t),
    "hipMemcpyDtoH": (c_void_p, c_void_p, c_size_t),
    "hipDeviceSynchronize": (),
}
"""By function: the types of its arguments."""


class HipError(CallError):
    """A function of HIP failed; its result is a hipError_t."""

    def __str__(self) -> str:
        name, advice = RESULTS.get(self.result, ("a result without a name", ""))
        advice = advice or "look the number up in AMD's HIP runtime API reference"
        return f"{self.function} answered {name} ({self.result}): {advice}"


class Hip:
    """The functions of a loaded library; each raises `HipError` unless its result is good."""

    def __init__(self, library: ctypes.CDLL) -> None:
        for name, arguments in SIGNATURES.items():
            setattr(self, name, _checked(library, name, arguments))
        properties = next((name for name in _TARGET_AT if hasattr(library, name)), "hipGetDeviceProperties")
        self._target_at = _TARGET_AT[properties]
        self._properties = _checked(library, properties, (c_char_p, c_int))

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Every function of `SIGNATURES`."""

    def target(self, device: int) -> str:
        """What code must be compiled for, as in `gfx90a:sramecc+:xnack-`.

        Raises:
            HipError: HIP does not tell.
        """
        properties = ctypes.create_string_buffer(_PROPERTIES_SIZE)
        self._properties(properties, device)
        text = properties.raw[self._target_at : self._target_at + _TARGET_SIZE]
        return text.partition(b"\0")[0].decode(errors="replace")

    def text(self, function: Callable[..., object], device: int) -> str:
        """What a function says of a device that fills a buffer: its name, its PCI id.

        Raises:
            HipError: HIP does not tell.
        """
        buffer = ctypes.create_string_buffer(256)
        function(buffer, len(buffer), device)
        return buffer.value.decode(errors="replace")


def _checked(library: ctypes.CDLL, name: str, arguments: tuple[Any, ...]) -> Any:
    """A function that raises unless its result is good.

    Raises:
        DriverError: the library lacks it.
    """
    if not hasattr(library, name):
        raise DriverError(f"expected HIP of ROCm 5.2 or later, got one that lacks {name}: update ROCm")
    function = library[name]
    function.restype = c_int
    function.argtypes = arguments
    function.errcheck = raising(HipError, name)
    return function
