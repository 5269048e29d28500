"""The masks that we emit, and what a program sees behind them."""

from __future__ import annotations

import pytest

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.hardware.machine import Machine, same_card
from pytest_gpudiscover.masks import mask_variable


def test_the_mask_of_a_device_shows_that_device_alone(machine: Machine, device: DeviceInfo) -> None:
    """A discovery in a new process, which has nothing but the masks of this one, finds just this device."""
    if mask_variable(device.library, machine.session.surroundings.system) is None:
        pytest.skip(f"{device.library} has no mask")
    listed = machine.listed(machine.alone(device))
    assert [(one["library"], one["description"]) for one in listed] == [(device.library, device.description)]
    (shown,) = listed
    # A number counts anew behind a mask, and then the token of a mask says which device it is.
    same_number = device.filtered_id and shown["filtered_id"] == device.filtered_id
    assert shown["id"] == device.id or same_card(shown["pci_id"], device.pci_id) or same_number
