"""The native runner on Intel cards that no machine here has, acted by a stand-in for Level Zero's loader."""

from __future__ import annotations

import ctypes
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import stand_ins
from pytest_gpudiscover.native.drivers import level_zero_api as api
from pytest_gpudiscover.native.drivers.level_zero import shown
from pytest_gpudiscover.native.drivers.level_zero_advice import in_words, problem_with_nodes
from pytest_gpudiscover.native.drivers.permission import remedy
from stand_ins import A770, B580, GIB

if TYPE_CHECKING:
    from tests.native.conftest import Build, OpenedBy, Start

DEEP = {"GGML_CUDA_INIT": "1"}
TAKEN = ("zeContextCreate", "zeMemAllocDevice", "zeMemAllocHost", "zeCommandListCreateImmediate")

asked = partial(stand_ins.asked, "level_zero")
refused = partial(stand_ins.refused, "level_zero")


def test_a_card_is_reported_in_full(start: Start, level_zero: str) -> None:
    devices = asked(start, level_zero)
    assert devices[1] == {
        "id": B580,
        "backend": "Level Zero",
        "name": "LevelZero1",
        "description": "Stand-in B580",
        "pci_id": "0001:c1:1f.7",
        "total_memory": 8 * GIB,
        "free_memory": 7 * GIB,
        "ComputeMajor": 0,
        "ComputeMinor": 0,
        "driver_major": 1,
        "driver_minor": 6,
        "LibraryPath": [],
        "index": 1,
    }


def test_free_memory_is_found_by_pci_id_and_not_by_position(start: Start, level_zero: str) -> None:
    assert {d["id"]: d["free_memory"] for d in asked(start, level_zero)} == {A770: 15 * GIB, B580: 7 * GIB}


@pytest.mark.parametrize(
    "refusal", ["zesInit=1879113728", "zesDeviceEnumMemoryModules=1879113728", "zesDeviceGet=2147483646"]
)
def test_where_system_management_refuses_all_memory_counts_as_free(
    start: Start, level_zero: str, refusal: str
) -> None:
    devices = asked(start, level_zero, STAND_IN_FAIL=refusal)
    assert [device["free_memory"] for device in devices] == [16 * GIB, 8 * GIB]


def test_an_integrated_gpu_says_so_and_its_memory_counts_as_free(start: Start, level_zero: str) -> None:
    first, second = asked(start, level_zero, STAND_IN_KIND="integrated")
    assert (first["integration"], first["free_memory"]) == (True, 16 * GIB)
    assert "integration" not in second


def test_what_is_no_gpu_is_not_listed(start: Start, level_zero: str) -> None:
    (device,) = asked(start, level_zero, STAND_IN_KIND="npu")
    assert (device["id"], device["name"], device["index"]) == (B580, "LevelZero0", 1)


def test_a_card_without_uuid_has_its_place_for_an_id(start: Start, level_zero: str) -> None:
    assert [d["id"] for d in asked(start, level_zero, STAND_IN_KIND="nameless")] == ["0", B580]


@pytest.mark.parametrize(
    ("mask", "found"),
    [
        ("1", [(B580, 1)]),
        ("1,0", [(A770, 0), (B580, 1)]),
        ("7,1", [(B580, 1)]),
        ("1.0", [(B580, 1)]),
        ("", [(A770, 0), (B580, 1)]),
        ("default", [(A770, 0), (B580, 1)]),
    ],
)
def test_the_mask_is_the_drivers_and_a_card_keeps_its_number_behind_it(
    start: Start, level_zero: str, mask: str, found: list[tuple[str, int]]
) -> None:
    devices = asked(start, level_zero, ZE_AFFINITY_MASK=mask)
    assert [(device["id"], device["index"]) for device in devices] == found


def test_a_mask_that_hides_everything_is_no_error(start: Start, level_zero: str) -> None:
    assert asked(start, level_zero, ZE_AFFINITY_MASK="-1") == []


def test_a_mask_that_names_what_is_not_there_is_an_error_that_names_the_mask(
    start: Start, level_zero: str
) -> None:
    body = refused(start, level_zero, ZE_AFFINITY_MASK="7")
    assert "zeInit answered ZE_RESULT_ERROR_UNINITIALIZED (0x78000001): " in body
    assert body.rstrip().endswith("ZE_AFFINITY_MASK is set: check that it names what is there")


def test_a_driver_that_lists_nothing_costs_no_other_its_devices(start: Start, level_zero: str) -> None:
    assert [d["id"] for d in asked(start, level_zero, STAND_IN_BESIDE="70000001")] == [A770, B580]


def test_where_no_driver_lists_anything_the_first_refusal_is_said(start: Start, level_zero: str) -> None:
    body = refused(start, level_zero, STAND_IN_BESIDE="70000001", STAND_IN_FAIL=f"zeDeviceGet={0x7FFFFFFE}")
    assert "zeDeviceGet answered ZE_RESULT_ERROR_UNKNOWN (0x7ffffffe): " in body


@pytest.mark.parametrize(
    ("mask", "numbers"),
    [
        (None, None),
        ("", None),
        ("default", None),
        ("2,0", [0, 2]),
        ("0,0", [0]),
        ("x,1", [1]),
        ("0x1,010", [1, 8]),
        (" 1", [1]),
        ("-1", []),
        ("1_0,0b1,0o7,09,1", [1]),
        ("9" * 5000, []),
    ],
)
def test_a_mask_is_read_as_the_driver_lists_what_it_shows(
    mask: str | None, numbers: list[int] | None
) -> None:
    assert shown(mask) == numbers


def test_only_a_deep_listing_makes_contexts_and_it_gives_everything_back(
    start: Start, level_zero: str, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    asked(start, level_zero, STAND_IN_CALLS=str(calls))
    assert not set(TAKEN) & set(calls.read_text().split())
    devices = asked(start, level_zero, STAND_IN_CALLS=str(calls), **DEEP)
    assert ["unusable" in device for device in devices] == [False, False]
    called = calls.read_text().split()
    assert [called.count(name) for name in TAKEN] == [2, 2, 2, 2]
    given_back = ("zeContextDestroy", "zeMemFree", "zeCommandListDestroy")
    assert [called.count(name) for name in given_back] == [2, 4, 2]
    assert called[-1] == "zeContextDestroy"


def test_a_device_that_fails_deep_says_which_call_failed_and_gives_everything_back(
    start: Start, level_zero: str, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    fault = f"zeCommandListAppendMemoryCopy={0x70000001},zeMemFree={0x70000001}"
    for device in asked(start, level_zero, STAND_IN_FAIL=fault, STAND_IN_CALLS=str(calls), **DEEP):
        assert device["unusable"]["detail"].startswith(
            "zeCommandListAppendMemoryCopy answered ZE_RESULT_ERROR_DEVICE_LOST (0x70000001): the GPU hangs"
        )
    assert calls.read_text().split().count("zeMemFree") == 4


def test_a_failure_to_give_back_after_a_good_result_is_not_hidden(start: Start, level_zero: str) -> None:
    fault = f"zeContextDestroy={0x70000006}"
    for device in asked(start, level_zero, STAND_IN_FAIL=fault, **DEEP):
        assert device["unusable"]["detail"].startswith("zeContextDestroy answered ")


@pytest.mark.parametrize(
    ("sabotage", "wrong"),
    [
        ("last", "1 of 262144 words differ, word 262143 is 0xbabababa where 0x5eed600d was expected"),
        ("idle", "262144 of 262144 words differ, word 0 is 0x00000000 where 0x5eed600d was expected"),
        ("copies only", "expected a queue that computes, got 1 groups without one"),
    ],
)
def test_a_device_that_fills_wrong_is_unusable_with_what_came_and_what_was_expected(
    start: Start, level_zero: str, sabotage: str, wrong: str
) -> None:
    for device in asked(start, level_zero, STAND_IN_SABOTAGE=sabotage, **DEEP):
        assert device["unusable"]["reason"] == "unusable"
        assert wrong in device["unusable"]["detail"]


@pytest.mark.parametrize("function", ["zeDeviceGetProperties", "zeDeviceGetMemoryProperties"])
def test_a_device_that_cannot_be_described_is_unusable_and_never_put_to_work(
    start: Start, level_zero: str, tmp_path: Path, function: str
) -> None:
    calls = tmp_path / "calls"
    fault = {"STAND_IN_FAIL": f"{function}={0x7FFFFFFE}", "STAND_IN_CALLS": str(calls)}
    for device in asked(start, level_zero, **fault, **DEEP):
        assert device["unusable"]["detail"].startswith(f"{function} answered ZE_RESULT_ERROR_UNKNOWN (0x7ff")
    assert "zeContextCreate" not in calls.read_text()


def test_a_loader_before_1_5_says_neither_pci_id_nor_free_memory(start: Start, build: Build) -> None:
    old = build("stand_in_level_zero.c", "libze_loader.so.1", "-DOLD")
    devices = asked(start, old, **DEEP)
    assert [device["free_memory"] for device in devices] == [16 * GIB, 8 * GIB]
    assert not any(device.keys() & {"pci_id", "unusable"} for device in devices)


def test_a_loader_that_lacks_a_function_is_named_as_too_old(start: Start, build: Build) -> None:
    body = refused(start, build("stand_in_level_zero.c", "libze_loader.so.1", "-DANCIENT"))
    assert "got one that lacks zeCommandListAppendMemoryFill: update it" in body


def test_a_machine_without_a_driver_is_told_what_to_install(tmp_path: Path) -> None:
    words = in_words(
        api.LevelZeroError("zeInit", 0x78000001), platform="linux", nodes=str(tmp_path / "nothing")
    )
    assert words.startswith(
        "zeInit answered ZE_RESULT_ERROR_UNINITIALIZED (0x78000001): the loader found no driver that has a"
        " GPU: install Intel's"
    )


@pytest.mark.parametrize("group", [987_654, 0])
def test_nodes_that_may_not_be_opened_are_named_with_the_group_to_join(
    tmp_path: Path, opened_by: OpenedBy, group: int
) -> None:
    for name in ("renderD128", "renderD129", "card0"):
        (tmp_path / name).touch()
    assert problem_with_nodes(str(tmp_path)) == ""
    with opened_by(group):
        said = problem_with_nodes(str(tmp_path), lambda path, _mode: path.endswith("128"))
    roots = "only root may; install udev's rules, which give them to the group 'render'"
    assert said == f"no permission to open {tmp_path}/renderD129: {remedy(group) if group else roots}"


def test_a_result_without_a_name_is_to_be_looked_up() -> None:
    words = in_words(api.LevelZeroError("zeDriverGet", 0x4711), platform="win32")
    assert words.startswith("zeDriverGet answered a result without a name (0x4711): look the number up")


LAYOUT = {
    api.DriverProperties: (40, {"driverVersion": 32}),
    api.DeviceProperties: (368, {"flags": 28, "maxMemAllocSize": 40, "uuid": 96, "name": 112}),
    api.CommandQueueGroupProperties: (40, {"flags": 16}),
    api.DeviceMemoryProperties: (296, {"totalSize": 32}),
    api.ContextDesc: (24, {"flags": 16}),
    api.CommandQueueDesc: (40, {"ordinal": 16, "mode": 28}),
    api.DeviceMemAllocDesc: (24, {"ordinal": 20}),
    api.HostMemAllocDesc: (24, {"flags": 16}),
    api.PciExtProperties: (48, {"domain": 16, "function": 28}),
    api.SysmanPciProperties: (56, {"domain": 16, "function": 28}),
    api.SysmanMemState: (40, {"free": 24, "size": 32}),
}
"""Sizes and offsets in bytes, as gcc gives them for the headers of Debian's libze-dev 1.8.12 on 64 bits."""


@pytest.mark.parametrize("structure", LAYOUT, ids=lambda structure: structure.__name__)
def test_structures_lie_in_memory_as_in_the_real_headers(structure: type[api.Tagged]) -> None:
    size, offsets = LAYOUT[structure]
    assert ctypes.sizeof(structure) == size
    assert {name: getattr(structure, name).offset for name in offsets} == offsets
