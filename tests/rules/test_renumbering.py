"""Renumbering: numeric ids become positions among the survivors, and `filtered_id` leads back."""

from __future__ import annotations

from typing import Any

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.selection import renumbered


def rocm(number: str, **fields: Any) -> DeviceInfo:
    return DeviceInfo(library="ROCm", id=number, **fields)


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
