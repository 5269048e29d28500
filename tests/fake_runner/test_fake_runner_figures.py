"""Faults of single figures, of the shape of the answer, and of free memory over time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.fake_runner.conftest import Start

GIB = 2**30


@pytest.mark.parametrize(
    ("form", "literal"),
    [
        ("digits", b"9" * 4301),
        ("negative", b"-1"),
        ("huge", b"18446744073709551616"),
        ("float", b"8589934592.0"),
        ("bool", b"true"),
    ],
)
def test_bad_int_stands_where_the_total_memory_of_one_device_should(
    faulty: Start, form: str, literal: bytes
) -> None:
    _, body = faulty("bad_int", form=form, device="b").get()
    assert body.count(b'"total_memory": ' + literal + b",") == 1
    assert body.count(b'"total_memory": 8589934592,') == 2


def test_a_fault_of_figures_strikes_every_device_unless_it_is_told_one(faulty: Start) -> None:
    assert faulty("bad_int", form="negative").listed("total_memory") == [-1, -1, -1]
    assert faulty("bad_int", form="negative", device="c").listed("total_memory") == [8 * GIB, 8 * GIB, -1]


def test_a_fault_of_figures_makes_up_a_device_where_there_is_none(start: Start) -> None:
    assert start({"fault": [{"name": "total_zero"}]}).listed("total_memory") == [0]


def test_faults_of_figures_combine_in_one_body(start: Start, host: dict[str, Any]) -> None:
    host["fault"] = [{"name": "nan", "device": "a"}, {"name": "bad_int", "device": "b"}, {"name": "bad_utf8"}]
    _, body = start(host, "cuda_v13").get()
    assert (body.count(b"NaN"), body.count(b"9" * 4301), body.count(b"\xff\xfe\x80")) == (1, 1, 3)


@pytest.mark.parametrize(
    ("form", "shape"),
    [
        ("null", None),
        ("text", "no list"),
    ],
)
def test_wrong_shape_is_no_list(faulty: Start, form: str, shape: object) -> None:
    assert json.loads(faulty("wrong_shape", form=form).get()[1]) == shape


def test_wrong_shape_can_be_an_object_around_the_list(faulty: Start) -> None:
    shape = json.loads(faulty("wrong_shape", form="object").get()[1])
    assert [entry["description"] for entry in shape["devices"]] == ["a", "b", "c"]


def test_wrong_shape_can_be_that_of_the_first_entry_only(faulty: Start) -> None:
    entries: dict[str, list[Any]] = {
        form: faulty("wrong_shape", form=form).entries()
        for form in ("null_entry", "list_entry", "missing_id", "null_id")
    }
    assert entries["null_entry"][0] is None
    assert isinstance(entries["list_entry"][0], list)
    assert "id" not in entries["missing_id"][0]
    assert entries["null_id"][0]["id"] is None
    assert all([entry["id"] for entry in rest[1:]] == ["GPU-aa22", "GPU-cc33"] for rest in entries.values())


def test_hostile_strings_hold_what_no_terminal_should_see(faulty: Start) -> None:
    assert all("\x00" in text for text in faulty("hostile_strings").listed())
    assert all(text.startswith("\x1b]0;") for text in faulty("hostile_strings", form="escape").listed())
    assert [len(text) for text in faulty("hostile_strings", form="long", device="a").listed()] == [
        2**20,
        1,
        1,
    ]


def test_free_above_total_has_twice_the_memory(faulty: Start) -> None:
    runner = faulty("free_above_total", device="b")
    assert runner.listed("free_memory") == [8 * GIB, 16 * GIB, 8 * GIB]
    assert runner.listed("total_memory") == [8 * GIB] * 3


def test_total_zero_leaves_no_memory(faulty: Start) -> None:
    entries = faulty("total_zero", device="a").entries()
    assert [entry["total_memory"] for entry in entries] == [0, 8 * GIB, 8 * GIB]
    assert "free_memory" not in entries[0]


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ("missing", None),
        ("upper", "0000:0A:00.0"),
        ("wide_domain", "00000000:0a:00.0"),
        ("short", "0a:00.0"),
        ("wrong", "0000:00:00.0"),
    ],
)
def test_pci_odd_spells_the_id_of_one_device_differently(faulty: Start, form: str, shown: str | None) -> None:
    entries = faulty("pci_odd", form=form, device="a").entries()
    assert [entry.get("pci_id") for entry in entries] == [shown, "0000:0b:00.0", "0000:0c:00.0"]


def integrated(host: dict[str, Any], name: str) -> dict[str, Any]:
    """The host with its first GPU integrated, and a fault."""
    host["gpu"][0]["integrated"] = True
    return host | {"fault": [{"name": name}]}


def flags(entries: list[dict[str, Any]]) -> list[Any]:
    return [entry.get("integration") for entry in entries]


def test_flag_missing_hides_that_a_gpu_is_integrated(start: Start, host: dict[str, Any]) -> None:
    assert flags(start(integrated(host, "slice"), "cuda_v13").entries()) == [True, None, None]
    assert flags(start(integrated(host, "flag_missing"), "cuda_v13").entries()) == [None, None, None]


def test_flag_inverted_says_the_opposite(start: Start, host: dict[str, Any]) -> None:
    assert flags(start(integrated(host, "flag_inverted"), "cuda_v13").entries()) == [False, True, True]


@pytest.mark.parametrize(("form", "free"), [("huge", 2**64 - 1), ("none", 0), ("one", 1)])
def test_integrated_free_garbage_strikes_integrated_gpus_only(
    start: Start, host: dict[str, Any], form: str, free: int
) -> None:
    host = integrated(host, "integrated_free_garbage")
    host["fault"][0]["form"] = form
    assert start(host, "cuda_v13").listed("free_memory") == [free, 8 * GIB, 8 * GIB]


# Over time


def free(start: Start, host: dict[str, Any], count: int) -> list[int]:
    """The free memory of the first device, as so many starts say it."""
    starts = [start(host, "cuda_v13", GPUDISCOVER_PHASE="refresh") for _ in range(count)]
    return [runner.listed("free_memory")[0] for runner in starts]


def one_after_the_other(start: Start, host: dict[str, Any], count: int) -> list[int]:
    return [free(start, host, 1)[0] for _ in range(count)]


def test_memory_drift_differs_at_each_start_within_its_bounds_and_follows_its_seed(
    start: Start, host: dict[str, Any]
) -> None:
    def drift(**arguments: object) -> list[int]:
        host["fault"] = [{"name": "memory_drift", **arguments}]
        return one_after_the_other(start, host, 3)

    first, other = drift(seed=1), drift(seed=2)
    assert len(set(first + other)) == 6
    assert all(0.9 * 8 * GIB <= value < 8 * GIB for value in first + other)
    host["fault"] = [{"name": "memory_drift", "seed": 1, "variant": "cuda_v13"}]
    assert one_after_the_other(start, host, 3) == first
    assert min(drift(percent=100)) < 0.9 * 8 * GIB


def test_memory_frozen_stays_what_it_was_whatever_the_host_says(start: Start, host: dict[str, Any]) -> None:
    host["fault"] = [{"name": "memory_frozen", "device": "a"}]
    assert free(start, host, 1) == [8 * GIB]
    for gpu in host["gpu"]:
        gpu["free_memory"] = GIB
    runner = start(host, "cuda_v13")
    assert runner.listed("free_memory") == [8 * GIB, GIB, GIB]


def test_memory_lag_gives_back_late_and_takes_at_once(start: Start, host: dict[str, Any]) -> None:
    host["fault"] = [{"name": "memory_lag", "calls": 2}]
    host["gpu"][0]["free_memory"] = GIB
    assert free(start, host, 1) == [GIB]
    host["gpu"][0]["free_memory"] = 6 * GIB
    assert one_after_the_other(start, host, 3) == [GIB, GIB, 6 * GIB]
    host["gpu"][0]["free_memory"] = 2 * GIB
    assert free(start, host, 1) == [2 * GIB]
