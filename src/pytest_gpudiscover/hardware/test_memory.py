"""Free memory, against what a process of ours takes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.hardware.machine import Machine, current, same_card
from pytest_gpudiscover.hardware.truth import UnknownError, nvidia_cards
from pytest_gpudiscover.text import in_unit

MIB = 1 << 20
SIZE = 256 * MIB
"""Bytes that are taken: much for chance, little for any card."""
TOLERANCE = 64 * MIB
"""Bytes that may differ: page tables, pages of 2 MiB, what a desktop does meanwhile. A block that is counted
twice or not at all differs by four times that."""
LEFT = 1024 * MIB
"""Bytes that a busy device is left with: enough for a context, which takes some 300 to 600 MiB."""
QUIET = 0.75
"""Share of a device that must be free before a test may take most of it: else it is somebody's."""


def test_free_memory_follows_what_is_taken_and_given_back(machine: Machine, held_device: DeviceInfo) -> None:
    """256 MiB that another process takes are missing from the free memory, and come back."""
    device = held_device
    _known(machine, device)
    with machine.holder(device) as holder:
        before = _free(machine, device)
        if before < SIZE + TOLERANCE:
            machine.lacks(f"only {in_unit(before, 'MiB')} of it are free: end what uses it", device.library)
        assert holder.ask(f"take {SIZE}") == f"took {SIZE}"
        taken = machine.followed(device, lambda free: _about(before - free, SIZE))
        assert taken is not None
        assert _about(before - taken, SIZE), _moved("taking", before, taken)
        assert holder.ask("give") == "gave"
        given = machine.followed(device, lambda free: _about(before, free))
        assert given is not None
        assert _about(before, given), _moved("giving back", taken, given)
    figures = " -> ".join(in_unit(free, "MiB") for free in (before, taken, given))
    machine.notes.append(f"{device.id}: free before, with {SIZE // MIB} MiB taken, and after: {figures}")


def test_a_busy_device_is_listed_with_what_it_has_left(machine: Machine, held_device: DeviceInfo) -> None:
    """A new discovery finds a device of which nearly all is taken, and says how little is free."""
    device = held_device
    _known(machine, device)
    may_be_filled(machine, device)
    with machine.holder(device) as holder:
        left = int(holder.ask(f"leave {LEFT}").removeprefix("left "))
        machine.followed(device, lambda free: _about(free, left))
        report = machine.discovered_again()
    found = current(report.devices, device)
    assert found is not None, [rejection.detail for rejection in report.rejected]
    assert _about(found.free_memory, left), _moved("filling", left, found.free_memory)
    shown, driver = in_unit(found.free_memory, "MiB"), in_unit(left, "MiB")
    machine.notes.append(
        f"{device.id}: filled up, listed with {shown} free, where its driver counts {driver}"
    )


def may_be_filled(machine: Machine, device: DeviceInfo) -> None:
    """Skip a test that takes all of a device's memory where that would harm somebody, or cannot be done."""
    if device.integrated:
        pytest.skip("it shares the system's memory, which a test must not fill")
    if sys.platform == "win32" or Path("/dev/dxg").exists():
        pytest.skip("Windows lends GPUs the system's memory, so that they cannot be filled")
    free = _free(machine, device)
    if free < max(QUIET * device.total_memory, LEFT + SIZE):
        shown = in_unit(free, "MiB")
        machine.lacks(f"only {shown} of it are free, so somebody uses it: end that", device.library)


def _known(machine: Machine, device: DeviceInfo) -> None:
    """Skip a test where nothing says how much memory is free: without NVML, CUDA's listing says all of it."""
    if device.integrated:
        pytest.skip("it shares the system's memory: its free memory is the system's")
    if device.library != "CUDA":
        return
    try:
        cards = nvidia_cards()
    except UnknownError as error:
        machine.lacks(f"{error}, and without NVML free memory is not known", "CUDA")
    if not any(same_card(card.pci_id, device.pci_id) for card in cards):
        machine.lacks("nvidia-smi does not list it, and without NVML free memory is not known", "CUDA")


def _free(machine: Machine, device: DeviceInfo) -> int:
    free = machine.free(device)
    assert free is not None, f"{device.id} no longer answers when it is asked for its free memory"
    return free


def _about(one: int, other: int) -> bool:
    return abs(one - other) <= TOLERANCE


def _moved(what: str, before: int, after: int) -> str:
    return f"{what} moved the free memory from {in_unit(before, 'MiB')} to {in_unit(after, 'MiB')}"
