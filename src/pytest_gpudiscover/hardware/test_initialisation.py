"""Deep initialisation: that it ran, and that it would notice."""

from __future__ import annotations

import pytest

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.hardware.machine import Machine
from pytest_gpudiscover.hardware.test_memory import may_be_filled
from pytest_gpudiscover.masks import mask_token, mask_variable
from pytest_gpudiscover.reports import Phase
from pytest_gpudiscover.selection.verdicts import same_gpu

NO_ROOM = 16 << 20
"""Bytes that are too few for any context."""


def test_every_device_was_verified_alone(machine: Machine, device: DeviceInfo) -> None:
    """A process of its own has initialised it and answered, behind a mask that shows nothing else.

    How deep that went is another test's question. An answer does not say in the report what it listed, so the
    driver is asked once more behind the same mask.
    """
    variable = mask_variable(device.library, machine.session.surroundings.system)
    if variable is None:
        pytest.skip(f"{device.library} has no mask, and is trusted")
    probes = [probe for probe in machine.report.probes if probe.phase is Phase.VERIFY]
    own = [
        probe
        for probe in probes
        if probe.variant == device.variant and probe.mask.get(variable) == mask_token(device)
    ]
    assert [probe.outcome for probe in own] == ["answered"], [dict(probe.mask) for probe in probes]
    shown = [one for one in machine.shown_alone(device) if one.library == device.library]
    assert len(shown) == 1, f"{variable}={mask_token(device)} shows {[one.description for one in shown]}"
    assert same_gpu(device, shown[0]), f"{variable}={mask_token(device)} shows {shown[0]}"
    took = (own[0].ready or own[0].ended) - own[0].started
    machine.notes.append(f"{device.id}: initialised alone, and answered, in {took:.3f} s")


def test_a_device_without_room_for_a_context_fails_its_verification(
    machine: Machine, held_device: DeviceInfo
) -> None:
    """Verification makes a context: with the device full there can be none, and it says so."""
    device = held_device
    may_be_filled(machine, device)
    with machine.holder(device) as holder:
        left = int(holder.ask(f"leave {NO_ROOM}").removeprefix("left "))
        if left > 2 * NO_ROOM:
            machine.lacks(f"its driver keeps {left} bytes that no program can take", device.library)
        rejection = machine.session.verify(device)
    assert rejection is not None, f"with {left} bytes free a context was made, or none was tried"
    machine.notes.append(f"{device.id}: full, its verification says: {rejection.detail}")
    assert machine.session.verify(device) is None
