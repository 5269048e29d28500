"""Verdicts: what the answer of a masked probe says about the device it was masked to."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gpudiscover.devices import DeviceInfo, is_number, pci_address
from pytest_gpudiscover.reports import Phase, Reason, Rejection
from pytest_gpudiscover.text import count, printable
from pytest_gpudiscover.wire import Answer


def same_gpu(device: DeviceInfo, listed: DeviceInfo) -> bool:
    """Whether an answer's entry is the device asked for.

    By PCI id where both have one, else by UUID where both have one, else by description and total memory;
    never by a number, which is a position behind the mask. Two UUIDs at one PCI address are two slices.
    """
    if device.library != listed.library:
        return False
    mine, theirs = pci_address(device.pci_id), pci_address(listed.pci_id)
    uuids = not is_number(device.runner_id) and not is_number(listed.id)
    if mine and theirs:
        return mine == theirs and (not uuids or device.id == listed.id)
    if uuids:
        return device.id == listed.id
    return (device.description, device.total_memory) == (listed.description, listed.total_memory)


def verdict(device: DeviceInfo, answer: Answer) -> Rejection | None:
    """Judge the answer of a probe that was masked to one device.

    Returns:
        None when the device is there, also beside others; else why it is rejected. Refused entries do not
        count as present, but when the device itself is among them, its own reason is kept.
    """
    if any(same_gpu(device, listed) for listed in answer.devices):
        return None
    if own := refusal_of(device, answer, Phase.VERIFY):
        return own
    others = answer.devices
    if not others:
        detail = "asked for this device alone, with deep initialisation, the runner listed nothing"
        return Rejection.of(device, Phase.VERIFY, Reason.NOT_LISTED, detail)
    found = f"{count(len(others), 'other device')}: {_names(others)}"
    detail = f"asked for this device alone, the runner listed {found}"
    return Rejection.of(device, Phase.VERIFY, Reason.MASK_IGNORED, detail)


def refusal_of(device: DeviceInfo, answer: Answer, phase: Phase) -> Rejection | None:
    """The reason that an answer's refused entry for this very device gives, if it has one."""
    for refused in answer.rejections:
        if refused.device and same_gpu(device, refused.device):
            return Rejection.of(device, phase, refused.reason, refused.detail)
    return None


def _names(devices: Sequence[DeviceInfo]) -> str:
    return ", ".join(printable(f"{device.library} {device.id}", 60) for device in devices[:3])
