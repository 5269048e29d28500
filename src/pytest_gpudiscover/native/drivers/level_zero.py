"""Level Zero: which devices Intel's driver shows, and what it says of them.

Facts are from the oneAPI Level Zero specification; what the mask means in practice is from Intel's
compute-runtime. The driver itself reads `ZE_AFFINITY_MASK` when it is initialised, and lists what is left in
its own order, whatever the order of the mask: so a place in the list is a position among the mask's numbers,
sorted. An empty mask, or `default`, is none.
"""

from __future__ import annotations

import re
import sys
from ctypes import byref, c_void_p

from pytest_gpudiscover.native.drivers import LEVEL_ZERO
from pytest_gpudiscover.native.drivers import level_zero_api as api
from pytest_gpudiscover.native.drivers.asking import Asked
from pytest_gpudiscover.native.drivers.interface import DeviceError, DriverError, Entry, Unusable, grouped
from pytest_gpudiscover.native.drivers.level_zero_advice import in_words
from pytest_gpudiscover.native.drivers.level_zero_deep import fill_and_compare
from pytest_gpudiscover.native.drivers.level_zero_memory import free_memory, pci_id
from pytest_gpudiscover.native.drivers.loading import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MASK = "ZE_AFFINITY_MASK"

# Nine digits are more than any machine has.
_C_NUMBER = re.compile(r"\+?(?:0x([0-9a-f]{1,9})|(0[0-7]{0,9})|([1-9][0-9]{0,8}))", re.ASCII | re.IGNORECASE)


def list_devices(*, environment: Mapping[str, str], deep: bool) -> list[Entry]:
    """List the GPUs that the drivers show behind the mask, in their order.

    Args:
        environment: where the mask is looked up; the driver reads it itself.
        deep: fill and read back a buffer on each device, and mark those that fail.

    Raises:
        DriverError: there is no loader, or it finds no driver, or that refuses as a whole.
    """
    library = load(LEVEL_ZERO, api.LevelZero)
    mask = environment.get(MASK)
    numbers = shown(mask)
    try:
        library.zeInit(api.INIT_GPU_ONLY)
        found = _all_devices(library)
    except api.LevelZeroError as error:
        if error.result == api.UNINITIALIZED and numbers == []:
            return []
        also = f"; {MASK} is set: check that it names what is there" if numbers is not None else ""
        raise DriverError(in_words(error, platform=sys.platform) + also) from None
    free = free_memory(library)
    gpus = [device for device in found if device.is_gpu]
    return [device.entry(place, numbers, free, deep=deep) for place, device in enumerate(gpus)]


def _all_devices(library: api.LevelZero) -> list[Device]:
    """The devices of every driver. One that refuses costs no other, unless there is nothing else."""
    found: list[Device] = []
    refusals: list[api.LevelZeroError] = []
    for driver in api.listing(library.zeDriverGet, c_void_p):
        try:
            handles = api.listing(library.zeDeviceGet, c_void_p, driver)
        except api.LevelZeroError as error:
            refusals.append(error)
        else:
            found += [Device(library, driver, handle, place) for place, handle in enumerate(handles)]
    if refusals and not found:
        raise refusals[0]
    return found


def shown(mask: str | None) -> list[int] | None:
    """Read the mask: the numbers of the devices it shows, in the order in which the driver lists them.

    A tile (`1.0`) counts as its device. What is no number shows nothing.

    Args:
        mask: the value of `ZE_AFFINITY_MASK`; None when it is not set.

    Returns:
        None for no mask.
    """
    if mask is None or mask in {"", "default"}:
        return None
    devices = (_number(entry.partition(".")[0].strip()) for entry in mask.split(","))
    return sorted({device for device in devices if device is not None})


def _number(text: str) -> int | None:
    """A number in C's notations: 10, 0xa, 012."""
    match = _C_NUMBER.fullmatch(text)
    if match is None:
        return None
    hexadecimal, octal, decimal = match.groups()
    return int(hexadecimal, 16) if hexadecimal else int(octal, 8) if octal else int(decimal)


class Device(Asked):
    """One device. A question that the driver refuses leaves its answer empty, and the device unusable."""

    def __init__(self, library: api.LevelZero, driver: int, handle: int, position: int) -> None:
        super().__init__()
        self._library = library
        self._driver = driver
        self._handle = handle
        self._position = position
        # One that cannot say what it is must not vanish: it is taken for a GPU.
        self._properties = api.DeviceProperties(type=api.TYPE_GPU)
        self._ask(library.zeDeviceGetProperties, handle, byref(self._properties))

    @property
    def is_gpu(self) -> bool:
        """Whether it is one; drivers list other accelerators too."""
        kind: int = self._properties.type
        return kind == api.TYPE_GPU

    def entry(self, place: int, numbers: list[int] | None, free: Mapping[str, int], *, deep: bool) -> Entry:
        """What the answer says of it.

        Args:
            place: its place in the answer.
            numbers: what the mask shows, sorted; None for no mask.
            free: the free bytes of each PCI id.
            deep: whether to put it to work.
        """
        total = self._total_memory()
        address = self._pci_id()
        return Entry(
            id=grouped(bytes(self._properties.uuid)) or str(place),
            backend=LEVEL_ZERO.library,
            name=f"LevelZero{place}",
            description=self._properties.name.decode(errors="replace"),
            index=numbers[self._position] if numbers and self._position < len(numbers) else self._position,
            integrated=bool(self._properties.flags & api.INTEGRATED),
            pci_id=address,
            total_memory=total,
            # A tile cannot have more free than it has: what is known is of the whole card.
            free_memory=min(free.get(address, total), total),
            driver=self._driver_version(),
            unusable=self._fault(deep=deep),
        )

    def _fault(self, *, deep: bool) -> Unusable | None:
        try:
            if self._refusal:
                raise self._refusal
            if deep:
                fill_and_compare(self._library, self._driver, self._handle)
        except api.LevelZeroError as error:
            return Unusable("unusable", in_words(error, platform=sys.platform))
        except DeviceError as error:
            return Unusable("unusable", str(error))
        return None

    def _pci_id(self) -> str:
        properties = api.PciExtProperties()
        try:
            self._library.zeDevicePciGetPropertiesExt(self._handle, byref(properties))
        except api.LevelZeroError:
            return ""
        return pci_id(properties)

    def _total_memory(self) -> int:
        memories: list[api.DeviceMemoryProperties] = []
        self._ask(
            lambda: memories.extend(
                api.listing(
                    self._library.zeDeviceGetMemoryProperties, api.DeviceMemoryProperties, self._handle
                )
            )
        )
        return sum(memory.totalSize for memory in memories)

    def _driver_version(self) -> tuple[int, int]:
        """Major and minor as Intel packs them, in 8 bits each above 16 of the build; zeros where unknown."""
        properties = api.DriverProperties()
        self._ask(self._library.zeDriverGetProperties, self._driver, byref(properties))
        version: int = properties.driverVersion
        return version >> 24, version >> 16 & 0xFF
