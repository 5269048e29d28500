"""Vulkan's functions, as many of them as the runner uses, and the constants that go with them.

Functions have their C names. Constants are the headers', without the prefixes and suffixes that C needs.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_int32, c_uint32, c_uint64, c_void_p

from pytest_gpudiscover.native.drivers import vulkan_structures as vk
from pytest_gpudiscover.native.drivers.asking import raising
from pytest_gpudiscover.native.drivers.interface import CallError, DriverError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

API_VERSION_1_1 = 1 << 22 | 1 << 12
WHOLE_SIZE = 2**64 - 1
PORTABILITY_SUBSET = b"VK_KHR_portability_subset"

TYPE_INTEGRATED_GPU = 1
TYPE_CPU = 4
HEAP_DEVICE_LOCAL = 1
MEMORY_DEVICE_LOCAL = 1
MEMORY_HOST_VISIBLE = 2
QUEUE_GRAPHICS, QUEUE_COMPUTE, QUEUE_TRANSFER = 1, 2, 4
BUFFER_TRANSFER_SRC, BUFFER_TRANSFER_DST = 1, 2
STAGE_TRANSFER, STAGE_HOST = 0x1000, 0x4000
ACCESS_TRANSFER_READ, ACCESS_TRANSFER_WRITE, ACCESS_HOST_READ = 0x800, 0x1000, 0x2000
INSTANCE_ENUMERATE_PORTABILITY = 1
COMMAND_BUFFER_ONE_TIME_SUBMIT = 1
DRIVER_NVIDIA_PROPRIETARY = 4
DRIVER_INTEL_PROPRIETARY_WINDOWS = 5

VK_SUCCESS = 0
VK_INCOMPLETE = 5
_GOOD = (VK_SUCCESS, VK_INCOMPLETE)
"""An incomplete list is a list: something appeared between counting and listing."""
RESULT_NAMES = {
    0: "VK_SUCCESS",
    1: "VK_NOT_READY",
    2: "VK_TIMEOUT",
    5: "VK_INCOMPLETE",
    -1: "VK_ERROR_OUT_OF_HOST_MEMORY",
    -2: "VK_ERROR_OUT_OF_DEVICE_MEMORY",
    -3: "VK_ERROR_INITIALIZATION_FAILED",
    -4: "VK_ERROR_DEVICE_LOST",
    -5: "VK_ERROR_MEMORY_MAP_FAILED",
    -6: "VK_ERROR_LAYER_NOT_PRESENT",
    -7: "VK_ERROR_EXTENSION_NOT_PRESENT",
    -8: "VK_ERROR_FEATURE_NOT_PRESENT",
    -9: "VK_ERROR_INCOMPATIBLE_DRIVER",
    -10: "VK_ERROR_TOO_MANY_OBJECTS",
    -13: "VK_ERROR_UNKNOWN",
}


# Instances, devices, queues and command buffers are pointers; everything else is 64 bits wide on any machine.
_OBJECT, _NUMBER, _ALLOCATOR = c_void_p, c_uint64, c_void_p
_RESULT = c_int32
_COUNT = POINTER(c_uint32)

SIGNATURES: dict[str, tuple[Any, ...]] = {
    "vkEnumerateInstanceExtensionProperties": (_RESULT, c_char_p, _COUNT, POINTER(vk.VkExtensionProperties)),
    "vkCreateInstance": (_RESULT, POINTER(vk.VkInstanceCreateInfo), _ALLOCATOR, POINTER(_OBJECT)),
    "vkDestroyInstance": (None, _OBJECT, _ALLOCATOR),
    "vkEnumeratePhysicalDevices": (_RESULT, _OBJECT, _COUNT, POINTER(_OBJECT)),
    "vkEnumerateDeviceExtensionProperties": (
        _RESULT,
        _OBJECT,
        c_char_p,
        _COUNT,
        POINTER(vk.VkExtensionProperties),
    ),
    "vkGetPhysicalDeviceProperties2": (None, _OBJECT, POINTER(vk.VkPhysicalDeviceProperties2)),
    "vkGetPhysicalDeviceMemoryProperties2": (None, _OBJECT, POINTER(vk.VkPhysicalDeviceMemoryProperties2)),
    "vkGetPhysicalDeviceQueueFamilyProperties": (None, _OBJECT, _COUNT, POINTER(vk.VkQueueFamilyProperties)),
    "vkCreateDevice": (_RESULT, _OBJECT, POINTER(vk.VkDeviceCreateInfo), _ALLOCATOR, POINTER(_OBJECT)),
    "vkDestroyDevice": (None, _OBJECT, _ALLOCATOR),
    "vkGetDeviceQueue": (None, _OBJECT, c_uint32, c_uint32, POINTER(_OBJECT)),
    "vkCreateBuffer": (_RESULT, _OBJECT, POINTER(vk.VkBufferCreateInfo), _ALLOCATOR, POINTER(_NUMBER)),
    "vkDestroyBuffer": (None, _OBJECT, _NUMBER, _ALLOCATOR),
    "vkGetBufferMemoryRequirements": (None, _OBJECT, _NUMBER, POINTER(vk.VkMemoryRequirements)),
    "vkAllocateMemory": (_RESULT, _OBJECT, POINTER(vk.VkMemoryAllocateInfo), _ALLOCATOR, POINTER(_NUMBER)),
    "vkFreeMemory": (None, _OBJECT, _NUMBER, _ALLOCATOR),
    "vkBindBufferMemory": (_RESULT, _OBJECT, _NUMBER, _NUMBER, c_uint64),
    "vkMapMemory": (_RESULT, _OBJECT, _NUMBER, c_uint64, c_uint64, c_uint32, POINTER(c_void_p)),
    "vkUnmapMemory": (None, _OBJECT, _NUMBER),
    "vkFlushMappedMemoryRanges": (_RESULT, _OBJECT, c_uint32, POINTER(vk.VkMappedMemoryRange)),
    "vkInvalidateMappedMemoryRanges": (_RESULT, _OBJECT, c_uint32, POINTER(vk.VkMappedMemoryRange)),
    "vkCreateCommandPool": (
        _RESULT,
        _OBJECT,
        POINTER(vk.VkCommandPoolCreateInfo),
        _ALLOCATOR,
        POINTER(_NUMBER),
    ),
    "vkDestroyCommandPool": (None, _OBJECT, _NUMBER, _ALLOCATOR),
    "vkAllocateCommandBuffers": (_RESULT, _OBJECT, POINTER(vk.VkCommandBufferAllocateInfo), POINTER(_OBJECT)),
    "vkBeginCommandBuffer": (_RESULT, _OBJECT, POINTER(vk.VkCommandBufferBeginInfo)),
    "vkCmdFillBuffer": (None, _OBJECT, _NUMBER, c_uint64, c_uint64, c_uint32),
    "vkCmdCopyBuffer": (None, _OBJECT, _NUMBER, _NUMBER, c_uint32, POINTER(vk.VkBufferCopy)),
    "vkCmdPipelineBarrier": (
        None,
        _OBJECT,
        *(c_uint32, c_uint32, c_uint32),
        *(c_uint32, POINTER(vk.VkMemoryBarrier)),
        *(c_uint32, c_void_p),
        *(c_uint32, c_void_p),
    ),
    "vkEndCommandBuffer": (_RESULT, _OBJECT),
    "vkCreateFence": (_RESULT, _OBJECT, POINTER(vk.VkFenceCreateInfo), _ALLOCATOR, POINTER(_NUMBER)),
    "vkDestroyFence": (None, _OBJECT, _NUMBER, _ALLOCATOR),
    "vkQueueSubmit": (_RESULT, _OBJECT, c_uint32, POINTER(vk.VkSubmitInfo), _NUMBER),
    "vkWaitForFences": (_RESULT, _OBJECT, c_uint32, POINTER(_NUMBER), c_uint32, c_uint64),
}
"""By function: the type of its result, then those of its arguments."""


class VulkanError(CallError):
    """A function of Vulkan failed; its result is a VkResult."""

    def __str__(self) -> str:
        return f"{self.function} answered {RESULT_NAMES.get(self.result, f'VkResult {self.result}')}"


class Vulkan:
    """The functions of a loaded library; those with a VkResult raise `VulkanError` unless it is good."""

    def __init__(self, library: ctypes.CDLL) -> None:
        for name, (result, *arguments) in SIGNATURES.items():
            try:
                function = library[name]
            except AttributeError:
                raise DriverError(
                    f"expected a library that speaks Vulkan 1.1, got one that lacks {name}: update it"
                ) from None
            function.restype = result
            function.argtypes = arguments
            if result is _RESULT:
                function.errcheck = raising(VulkanError, name, good=_GOOD)
            setattr(self, name, function)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Every function of `SIGNATURES`."""


def listing(function: Callable[..., object], kind: type[Any], *arguments: object) -> list[Any]:
    """Call a function that first counts and then fills an array of `kind`."""
    count = c_uint32()
    function(*arguments, ctypes.byref(count), None)
    items = (kind * count.value)()
    function(*arguments, ctypes.byref(count), items)
    return list(items)[: count.value]


def names(extensions: Sequence[bytes]) -> Any:
    """Names as C takes them; None when there are none."""
    return (c_char_p * len(extensions))(*extensions) if extensions else None
