"""Level Zero's functions and structures, as many of them as the runner uses, and what its results are called.

Facts are from the oneAPI Level Zero specification and its headers `ze_api.h` and `zes_api.h` (1.8.12). Names
are the C names, without the suffix `_t`.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char, c_int32, c_int64, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p

from pytest_gpudiscover.native.drivers.asking import raising
from pytest_gpudiscover.native.drivers.interface import CallError, DriverError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

INIT_GPU_ONLY = 1
TYPE_GPU = 1
INTEGRATED = 1
GROUP_COMPUTE = 1
SYNCHRONOUS = 1

UNINITIALIZED = 0x78000001
RESULT_NAMES = {
    1: "ZE_RESULT_NOT_READY",
    0x70000001: "ZE_RESULT_ERROR_DEVICE_LOST",
    0x70000002: "ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY",
    0x70000003: "ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY",
    0x70000006: "ZE_RESULT_ERROR_DEVICE_REQUIRES_RESET",
    0x70000007: "ZE_RESULT_ERROR_DEVICE_IN_LOW_POWER_STATE",
    0x70010000: "ZE_RESULT_ERROR_INSUFFICIENT_PERMISSIONS",
    0x70010001: "ZE_RESULT_ERROR_NOT_AVAILABLE",
    0x70020000: "ZE_RESULT_ERROR_DEPENDENCY_UNAVAILABLE",
    UNINITIALIZED: "ZE_RESULT_ERROR_UNINITIALIZED",
    0x78000002: "ZE_RESULT_ERROR_UNSUPPORTED_VERSION",
    0x78000003: "ZE_RESULT_ERROR_UNSUPPORTED_FEATURE",
    0x78000004: "ZE_RESULT_ERROR_INVALID_ARGUMENT",
    0x7FFFFFFE: "ZE_RESULT_ERROR_UNKNOWN",
}


class Tagged(ctypes.Structure):
    """A structure that says what it is in `stype`."""

    S_TYPE = 0

    def __init__(self, **fields: Any) -> None:
        super().__init__(stype=self.S_TYPE, **fields)


_TAG = (("stype", c_uint32), ("pNext", c_void_p))
_DESCRIPTION = (*_TAG, ("flags", c_uint32))
_ADDRESS = tuple((name, c_uint32) for name in ("domain", "bus", "device", "function"))


class DriverProperties(Tagged):
    """`ze_driver_properties`."""

    S_TYPE = 0x1
    _fields_ = (*_TAG, ("uuid", c_uint8 * 16), ("driverVersion", c_uint32))


class DeviceProperties(Tagged):
    """`ze_device_properties`."""

    S_TYPE = 0x3
    _fields_ = (
        *_TAG,
        ("type", c_uint32),
        ("vendorId", c_uint32),
        ("deviceId", c_uint32),
        ("flags", c_uint32),
        ("subdeviceId", c_uint32),
        ("coreClockRate", c_uint32),
        ("maxMemAllocSize", c_uint64),
        ("maxHardwareContexts", c_uint32),
        ("maxCommandQueuePriority", c_uint32),
        ("numThreadsPerEU", c_uint32),
        ("physicalEUSimdWidth", c_uint32),
        ("numEUsPerSubslice", c_uint32),
        ("numSubslicesPerSlice", c_uint32),
        ("numSlices", c_uint32),
        ("timerResolution", c_uint64),
        ("timestampValidBits", c_uint32),
        ("kernelTimestampValidBits", c_uint32),
        ("uuid", c_uint8 * 16),
        ("name", c_char * 256),
    )


class CommandQueueGroupProperties(Tagged):
    """`ze_command_queue_group_properties`."""

    S_TYPE = 0x6
    _fields_ = (*_DESCRIPTION, ("maxMemoryFillPatternSize", c_size_t), ("numQueues", c_uint32))


class DeviceMemoryProperties(Tagged):
    """`ze_device_memory_properties`; sizes are bytes."""

    S_TYPE = 0x7
    _fields_ = (
        *_DESCRIPTION,
        ("maxClockRate", c_uint32),
        ("maxBusWidth", c_uint32),
        ("totalSize", c_uint64),
        ("name", c_char * 256),
    )


class ContextDesc(Tagged):
    """`ze_context_desc`."""

    S_TYPE = 0xD
    _fields_ = _DESCRIPTION


class CommandQueueDesc(Tagged):
    """`ze_command_queue_desc`."""

    S_TYPE = 0xE
    _fields_ = (
        *_TAG,
        ("ordinal", c_uint32),
        ("index", c_uint32),
        ("flags", c_uint32),
        ("mode", c_uint32),
        ("priority", c_uint32),
    )


class DeviceMemAllocDesc(Tagged):
    """`ze_device_mem_alloc_desc`."""

    S_TYPE = 0x15
    _fields_ = (*_DESCRIPTION, ("ordinal", c_uint32))


class HostMemAllocDesc(Tagged):
    """`ze_host_mem_alloc_desc`."""

    S_TYPE = 0x16
    _fields_ = _DESCRIPTION


class PciExtProperties(Tagged):
    """`ze_pci_ext_properties`: the address, then the speed."""

    S_TYPE = 0x10008
    _fields_ = (
        *_TAG,
        *_ADDRESS,
        ("genVersion", c_int32),
        ("width", c_int32),
        ("maxBandwidth", c_int64),
    )


class SysmanPciProperties(Tagged):
    """`zes_pci_properties`: the address, the speed, and what is counted."""

    S_TYPE = 0x2
    _fields_ = (
        *_TAG,
        *_ADDRESS,
        ("gen", c_int32),
        ("width", c_int32),
        ("maxBandwidth", c_int64),
        ("haveCounters", c_uint8 * 3),
    )


class SysmanMemState(Tagged):
    """`zes_mem_state`; sizes are bytes."""

    S_TYPE = 0x1E
    _fields_ = (*_TAG, ("health", c_uint32), ("free", c_uint64), ("size", c_uint64))


_OBJECT, _COUNT = c_void_p, POINTER(c_uint32)
_EVENTS = (_OBJECT, c_uint32, POINTER(_OBJECT))

SIGNATURES: dict[str, tuple[Any, ...]] = {
    "zeInit": (c_uint32,),
    "zeDriverGet": (_COUNT, POINTER(_OBJECT)),
    "zeDriverGetProperties": (_OBJECT, POINTER(DriverProperties)),
    "zeDeviceGet": (_OBJECT, _COUNT, POINTER(_OBJECT)),
    "zeDeviceGetProperties": (_OBJECT, POINTER(DeviceProperties)),
    "zeDeviceGetMemoryProperties": (_OBJECT, _COUNT, POINTER(DeviceMemoryProperties)),
    "zeDeviceGetCommandQueueGroupProperties": (_OBJECT, _COUNT, POINTER(CommandQueueGroupProperties)),
    "zeContextCreate": (_OBJECT, POINTER(ContextDesc), POINTER(_OBJECT)),
    "zeContextDestroy": (_OBJECT,),
    "zeMemAllocDevice": (
        _OBJECT,
        POINTER(DeviceMemAllocDesc),
        c_size_t,
        c_size_t,
        _OBJECT,
        POINTER(c_void_p),
    ),
    "zeMemAllocHost": (_OBJECT, POINTER(HostMemAllocDesc), c_size_t, c_size_t, POINTER(c_void_p)),
    "zeMemFree": (_OBJECT, c_void_p),
    "zeCommandListCreateImmediate": (_OBJECT, _OBJECT, POINTER(CommandQueueDesc), POINTER(_OBJECT)),
    "zeCommandListDestroy": (_OBJECT,),
    "zeCommandListAppendMemoryFill": (_OBJECT, c_void_p, c_void_p, c_size_t, c_size_t, *_EVENTS),
    "zeCommandListAppendMemoryCopy": (_OBJECT, c_void_p, c_void_p, c_size_t, *_EVENTS),
}
"""By function: the types of its arguments."""

OPTIONAL: dict[str, tuple[Any, ...]] = {
    "zeDevicePciGetPropertiesExt": (_OBJECT, POINTER(PciExtProperties)),
    "zesInit": (c_uint32,),
    "zesDriverGet": (_COUNT, POINTER(_OBJECT)),
    "zesDeviceGet": (_OBJECT, _COUNT, POINTER(_OBJECT)),
    "zesDevicePciGetProperties": (_OBJECT, POINTER(SysmanPciProperties)),
    "zesDeviceEnumMemoryModules": (_OBJECT, _COUNT, POINTER(_OBJECT)),
    "zesMemoryGetState": (_OBJECT, POINTER(SysmanMemState)),
}
"""The same of what older loaders lack: the PCI address came with 1.0's extensions, `zesInit` with 1.5."""


class LevelZeroError(CallError):
    """A function of Level Zero failed; its result is a ze_result_t."""

    def __str__(self) -> str:
        name = RESULT_NAMES.get(self.result, "a result without a name")
        return f"{self.function} answered {name} ({self.result:#x})"


class LevelZero:
    """The functions of a loaded library; each raises `LevelZeroError` unless its result is good.

    An optional function that the library lacks answers as one that no driver supports.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        for name, arguments in SIGNATURES.items():
            if not hasattr(library, name):
                raise DriverError(
                    f"expected a Level Zero loader of 1.0 or later, got one that lacks {name}: update it"
                )
            setattr(self, name, _prepared(library, name, arguments))
        for name, arguments in OPTIONAL.items():
            there = hasattr(library, name)
            setattr(self, name, _prepared(library, name, arguments) if there else _lacking(name))

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Every function of `SIGNATURES` and `OPTIONAL`."""


def _prepared(library: ctypes.CDLL, name: str, arguments: tuple[Any, ...]) -> Any:
    function: Any = library[name]
    function.restype = c_uint32
    function.argtypes = arguments
    function.errcheck = raising(LevelZeroError, name)
    return function


def _lacking(name: str) -> Callable[..., Any]:
    def refuse(*_arguments: object) -> None:
        raise LevelZeroError(name, 0x78000003)

    return refuse


def listing(function: Callable[..., object], kind: type[Any], *arguments: object) -> list[Any]:
    """Call a function that first counts and then fills an array of `kind`: handles, or structures."""
    count = c_uint32()
    function(*arguments, ctypes.byref(count), None)
    items = (kind * count.value)()
    if issubclass(kind, Tagged):
        for item in items:
            item.stype = kind.S_TYPE
    function(*arguments, ctypes.byref(count), items)
    return list(items)[: count.value]
