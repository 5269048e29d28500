"""ROCm, where the kernel shows nothing of its GPUs: under WSL2 and on Windows, HIP alone knows them.

HIP applies the masks itself. Listing through it initialises the GPUs, but takes no memory on them.
"""

from __future__ import annotations

import ctypes
import re
from ctypes import byref

from pytest_gpudiscover.native.drivers import ROCM
from pytest_gpudiscover.native.drivers import rocm_masks as masks
from pytest_gpudiscover.native.drivers.interface import DeviceError, DriverError, Entry, Unusable
from pytest_gpudiscover.native.drivers.rocm_deep import fill_and_compare
from pytest_gpudiscover.native.drivers.rocm_hip import ATTRIBUTE_INTEGRATED, Hip, HipError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

NO_DEVICE = 100

_TARGET = re.compile(r"gfx([0-9]+)([0-9a-f])([0-9a-f])", re.ASCII)
_UUID_DIGITS = re.compile(rb"[0-9a-f]{16}")


def list_through_hip(hip: Hip, *, environment: Mapping[str, str], deep: bool) -> list[Entry]:
    """List the GPUs that HIP shows behind its masks, in its order.

    Args:
        hip: the loaded library.
        environment: where it is looked up whether there is a mask.
        deep: put each GPU to work, and mark those that fail.

    Raises:
        DriverError: HIP refuses as a whole.
    """
    count, version = ctypes.c_int(), ctypes.c_int()
    try:
        hip.hipInit(0)
        hip.hipGetDeviceCount(byref(count))
        hip.hipDriverGetVersion(byref(version))
    except HipError as error:
        in_force = masks.in_force(environment)
        if error.result == NO_DEVICE and any(map(masks.hides_on_purpose, in_force.values())):
            return []
        also = f"; {' and '.join(in_force)} set: check that they name what is there" if in_force else ""
        raise DriverError(f"{error}{also}") from None
    driver = (version.value // 10_000_000, version.value // 100_000 % 100)
    return [_entry(hip, place, driver, deep=deep) for place in range(count.value)]


def packed(target: str) -> tuple[int, int]:
    """A target such as `gfx90a:xnack-` as the protocol packs it; zeros where it is none."""
    digits = _TARGET.match(target)
    return (int(digits[1], 16), int(digits[2] + digits[3], 16)) if digits else (0, 0)


def _entry(hip: Hip, place: int, driver: tuple[int, int], *, deep: bool) -> Entry:
    entry = Entry(id=str(place), backend=ROCM.library, name=f"ROCm{place}", description="", index=place)
    entry.driver = driver
    try:
        _describe(entry, hip)
        entry.free_memory = fill_and_compare(hip, place) if deep else entry.total_memory
    except DeviceError as error:
        entry.unusable = Unusable("unusable", str(error))
    return entry


def _describe(entry: Entry, hip: Hip) -> None:
    total, integrated = ctypes.c_size_t(), ctypes.c_int()
    uuid = ctypes.create_string_buffer(16)
    entry.description = hip.text(hip.hipDeviceGetName, entry.index)
    entry.pci_id = hip.text(hip.hipDeviceGetPCIBusId, entry.index).lower()
    hip.hipDeviceTotalMem(byref(total), entry.index)
    hip.hipDeviceGetAttribute(byref(integrated), ATTRIBUTE_INTEGRATED, entry.index)
    hip.hipDeviceGetUuid(uuid, entry.index)
    if _UUID_DIGITS.fullmatch(uuid.raw):
        entry.id = f"GPU-{uuid.raw.decode()}"
    entry.compute = packed(hip.target(entry.index))
    entry.integrated = bool(integrated.value)
    entry.total_memory = total.value
