"""What a discovery lists, against what the machine itself says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.hardware.machine import Machine, same_card
from pytest_gpudiscover.hardware.truth import Card, UnknownError, amd_cards, nvidia_cards
from pytest_gpudiscover.native.drivers import ROOT_VARIABLE

_LEAST, _MOST = 0.9, 1.001
"""Shares of a card's memory that a library may report: drivers keep some per cent, and nvidia-smi rounds."""


def test_every_card_of_nvidia_smi_is_found_once(machine: Machine) -> None:
    """What NVML knows and what is usable are the same cards, and each has the memory that NVML says."""
    machine.unmasked("CUDA")
    try:
        cards = nvidia_cards()
    except UnknownError as error:
        machine.lacks(str(error), "CUDA")
    if not cards:
        machine.lacks("nvidia-smi lists no card", "CUDA")
    assert _wrong(machine, cards) == []
    ours = [device for device in machine.devices if device.library == "CUDA"]
    unknown = [one.id for one in ours if not any(same_card(one.pci_id, card.pci_id) for card in cards)]
    assert unknown == [], "CUDA shows what nvidia-smi does not list"
    machine.notes.append(f"nvidia-smi lists {len(cards)}, all of them found")


def test_every_card_that_amdgpu_drives_is_found_once(machine: Machine) -> None:
    """What the kernel's driver has and what is usable are the same cards, through whichever library."""
    machine.unmasked("ROCm")
    root = machine.session.surroundings.environment.get(ROOT_VARIABLE) or "/"
    cards = amd_cards(Path(root))
    if not cards:
        machine.lacks("the kernel's driver amdgpu has no card", "ROCm")
    assert _wrong(machine, cards) == []
    machine.notes.append(f"amdgpu drives {len(cards)}, all of them found")


def test_a_card_that_cuda_and_vulkan_show_is_one_device(machine: Machine) -> None:
    """Vulkan lists NVIDIA's cards as well: each is dropped there as a duplicate, and kept through CUDA."""
    ours = [device for device in machine.devices if device.library == "CUDA"]
    if not ours:
        machine.lacks("no device is used through CUDA", "CUDA")
    dropped = [
        rejection
        for rejection in machine.report.rejected
        if rejection.phase == "duplicate" and rejection.library == "Vulkan"
        if any(same_card(rejection.pci_id, device.pci_id) for device in ours)
    ]
    twice = [
        f"{other.description} at {other.pci_id or 'an unknown place'} ({other.library} {other.id})"
        for other in machine.devices
        if other.library == "Vulkan" and _is_one_of(other, ours)
    ]
    assert twice == [], "used through CUDA, and once more"
    if not dropped:
        machine.lacks("Vulkan lists no card of CUDA's", "Vulkan")
    machine.notes.append(f"through CUDA and Vulkan: {len(dropped)}, each of them one device")


def _is_one_of(other: DeviceInfo, ours: Sequence[DeviceInfo]) -> bool:
    """Whether a device is one of CUDA's: at its place, or, where Vulkan does not know that, by its name."""
    if other.pci_id:
        return any(same_card(other.pci_id, device.pci_id) for device in ours)
    return any(other.description == device.description for device in ours)


def _wrong(machine: Machine, cards: Sequence[Card]) -> list[str]:
    return [problem for card in cards if (problem := _problem(machine, card))]


def _problem(machine: Machine, card: Card) -> str:
    """Say what is wrong with a card among the devices; "" when nothing is."""
    named = f"{card.name or 'the card'} at {card.pci_id}"
    served = [device for device in machine.devices if same_card(device.pci_id, card.pci_id)]
    if not served:
        said = [one.detail for one in machine.report.rejected if same_card(one.pci_id, card.pci_id)]
        return f"{named} is not usable: {'; '.join(said) or 'no driver listed it'}"
    slices = all(device.id.startswith("MIG-") for device in served)
    if len(served) > 1 and not slices:
        return f"{named} is {len(served)} devices: {', '.join(str(one.device_id) for one in served)}"
    if slices or card.memory is None or served[0].integrated:
        return ""
    share = served[0].total_memory / card.memory
    return (
        ""
        if _LEAST <= share <= _MOST
        else f"{named} has {card.memory} bytes, listed {served[0].total_memory}"
    )
