"""Vulkan, deep: put a device to work, and see whether it did what it was told.

A buffer in the device's own memory is filled by the device, copied by the device to a buffer that the host
can see, and compared word by word. That passes only if the driver initialises, allocates, executes and
synchronises.
"""

from __future__ import annotations

import ctypes
from contextlib import ExitStack
from ctypes import byref, pointer

from pytest_gpudiscover.native.drivers import vulkan_api as api
from pytest_gpudiscover.native.drivers import vulkan_structures as vk
from pytest_gpudiscover.native.drivers.deep import UNTOUCHED, WORD, compare
from pytest_gpudiscover.native.drivers.interface import DeviceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

BUFFER_SIZE = 1 << 20
"""Bytes."""
PATIENCE = 10 * 10**9
"""Nanoseconds that the device may take."""


def fill_and_read_back(vulkan: api.Vulkan, physical: int, extensions: Collection[bytes]) -> None:
    """Fill a buffer on a device, read it back and compare it.

    Args:
        vulkan: the loaded library.
        physical: the device's handle.
        extensions: what the device offers.

    Raises:
        DeviceError: a call failed, or what came back is not what was asked for.
    """
    with ExitStack() as cleanup:
        work = Work(vulkan, physical, cleanup)
        work.create_device(extensions)
        own = work.create_buffer(api.BUFFER_TRANSFER_SRC | api.BUFFER_TRANSFER_DST, api.MEMORY_DEVICE_LOCAL)
        visible = work.create_buffer(api.BUFFER_TRANSFER_DST, api.MEMORY_HOST_VISIBLE)
        address = work.map(visible)
        ctypes.memset(address, UNTOUCHED, BUFFER_SIZE)
        work.synchronise(vulkan.vkFlushMappedMemoryRanges, visible)
        work.run(work.record(own, visible))
        work.synchronise(vulkan.vkInvalidateMappedMemoryRanges, visible)
        expected = [WORD] * (BUFFER_SIZE // 4)
        problem = "a buffer filled on the device reads back wrong"
        compare(ctypes.string_at(address, BUFFER_SIZE), expected, problem)


class Buffer:
    """A buffer and the memory behind it, as handles."""

    def __init__(self, handle: int, memory: int) -> None:
        self.handle = handle
        self.memory = memory


class Work:
    """The steps of putting one device to work. What they create is destroyed by `cleanup`, in reverse."""

    def __init__(self, vulkan: api.Vulkan, physical: int, cleanup: ExitStack) -> None:
        self._vulkan = vulkan
        self._physical = physical
        self._cleanup = cleanup
        self._device = ctypes.c_void_p()
        self._family = 0

    def create_device(self, extensions: Collection[bytes]) -> None:
        """Initialise the device, with one queue."""
        self._family = self._queue_family()
        required = [api.PORTABILITY_SUBSET] if api.PORTABILITY_SUBSET in extensions else []
        queue = vk.VkDeviceQueueCreateInfo(
            queueFamilyIndex=self._family, queueCount=1, pQueuePriorities=pointer(ctypes.c_float(1.0))
        )
        request = vk.VkDeviceCreateInfo(
            queueCreateInfoCount=1,
            pQueueCreateInfos=pointer(queue),
            enabledExtensionCount=len(required),
            ppEnabledExtensionNames=api.names(required),
        )
        self._vulkan.vkCreateDevice(self._physical, byref(request), None, byref(self._device))
        self._cleanup.callback(self._vulkan.vkDestroyDevice, self._device, None)

    def create_buffer(self, usage: int, properties: int) -> Buffer:
        """Create a buffer in memory with the given properties."""
        request = vk.VkBufferCreateInfo(size=BUFFER_SIZE, usage=usage)
        handle = self._create("Buffer", request)
        needs = vk.VkMemoryRequirements()
        self._vulkan.vkGetBufferMemoryRequirements(self._device, handle, byref(needs))
        allocation = vk.VkMemoryAllocateInfo(
            allocationSize=needs.size, memoryTypeIndex=self._memory_type(needs.memoryTypeBits, properties)
        )
        memory = ctypes.c_uint64()
        self._vulkan.vkAllocateMemory(self._device, byref(allocation), None, byref(memory))
        self._cleanup.callback(self._vulkan.vkFreeMemory, self._device, memory, None)
        self._vulkan.vkBindBufferMemory(self._device, handle, memory, 0)
        return Buffer(handle, memory.value)

    def map(self, buffer: Buffer) -> int:
        """Make a buffer visible to the host, and return its address."""
        address = ctypes.c_void_p()
        self._vulkan.vkMapMemory(self._device, buffer.memory, 0, api.WHOLE_SIZE, 0, byref(address))
        self._cleanup.callback(self._vulkan.vkUnmapMemory, self._device, buffer.memory)
        if address.value is None:
            raise DeviceError("vkMapMemory answered VK_SUCCESS, and no address")
        return address.value

    def synchronise(self, function: Callable[..., object], buffer: Buffer) -> None:
        """Make what one side wrote visible to the other, in memory that does not see to it by itself."""
        whole = vk.VkMappedMemoryRange(memory=buffer.memory, size=api.WHOLE_SIZE)
        function(self._device, 1, byref(whole))

    def record(self, own: Buffer, visible: Buffer) -> ctypes.c_void_p:
        """Record the commands: fill the device's own buffer, copy it, and let the host read the copy."""
        pool = self._create("CommandPool", vk.VkCommandPoolCreateInfo(queueFamilyIndex=self._family))
        request = vk.VkCommandBufferAllocateInfo(commandPool=pool, commandBufferCount=1)
        commands = ctypes.c_void_p()
        vulkan = self._vulkan
        vulkan.vkAllocateCommandBuffers(self._device, byref(request), byref(commands))
        begin = vk.VkCommandBufferBeginInfo(flags=api.COMMAND_BUFFER_ONE_TIME_SUBMIT)
        vulkan.vkBeginCommandBuffer(commands, byref(begin))
        vulkan.vkCmdFillBuffer(commands, own.handle, 0, BUFFER_SIZE, WORD)
        self._order(commands, api.STAGE_TRANSFER, api.ACCESS_TRANSFER_READ)
        region = vk.VkBufferCopy(size=BUFFER_SIZE)
        vulkan.vkCmdCopyBuffer(commands, own.handle, visible.handle, 1, byref(region))
        self._order(commands, api.STAGE_HOST, api.ACCESS_HOST_READ)
        vulkan.vkEndCommandBuffer(commands)
        return commands

    def run(self, commands: ctypes.c_void_p) -> None:
        """Give the commands to the queue, and wait for them."""
        queue = ctypes.c_void_p()
        self._vulkan.vkGetDeviceQueue(self._device, self._family, 0, byref(queue))
        fence = ctypes.c_uint64(self._create("Fence", vk.VkFenceCreateInfo()))
        submit = vk.VkSubmitInfo(commandBufferCount=1, pCommandBuffers=pointer(commands))
        self._vulkan.vkQueueSubmit(queue, 1, byref(submit), fence)
        try:
            self._vulkan.vkWaitForFences(self._device, 1, byref(fence), 1, PATIENCE)
        except api.VulkanError as error:
            # The device may still be at it, and destroying what it uses could hang. The process ends soon.
            self._cleanup.pop_all()
            raise DeviceError(
                f"{error} while a buffer was being filled, within {PATIENCE // 10**9} s"
            ) from None

    def _create(self, kind: str, request: vk.Tagged) -> int:
        handle = ctypes.c_uint64()
        create, destroy = getattr(self._vulkan, f"vkCreate{kind}"), getattr(self._vulkan, f"vkDestroy{kind}")
        create(self._device, byref(request), None, byref(handle))
        self._cleanup.callback(destroy, self._device, handle, None)
        return handle.value

    def _order(self, commands: ctypes.c_void_p, stage: int, access: int) -> None:
        """Have all transfers so far finished before `stage` reads."""
        barrier = vk.VkMemoryBarrier(srcAccessMask=api.ACCESS_TRANSFER_WRITE, dstAccessMask=access)
        self._vulkan.vkCmdPipelineBarrier(
            commands, api.STAGE_TRANSFER, stage, 0, 1, byref(barrier), 0, None, 0, None
        )

    def _queue_family(self) -> int:
        function = self._vulkan.vkGetPhysicalDeviceQueueFamilyProperties
        families = [
            one.queueFlags for one in api.listing(function, vk.VkQueueFamilyProperties, self._physical)
        ]
        # Families that compute or draw can also transfer, whether or not they say so.
        for wanted in (api.QUEUE_COMPUTE, api.QUEUE_GRAPHICS, api.QUEUE_TRANSFER):
            for index, flags in enumerate(families):
                if flags & wanted:
                    return index
        raise DeviceError(
            f"expected a queue that computes or transfers, got {len(families)} families without one"
        )

    def _memory_type(self, allowed: int, properties: int) -> int:
        head = vk.VkPhysicalDeviceMemoryProperties2()
        self._vulkan.vkGetPhysicalDeviceMemoryProperties2(self._physical, byref(head))
        memory = head.memoryProperties
        for index in range(memory.memoryTypeCount):
            if allowed >> index & 1 and memory.memoryTypes[index].propertyFlags & properties:
                return index
        kind = "of the device's own" if properties == api.MEMORY_DEVICE_LOCAL else "visible to the host"
        raise DeviceError(
            f"expected memory {kind} that can hold a buffer, got {memory.memoryTypeCount} types without"
        )
