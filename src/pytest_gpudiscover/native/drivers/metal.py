"""Metal: which GPUs macOS has, and what it says of them.

Facts are from Apple's documentation of Metal; macOS 10.15 or later. Metal has no mask. Its memory is what it
recommends to use of the memory that CPU and GPU share, and free is what this process may still allocate.

Untested on a real Mac: run on a stand-in for Metal and the Objective-C runtime, on Linux.
"""

from __future__ import annotations

from pytest_gpudiscover.native.drivers import METAL
from pytest_gpudiscover.native.drivers import metal_api as api
from pytest_gpudiscover.native.drivers.interface import DeviceError, Entry, Unusable
from pytest_gpudiscover.native.drivers.loading import load
from pytest_gpudiscover.native.drivers.metal_deep import fill_and_compare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def list_devices(*, environment: Mapping[str, str], deep: bool) -> list[Entry]:  # noqa: ARG001 - no mask
    """List every GPU, in Metal's order.

    Args:
        environment: not read, as Metal has no mask.
        deep: fill and read back a buffer on each device, and mark those that fail.

    Raises:
        DriverError: there is no Metal.
    """
    metal = load(METAL, api.Metal)
    with metal.devices() as devices:
        return [_entry(metal, device, place, deep=deep) for place, device in enumerate(devices)]


def _entry(metal: api.Metal, device: int, place: int, *, deep: bool) -> Entry:
    total = metal.send(device, "recommendedMaxWorkingSetSize")
    return Entry(
        id=str(place),
        backend=METAL.library,
        name=f"Metal{place}",
        description=metal.text(metal.send(device, "name")),
        index=place,
        integrated=metal.send(device, "hasUnifiedMemory"),
        total_memory=total,
        free_memory=max(0, total - metal.send(device, "currentAllocatedSize")),
        unusable=_fault(metal, device) if deep else None,
    )


def _fault(metal: api.Metal, device: int) -> Unusable | None:
    try:
        fill_and_compare(metal, device)
    except DeviceError as error:
        return Unusable("unusable", str(error))
    return None
