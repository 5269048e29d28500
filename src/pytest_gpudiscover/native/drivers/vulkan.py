"""Vulkan: which devices its drivers show, and what they say of themselves.

Facts are from the Vulkan specification and its headers (1.3.239). `GGML_VK_VISIBLE_DEVICES` takes positions
in the raw enumeration, in any order; unset it shows everything, empty it shows nothing. A CPU that poses as a
device is for use only when the mask names it. A device is named by its place in the answer, as ggml does it.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import contextmanager

from pytest_gpudiscover.native.drivers import VULKAN
from pytest_gpudiscover.native.drivers import vulkan_api as api
from pytest_gpudiscover.native.drivers import vulkan_structures as vk
from pytest_gpudiscover.native.drivers.interface import DeviceError, DriverError, Entry, Unusable, grouped
from pytest_gpudiscover.native.drivers.loading import load
from pytest_gpudiscover.native.drivers.vulkan_deep import fill_and_read_back

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

MASK = "GGML_VK_VISIBLE_DEVICES"

_PORTABILITY_ENUMERATION = b"VK_KHR_portability_enumeration"
_PCI_BUS_INFO = b"VK_EXT_pci_bus_info"
_MEMORY_BUDGET = b"VK_EXT_memory_budget"
_NVIDIA = 0x10DE


def list_devices(*, environment: Mapping[str, str], deep: bool) -> list[Entry]:
    """List the devices that the mask shows, in its order.

    Args:
        environment: where the mask is read from.
        deep: fill and read back a buffer on each device that is for use, and mark those that fail.

    Raises:
        DriverError: there is no loader, or it accepts no driver.
    """
    vulkan = load(VULKAN, api.Vulkan)
    mask = environment.get(MASK)
    with instance(vulkan, sys.platform) as handle:
        try:
            physical = api.listing(vulkan.vkEnumeratePhysicalDevices, ctypes.c_void_p, handle)
        except api.VulkanError as error:
            raise DriverError(
                f"expected a list of devices, and {error};"
                " check that the kernel's driver is loaded and belongs to the Vulkan driver"
            ) from None
        devices = [PhysicalDevice(vulkan, physical[index], index) for index in visible(mask, len(physical))]
        entries = []
        for position, device in enumerate(devices):
            name = f"Vulkan{position}"
            # Before anything can crash: what a runner wrote last is shown where it died.
            sys.stderr.write(f"{name} is {device.in_words()}\n")
            entries.append(device.entry(name, device.fault(named=mask is not None, deep=deep)))
        return entries


@contextmanager
def instance(vulkan: api.Vulkan, platform: str) -> Iterator[ctypes.c_void_p]:
    """An instance, for as long as the block lasts.

    Raises:
        DriverError: no driver accepts us.
    """
    extensions = _instance_extensions(vulkan, platform)
    application = vk.VkApplicationInfo(pApplicationName=b"gpudiscover", apiVersion=api.API_VERSION_1_1)
    request = vk.VkInstanceCreateInfo(
        flags=api.INSTANCE_ENUMERATE_PORTABILITY if extensions else 0,
        pApplicationInfo=ctypes.pointer(application),
        enabledExtensionCount=len(extensions),
        ppEnabledExtensionNames=api.names(extensions),
    )
    handle = ctypes.c_void_p()
    try:
        vulkan.vkCreateInstance(ctypes.byref(request), None, ctypes.byref(handle))
    except api.VulkanError as error:
        raise DriverError(
            f"no driver accepted a Vulkan 1.1 instance ({error}); install the Vulkan driver of your GPU"
            " (Debian and Ubuntu: mesa-vulkan-drivers, or NVIDIA's own), and if VK_DRIVER_FILES or"
            " VK_ICD_FILENAMES is set, check that it names files that exist"
        ) from None
    try:
        yield handle
    finally:
        vulkan.vkDestroyInstance(handle, None)


def _instance_extensions(vulkan: api.Vulkan, platform: str) -> list[bytes]:
    # On macOS the loader hides MoltenVK unless it is asked for incomplete implementations too (untested).
    if platform != "darwin":
        return []
    offered = api.listing(vulkan.vkEnumerateInstanceExtensionProperties, vk.VkExtensionProperties, None)
    return [one.extensionName for one in offered if one.extensionName == _PORTABILITY_ENUMERATION]


def visible(mask: str | None, count: int) -> list[int]:
    """Read the mask: the positions it shows, in its order, between commas or blanks as ggml reads them.

    The first entry that is no position ends the list; where one is out of range ggml gives up altogether.

    Args:
        mask: the value of `GGML_VK_VISIBLE_DEVICES`; None when it is not set.
        count: how many devices there are.
    """
    if mask is None:
        return list(range(count))
    shown: list[int] = []
    for number in mask.replace(",", " ").split():
        # Ten digits are more than any machine has, and few enough to be read.
        if not (number.isascii() and number.isdigit() and len(number) <= 10 and int(number) < count):
            break
        shown.append(int(number))
    return shown


class PhysicalDevice:
    """One device, and everything its driver says of it before it is initialised."""

    def __init__(self, vulkan: api.Vulkan, handle: int, index: int) -> None:
        self._vulkan = vulkan
        self._handle = handle
        self._index = index
        self._refusal: DeviceError | None = None
        self._extensions = self._read_extensions()
        self._identity = vk.VkPhysicalDeviceIDProperties()
        self._driver = vk.VkPhysicalDeviceDriverProperties()
        self._pci = vk.VkPhysicalDevicePCIBusInfoPropertiesEXT()
        self._properties = self._read_properties()

    def in_words(self) -> str:
        """Say which device it is, and which driver drives it: several may drive one card."""
        names = (self._properties.deviceName, self._driver.driverName, self._driver.driverInfo)
        device, driver, info = (name.decode(errors="replace") for name in names)
        said = f"{device}, driver {f'{driver} {info}'.strip() or 'unknown'}"
        layered = api.PORTABILITY_SUBSET in self._extensions
        return f"{said}, which does not have all of Vulkan (a portability driver)" if layered else said

    def entry(self, name: str, unusable: Unusable | None) -> Entry:
        """What the answer says of it."""
        total, free = self._memory()
        return Entry(
            id=self._id(),
            backend=VULKAN.library,
            name=name,
            description=self._properties.deviceName.decode(errors="replace"),
            index=self._index,
            integrated=self._properties.deviceType == api.TYPE_INTEGRATED_GPU,
            pci_id=self._pci_id(),
            total_memory=total,
            free_memory=free,
            driver=driver_version(
                self._properties.driverVersion, driver=self._driver.driverID, vendor=self._properties.vendorID
            ),
            unusable=unusable,
        )

    def fault(self, *, named: bool, deep: bool) -> Unusable | None:
        """Find out why it is not for use; None when it is.

        Args:
            named: whether the mask names it: that makes even a CPU welcome.
            deep: whether to put it to work.
        """
        if self._properties.deviceType == api.TYPE_CPU and not named:
            name = self._properties.deviceName.decode(errors="replace")
            return Unusable("cpu", f"{name} is a CPU posing as a GPU; {MASK}={self._index} admits it")
        if self._refusal:
            return Unusable("unusable", str(self._refusal))
        try:
            if deep:
                fill_and_read_back(self._vulkan, self._handle, self._extensions)
        except DeviceError as error:
            return Unusable("unusable", str(error))
        return None

    def _read_extensions(self) -> frozenset[bytes]:
        function = self._vulkan.vkEnumerateDeviceExtensionProperties
        try:
            offered = api.listing(function, vk.VkExtensionProperties, self._handle, None)
        except api.VulkanError as error:
            self._refusal = error
            return frozenset()
        return frozenset(extension.extensionName for extension in offered)

    def _read_properties(self) -> Any:
        # A driver skips what it does not know; only the PCI address has no value that would mean "unknown".
        chain: list[vk.Tagged] = [self._identity, self._driver]
        if _PCI_BUS_INFO in self._extensions:
            chain.append(self._pci)
        head = vk.VkPhysicalDeviceProperties2(pNext=vk.chained(chain))
        self._vulkan.vkGetPhysicalDeviceProperties2(self._handle, ctypes.byref(head))
        return head.properties

    def _id(self) -> str:
        return grouped(bytes(self._identity.deviceUUID)) or str(self._index)

    def _pci_id(self) -> str:
        if _PCI_BUS_INFO not in self._extensions:
            return ""
        pci = self._pci
        return f"{pci.pciDomain:04x}:{pci.pciBus:02x}:{pci.pciDevice:02x}.{pci.pciFunction:x}"

    def _memory(self) -> tuple[int, int]:
        """Total and free bytes. Free is what the driver would still grant, or all where it does not say."""
        known = _MEMORY_BUDGET in self._extensions
        budget = vk.VkPhysicalDeviceMemoryBudgetPropertiesEXT()
        head = vk.VkPhysicalDeviceMemoryProperties2(pNext=vk.chained([budget] if known else []))
        self._vulkan.vkGetPhysicalDeviceMemoryProperties2(self._handle, ctypes.byref(head))
        memory = head.memoryProperties
        shared = self._properties.deviceType == api.TYPE_INTEGRATED_GPU
        total = free = 0
        for heap in range(memory.memoryHeapCount):
            size, flags = memory.memoryHeaps[heap].size, memory.memoryHeaps[heap].flags
            if shared or flags & api.HEAP_DEVICE_LOCAL:
                total += size
                free += max(0, budget.heapBudget[heap] - budget.heapUsage[heap]) if known else size
        return total, free


def driver_version(version: int, *, driver: int, vendor: int) -> tuple[int, int]:
    """Read a driver's version, which some vendors pack in a way of their own.

    NVIDIA's own driver packs 10, 8, 8 and 6 bits, Intel's on Windows 18 and 14, everybody else 10, 10 and 12
    as Vulkan does for its own version. The vendor alone does not tell: Mesa drives the same cards. The
    version of the interface is no substitute: it says nothing of the driver's age.

    Args:
        version: `driverVersion`.
        driver: `driverID`; 0 where the driver is too old to say.
        vendor: the PCI vendor, which decides only then.

    Returns:
        Major and minor: (580, 95) for NVIDIA's 580.95.05; zeros where the driver counts below that.
    """
    if driver == api.DRIVER_NVIDIA_PROPRIETARY or (driver == 0 and vendor == _NVIDIA):
        return version >> 22, version >> 14 & 0xFF
    if driver == api.DRIVER_INTEL_PROPRIETARY_WINDOWS:
        return version >> 14, version & 0x3FFF
    return version >> 22, version >> 12 & 0x3FF
