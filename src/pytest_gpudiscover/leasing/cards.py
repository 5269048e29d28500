"""Cards: the physical GPUs behind devices, under names that are the same in every process.

Pure: no I/O here.
"""

from __future__ import annotations

from collections.abc import Iterable

from pytest_gpudiscover.devices import DeviceInfo, pci_address
from pytest_gpudiscover.masks import mask_token
from pytest_gpudiscover.text import printable

_SLICE = "MIG-"


def card_name(device: DeviceInfo) -> str:
    """Name the physical GPU behind a device, whatever masks the process runs under.

    A PCI address names a card for every library: `pci 0000:01:00.0`. The slices of one card (MIG) share its
    address, and are told apart by their UUIDs. Without a PCI id only the library knows the card: then its
    name is the library and the token of a mask.
    """
    address = pci_address(device.pci_id)
    if address is None:
        return f"{device.library} {mask_token(device)}"
    domain, bus, slot, function = address
    name = f"pci {domain:04x}:{bus:02x}:{slot:02x}.{function:x}"
    return f"{name} {device.id}" if device.id.startswith(_SLICE) else name


def capacities(devices: Iterable[DeviceInfo]) -> dict[str, int]:
    """How many bytes of each card leases may share: what is free, or all where the library does not tell."""
    return {card_name(device): device.free_memory or device.total_memory for device in devices}


def names_for_people(devices: Iterable[DeviceInfo]) -> dict[str, str]:
    """What to call each card in a sentence: `CUDA NVIDIA L4 GPU-1fd4`."""
    return {card_name(device): _name_for_people(device) for device in devices}


def _name_for_people(device: DeviceInfo) -> str:
    product = printable(device.description or device.name, 60)
    return " ".join(part for part in (printable(device.library, 60), product, device.id) if part)
