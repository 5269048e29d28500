"""Level Zero's system management, sysman: how much of a card's memory is free.

Facts are from the oneAPI Level Zero specification, "Sysman". It is optional, and whatever it refuses is
simply not known. It lists whole cards, whatever the mask; only the PCI address is the same on both sides.
"""

from __future__ import annotations

from ctypes import byref, c_void_p

from pytest_gpudiscover.native.drivers.level_zero_api import (
    LevelZero,
    LevelZeroError,
    SysmanMemState,
    SysmanPciProperties,
    listing,
)


def free_memory(library: LevelZero) -> dict[str, int]:
    """Ask every card.

    Returns:
        by PCI id, the free bytes of all memory modules of a card. A card that does not answer is missing.
    """
    free: dict[str, int] = {}
    try:
        library.zesInit(0)
        drivers = listing(library.zesDriverGet, c_void_p)
        devices = [device for driver in drivers for device in listing(library.zesDeviceGet, c_void_p, driver)]
    except LevelZeroError:
        return free
    for device in devices:
        try:
            free |= _of_card(library, device)
        except LevelZeroError:
            continue
    return free


def _of_card(library: LevelZero, device: int) -> dict[str, int]:
    pci = SysmanPciProperties()
    library.zesDevicePciGetProperties(device, byref(pci))
    modules = listing(library.zesDeviceEnumMemoryModules, c_void_p, device)
    # Integrated GPUs have no module of their own.
    return {pci_id(pci): sum(_of_module(library, module) for module in modules)} if modules else {}


def _of_module(library: LevelZero, module: int) -> int:
    state = SysmanMemState()
    library.zesMemoryGetState(module, byref(state))
    free: int = state.free
    return free


def pci_id(address: object) -> str:
    """An address as the answer spells it: `0000:03:00.0`."""
    domain, bus, device, function = (
        getattr(address, part) for part in ("domain", "bus", "device", "function")
    )
    return f"{domain:04x}:{bus:02x}:{device:02x}.{function:x}"
