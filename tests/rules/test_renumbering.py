"""Renumbering: numeric ids become positions among the survivors, and `filtered_id` leads back."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pytest_gpudiscover.devices import DeviceInfo, is_number
from pytest_gpudiscover.selection import renumbered

ODD_DIGITS = ["\u0663", "\u00b2", "\uff11", "3\n", "-1", "+1", "1.0", "", " 1", "0x1"]

ids = st.integers(0, 300).map(str) | st.sampled_from(["GPU-a", "GPU-b", *ODD_DIGITS])
survivors = st.lists(
    st.builds(DeviceInfo, library=st.sampled_from(["CUDA", "ROCm", "Vulkan"]), id=ids),
    unique_by=lambda device: device.device_id,
)


def rocm(number: str, **fields: Any) -> DeviceInfo:
    return DeviceInfo(library="ROCm", id=number, **fields)


@given(survivors)
def test_renumbered_devices_count_from_0_in_each_library_in_order(devices: list[DeviceInfo]) -> None:
    result = sorted(renumbered(devices), key=lambda device: device.library)
    for _, group in groupby(result, key=lambda device: device.library):
        assert all(device.id == str(n) for n, device in enumerate(group) if is_number(device.id))


@given(survivors)
def test_renumbering_keeps_the_order_and_everything_but_the_numbers(devices: list[DeviceInfo]) -> None:
    blank = [replace(device, id="", filtered_id="") for device in devices]
    assert [replace(device, id="", filtered_id="") for device in renumbered(devices)] == blank


@given(survivors)
def test_a_renumbered_filtered_id_leads_back_to_the_runners_number(devices: list[DeviceInfo]) -> None:
    for before, after in zip(devices, renumbered(devices), strict=True):
        assert after.filtered_id == (before.id if is_number(before.id) else "")
        assert after.runner_id == before.id


@given(survivors)
def test_no_two_renumbered_devices_share_library_and_id(devices: list[DeviceInfo]) -> None:
    result = [device.device_id for device in renumbered(devices)]
    assert len(set(result)) == len(result)


@given(survivors)
def test_renumbering_is_idempotent(devices: list[DeviceInfo]) -> None:
    assert renumbered(renumbered(devices)) == renumbered(devices)


@given(survivors)
def test_ids_that_are_no_ascii_numbers_are_not_renumbered(devices: list[DeviceInfo]) -> None:
    kept = [device.id for device in devices if not (device.id.isascii() and device.id.isdigit())]
    assert [device.id for device in renumbered(devices) if not device.filtered_id] == kept


def test_an_id_that_is_no_number_takes_up_a_position_when_renumbered() -> None:
    assert [device.id for device in renumbered([rocm("GPU-a"), rocm("4"), rocm("GPU-b"), rocm("7")])] == [
        "GPU-a",
        "1",
        "GPU-b",
        "3",
    ]


def test_renumbering_notes_the_runners_number_even_when_nothing_moved() -> None:
    assert [(d.id, d.filtered_id) for d in renumbered([rocm("0"), rocm("1")])] == [("0", "0"), ("1", "1")]


def test_renumbering_keeps_the_token_that_came_through_the_users_mask() -> None:
    assert [(d.id, d.filtered_id) for d in renumbered([rocm("1", filtered_id="GPU-cafe")])] == [
        ("0", "GPU-cafe")
    ]


def test_a_uuid_loses_a_filtered_id_that_a_runner_sent_when_renumbered() -> None:
    assert [device.filtered_id for device in renumbered([rocm("GPU-a", filtered_id="9")])] == [""]
