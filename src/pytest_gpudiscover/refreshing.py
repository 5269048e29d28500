"""Refresh: newer figures of free memory for devices that are known already.

Pure: answers in, devices and rejections out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_gpudiscover.devices import DeviceID, DeviceInfo, is_number, pci_address
from pytest_gpudiscover.reports import Phase, Reason, Rejection
from pytest_gpudiscover.selection.verdicts import refusal_of, same_gpu
from pytest_gpudiscover.wire import Answer


@dataclass(frozen=True, kw_only=True)
class Matched:
    """What one answer says about the devices its probe was masked to.

    Attributes:
        free: bytes of free memory, by the known device's id.
        missing: the devices the answer should have listed and did not.
        strangers: entries that belong to none of them.
    """

    free: Mapping[DeviceID, int]
    missing: tuple[DeviceInfo, ...]
    strangers: tuple[DeviceInfo, ...]


def matched(kept: Sequence[DeviceInfo], answer: Answer, masked: Collection[str]) -> Matched:
    """Match an answer to the devices its probe was masked to.

    By PCI id where both sides have one, else by UUID where both do, else number n is the n-th of its library
    in the mask, if description and total memory agree. Nothing else matches, and nobody is matched twice.

    Args:
        kept: the devices, in the order of the mask.
        answer: what the probe answered.
        masked: the libraries that the probe's masks apply to. Of another library all devices are shown, and a
            number is the one that the runner gave at first.
    """
    free: dict[DeviceID, int] = {}
    strangers: list[DeviceInfo] = []
    for listed in answer.devices:
        candidates = [device for device in kept if device.library == listed.library]
        found = _find(listed, candidates, listed.library in masked)
        if found is None or found.device_id in free:
            strangers.append(listed)
        else:
            free[found.device_id] = listed.free_memory
    missing = tuple(device for device in kept if device.device_id not in free)
    return Matched(free=free, missing=missing, strangers=tuple(strangers))


def _find(listed: DeviceInfo, candidates: Sequence[DeviceInfo], masked: bool) -> DeviceInfo | None:
    # A place in the mask is the weakest evidence: whoever is known by a PCI id or a UUID comes first, and a
    # card of another kind that was put there since is a stranger.
    known = next(
        (device for device in candidates if _comparable(device, listed) and same_gpu(device, listed)), None
    )
    if known is not None or not is_number(listed.id):
        return known
    by_number = {str(n) if masked else device.runner_id: device for n, device in enumerate(candidates)}
    in_its_place = by_number.get(listed.id)
    return in_its_place if in_its_place is not None and same_gpu(in_its_place, listed) else None


def _comparable(device: DeviceInfo, listed: DeviceInfo) -> bool:
    """Whether PCI ids or UUIDs tell the two apart."""
    addresses = pci_address(device.pci_id) and pci_address(listed.pci_id)
    return bool(addresses) or not (is_number(device.id) or is_number(listed.id))


def updated(devices: Iterable[DeviceInfo], free: Mapping[DeviceID, int]) -> tuple[DeviceInfo, ...]:
    """Give the devices their new free memory; those without one keep the old figure and are stale."""
    return tuple(
        replace(
            device,
            free_memory=free.get(device.device_id, device.free_memory),
            stale=device.device_id not in free,
        )
        for device in devices
    )


def vanished(device: DeviceInfo, answer: Answer) -> Rejection:
    """Report a kept device that a good answer did not list, or listed in a way that had to be refused."""
    detail = "it was kept, and a good answer no longer lists it; its figures are the old ones"
    refused = refusal_of(device, answer, Phase.REFRESH)
    return refused or Rejection.of(device, Phase.REFRESH, Reason.VANISHED, detail)


def appeared(strangers: Iterable[DeviceInfo], known: Collection[DeviceInfo]) -> list[Rejection]:
    """Report the strangers in an answer that no earlier answer had listed, rejected or not."""
    detail = "it was not there before; a rescan would take it up"
    return [
        Rejection.of(stranger, Phase.REFRESH, Reason.APPEARED, detail)
        for stranger in strangers
        if not any(same_gpu(device, stranger) for device in known)
    ]


def with_available_memory(devices: Iterable[DeviceInfo], available: int) -> tuple[DeviceInfo, ...]:
    """Correct the integrated CUDA devices, whose driver takes the page cache for used memory.

    Args:
        devices: all of them.
        available: the system's available memory, in bytes.
    """
    return tuple(
        replace(device, free_memory=available) if needs_available_memory(device) else device
        for device in devices
    )


def needs_available_memory(device: DeviceInfo) -> bool:
    """Whether a device's free memory is the system's."""
    return device.integrated and device.library == "CUDA"
