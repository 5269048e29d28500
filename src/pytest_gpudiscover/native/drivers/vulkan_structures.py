"""Vulkan's structures, as many of them as the runner uses.

Every name is the C name. A test compiles a program against the real headers and compares the size of each,
the offset of each field, and each structure type.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char, c_char_p, c_float, c_uint8, c_uint32, c_uint64, c_void_p

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


class Tagged(ctypes.Structure):
    """A structure that says what it is in `sType`, and can be chained through `pNext`."""

    S_TYPE = 0

    def __init__(self, **fields: Any) -> None:
        super().__init__(sType=self.S_TYPE, **fields)


_TAG = (("sType", c_uint32), ("pNext", c_void_p))


class VkApplicationInfo(Tagged):
    """Who we are, and which version of the interface we speak."""

    S_TYPE = 0
    _fields_ = (
        *_TAG,
        ("pApplicationName", c_char_p),
        ("applicationVersion", c_uint32),
        ("pEngineName", c_char_p),
        ("engineVersion", c_uint32),
        ("apiVersion", c_uint32),
    )


class VkInstanceCreateInfo(Tagged):
    """Layers and extensions of the instance."""

    S_TYPE = 1
    _fields_ = (
        *_TAG,
        ("flags", c_uint32),
        ("pApplicationInfo", POINTER(VkApplicationInfo)),
        ("enabledLayerCount", c_uint32),
        ("ppEnabledLayerNames", POINTER(c_char_p)),
        ("enabledExtensionCount", c_uint32),
        ("ppEnabledExtensionNames", POINTER(c_char_p)),
    )


class VkExtensionProperties(ctypes.Structure):
    """One extension."""

    _fields_ = (("extensionName", c_char * 256), ("specVersion", c_uint32))


class VkPhysicalDeviceProperties(ctypes.Structure):
    """What every device says of itself. The limits are of no interest here, but their size is."""

    _fields_ = (
        ("apiVersion", c_uint32),
        ("driverVersion", c_uint32),
        ("vendorID", c_uint32),
        ("deviceID", c_uint32),
        ("deviceType", c_uint32),
        ("deviceName", c_char * 256),
        ("pipelineCacheUUID", c_uint8 * 16),
        ("limits", c_uint64 * 63),
        ("sparseProperties", c_uint32 * 5),
    )


class VkPhysicalDeviceProperties2(Tagged):
    """The head of the chain of properties."""

    S_TYPE = 1000059001
    _fields_ = (*_TAG, ("properties", VkPhysicalDeviceProperties))


class VkPhysicalDeviceIDProperties(Tagged):
    """The device's UUID."""

    S_TYPE = 1000071004
    _fields_ = (
        *_TAG,
        ("deviceUUID", c_uint8 * 16),
        ("driverUUID", c_uint8 * 16),
        ("deviceLUID", c_uint8 * 8),
        ("deviceNodeMask", c_uint32),
        ("deviceLUIDValid", c_uint32),
    )


class VkPhysicalDeviceDriverProperties(Tagged):
    """Which driver it is: core since 1.2, before that VK_KHR_driver_properties."""

    S_TYPE = 1000196000
    _fields_ = (
        *_TAG,
        ("driverID", c_uint32),
        ("driverName", c_char * 256),
        ("driverInfo", c_char * 256),
        ("conformanceVersion", c_uint8 * 4),
    )


class VkPhysicalDevicePCIBusInfoPropertiesEXT(Tagged):
    """Where the device sits; needs VK_EXT_pci_bus_info."""

    S_TYPE = 1000212000
    _fields_ = (
        *_TAG,
        ("pciDomain", c_uint32),
        ("pciBus", c_uint32),
        ("pciDevice", c_uint32),
        ("pciFunction", c_uint32),
    )


class VkMemoryType(ctypes.Structure):
    """One kind of memory: its properties, and the heap it comes from."""

    _fields_ = (("propertyFlags", c_uint32), ("heapIndex", c_uint32))


class VkMemoryHeap(ctypes.Structure):
    """One heap: bytes, and whether it is the device's own."""

    _fields_ = (("size", c_uint64), ("flags", c_uint32))


class VkPhysicalDeviceMemoryProperties(ctypes.Structure):
    """The kinds of memory and the heaps."""

    _fields_ = (
        ("memoryTypeCount", c_uint32),
        ("memoryTypes", VkMemoryType * 32),
        ("memoryHeapCount", c_uint32),
        ("memoryHeaps", VkMemoryHeap * 16),
    )


class VkPhysicalDeviceMemoryProperties2(Tagged):
    """The head of the chain of memory properties."""

    S_TYPE = 1000059006
    _fields_ = (*_TAG, ("memoryProperties", VkPhysicalDeviceMemoryProperties))


class VkPhysicalDeviceMemoryBudgetPropertiesEXT(Tagged):
    """By heap, in bytes, what this process may use and what it uses; needs VK_EXT_memory_budget."""

    S_TYPE = 1000237000
    _fields_ = (*_TAG, ("heapBudget", c_uint64 * 16), ("heapUsage", c_uint64 * 16))


class VkQueueFamilyProperties(ctypes.Structure):
    """What the queues of one family can do."""

    _fields_ = (
        ("queueFlags", c_uint32),
        ("queueCount", c_uint32),
        ("timestampValidBits", c_uint32),
        ("minImageTransferGranularity", c_uint32 * 3),
    )


class VkDeviceQueueCreateInfo(Tagged):
    """Which queues to create with a device."""

    S_TYPE = 2
    _fields_ = (
        *_TAG,
        ("flags", c_uint32),
        ("queueFamilyIndex", c_uint32),
        ("queueCount", c_uint32),
        ("pQueuePriorities", POINTER(c_float)),
    )


class VkDeviceCreateInfo(Tagged):
    """Queues and extensions of a device."""

    S_TYPE = 3
    _fields_ = (
        *_TAG,
        ("flags", c_uint32),
        ("queueCreateInfoCount", c_uint32),
        ("pQueueCreateInfos", POINTER(VkDeviceQueueCreateInfo)),
        ("enabledLayerCount", c_uint32),
        ("ppEnabledLayerNames", POINTER(c_char_p)),
        ("enabledExtensionCount", c_uint32),
        ("ppEnabledExtensionNames", POINTER(c_char_p)),
        ("pEnabledFeatures", c_void_p),
    )


class VkBufferCreateInfo(Tagged):
    """A buffer: its size and what it is for."""

    S_TYPE = 12
    _fields_ = (
        *_TAG,
        ("flags", c_uint32),
        ("size", c_uint64),
        ("usage", c_uint32),
        ("sharingMode", c_uint32),
        ("queueFamilyIndexCount", c_uint32),
        ("pQueueFamilyIndices", POINTER(c_uint32)),
    )


class VkMemoryRequirements(ctypes.Structure):
    """What memory a buffer can live in: one bit a memory type."""

    _fields_ = (("size", c_uint64), ("alignment", c_uint64), ("memoryTypeBits", c_uint32))


class VkMemoryAllocateInfo(Tagged):
    """How much memory, of which type."""

    S_TYPE = 5
    _fields_ = (*_TAG, ("allocationSize", c_uint64), ("memoryTypeIndex", c_uint32))


class VkMappedMemoryRange(Tagged):
    """A range of mapped memory."""

    S_TYPE = 6
    _fields_ = (*_TAG, ("memory", c_uint64), ("offset", c_uint64), ("size", c_uint64))


class VkCommandPoolCreateInfo(Tagged):
    """Where command buffers come from."""

    S_TYPE = 39
    _fields_ = (*_TAG, ("flags", c_uint32), ("queueFamilyIndex", c_uint32))


class VkCommandBufferAllocateInfo(Tagged):
    """How many command buffers, of which level."""

    S_TYPE = 40
    _fields_ = (*_TAG, ("commandPool", c_uint64), ("level", c_uint32), ("commandBufferCount", c_uint32))


class VkCommandBufferBeginInfo(Tagged):
    """How a command buffer will be used."""

    S_TYPE = 42
    _fields_ = (*_TAG, ("flags", c_uint32), ("pInheritanceInfo", c_void_p))


class VkMemoryBarrier(Tagged):
    """Which writes must be done before which reads."""

    S_TYPE = 46
    _fields_ = (*_TAG, ("srcAccessMask", c_uint32), ("dstAccessMask", c_uint32))


class VkBufferCopy(ctypes.Structure):
    """One region of a copy between buffers."""

    _fields_ = (("srcOffset", c_uint64), ("dstOffset", c_uint64), ("size", c_uint64))


class VkSubmitInfo(Tagged):
    """What to give a queue."""

    S_TYPE = 4
    _fields_ = (
        *_TAG,
        ("waitSemaphoreCount", c_uint32),
        ("pWaitSemaphores", POINTER(c_uint64)),
        ("pWaitDstStageMask", POINTER(c_uint32)),
        ("commandBufferCount", c_uint32),
        ("pCommandBuffers", POINTER(c_void_p)),
        ("signalSemaphoreCount", c_uint32),
        ("pSignalSemaphores", POINTER(c_uint64)),
    )


class VkFenceCreateInfo(Tagged):
    """A fence, not yet signalled."""

    S_TYPE = 8
    _fields_ = (*_TAG, ("flags", c_uint32))


def chained(structures: Sequence[Tagged]) -> int | None:
    """Link structures through `pNext`, and return the address of the first; the caller keeps them alive."""
    address = None
    for structure in reversed(structures):
        structure.pNext = address
        address = ctypes.addressof(structure)
    return address
