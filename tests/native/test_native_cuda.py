"""The native runner on NVIDIA cards that no machine here has, acted by stand-ins for CUDA and NVML."""

from __future__ import annotations

import ctypes
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import stand_ins
from pytest_gpudiscover.native.drivers.cuda import list_devices
from pytest_gpudiscover.native.drivers.cuda_deep import kernel
from pytest_gpudiscover.native.drivers.cuda_slices import hidden_behind
from pytest_gpudiscover.native.drivers.interface import DriverError
from pytest_gpudiscover.native.drivers.nvml import Card, opened
from stand_ins import GIB, H100, L4

if TYPE_CHECKING:
    from tests.native.conftest import Build, Start

GIVEN_BACK = ("cuMemFree_v2", "cuModuleUnload", "cuCtxPopCurrent_v2", "cuDevicePrimaryCtxRelease_v2")

runner = partial(stand_ins.runner, "cuda")
asked = partial(stand_ins.asked, "cuda")
refused = partial(stand_ins.refused, "cuda")


def test_a_card_is_reported_in_full(start: Start, cuda: str, nvml: str) -> None:
    devices = asked(start, cuda, nvml)
    assert devices[1] == {
        "id": L4,
        "backend": "CUDA",
        "name": "CUDA1",
        "description": "Stand-in L4",
        "pci_id": "0000:0a:00.0",
        "total_memory": 8 * GIB,
        "free_memory": 2 * GIB,
        "ComputeMajor": 8,
        "ComputeMinor": 9,
        "driver_major": 12,
        "driver_minor": 8,
        "LibraryPath": [],
        "index": 1,
    }


def test_nvml_is_asked_by_uuid_and_not_by_position(start: Start, cuda: str, nvml: str) -> None:
    for order, ids in (("PCI_BUS_ID", [L4, H100]), ("FASTEST_FIRST", [H100, L4])):
        devices = asked(start, cuda, nvml, CUDA_DEVICE_ORDER=order)
        assert [device["id"] for device in devices] == ids
        assert {d["id"]: d["free_memory"] for d in devices} == {L4: 2 * GIB, H100: 20 * GIB}


@pytest.mark.parametrize("state", ["9", "memory", "few"])
def test_where_nvml_does_not_know_all_memory_counts_as_free(
    start: Start, cuda: str, nvml: str, state: str
) -> None:
    devices = asked(start, cuda, nvml, STAND_IN_NVML=state)
    assert [device["free_memory"] for device in devices] == [24 * GIB, 8 * GIB]


def test_without_nvml_free_memory_is_what_a_deep_listing_is_told(start: Start, cuda: str) -> None:
    assert [device["free_memory"] for device in asked(start, cuda)] == [24 * GIB, 8 * GIB]
    assert [d["free_memory"] for d in asked(start, cuda, GGML_CUDA_INIT="1")] == [21 * GIB, 5 * GIB]


def test_a_library_that_is_no_nvml_is_as_good_as_none(start: Start, cuda: str, tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").write_text("no library")
    assert [device["free_memory"] for device in asked(start, cuda, str(tmp_path))] == [24 * GIB, 8 * GIB]


def test_an_integrated_card_without_uuid_has_a_number_and_is_found_by_its_pci_id(
    start: Start, cuda: str, nvml: str
) -> None:
    _, device = asked(start, cuda, nvml, STAND_IN_KIND="jetson")
    assert (device["id"], device["integration"], device["free_memory"]) == ("1", True, 2 * GIB)


def test_a_card_that_shares_the_system_s_memory_keeps_its_uuid(start: Start, cuda: str, nvml: str) -> None:
    unified = {"STAND_IN_KIND": "unified", "STAND_IN_NVML": "memory"}
    device = asked(start, cuda, nvml, **unified)[1]
    assert (device["id"], device["integration"], device["free_memory"]) == (L4, True, 8 * GIB)


def test_a_lost_card_is_unusable_whatever_cuda_still_says_of_it(start: Start, cuda: str, nvml: str) -> None:
    lost, well = asked(start, cuda, nvml, STAND_IN_NVML="lost")
    assert (lost["id"], lost["unusable"]["reason"]) == (H100, "unusable")
    assert lost["unusable"]["detail"].startswith("NVML says that the GPU is lost (15)")
    assert "unusable" not in well


def test_a_lost_card_that_cuda_shows_is_not_listed_once_more_without_a_name(
    start: Start, cuda: str, nvml: str
) -> None:
    lost, well = asked(start, cuda, nvml, STAND_IN_NVML="off")
    assert (lost["id"], "Xid 79" in lost["unusable"]["detail"]) == (H100, True)
    assert (well["id"], "unusable" in well) == (L4, False)


def nameless(place: int) -> Card:
    """A lost card of which NVML knows nothing more."""
    card = Card()
    card.description, card.lost = f"lost {place}", True
    return card


@pytest.mark.parametrize(("lost", "hidden"), [([], 2), ([H100], 1), ([L4], 2), ([H100, "0"], 0)])
def test_as_many_lost_cards_without_a_name_are_left_out_as_are_shown_and_known_by_none(
    lost: list[str], hidden: int
) -> None:
    known = Card()
    known.id, known.lost = L4, True
    uncut = Card()
    uncut.slices = []
    found = hidden_behind([L4, *lost], [uncut, nameless(0), known, nameless(1)], None, lost)
    assert len(found) == 1 + hidden
    assert found[0] is uncut


@pytest.mark.parametrize(("state", "known"), [("lost", (H100, "0001:c1:1f.7")), ("gone", ("0", None))])
def test_a_lost_card_that_cuda_hides_is_listed_as_unusable(
    start: Start, cuda: str, nvml: str, state: str, known: tuple[str, str | None]
) -> None:
    (device,) = asked(start, cuda, nvml, STAND_IN_NVML=state, STAND_IN_INIT="100")
    assert (device["id"], device.get("pci_id")) == known
    assert "Xid 79" in device["unusable"]["detail"]


@pytest.mark.parametrize(
    ("mask", "ids"),
    [("0", [H100]), ("1,0", [L4, H100]), (L4, [L4]), (f"{H100[:6]},{L4}", [H100, L4]), ("1,x,0", [L4])],
)
def test_the_driver_s_own_mask_decides_what_is_listed(
    start: Start, cuda: str, mask: str, ids: list[str]
) -> None:
    assert [device["id"] for device in asked(start, cuda, CUDA_VISIBLE_DEVICES=mask)] == ids


@pytest.mark.parametrize("mask", ["", "-1", "none", " ,0", "NoDevFiles"])
def test_a_mask_that_hides_everything_is_no_error(start: Start, cuda: str, mask: str) -> None:
    assert asked(start, cuda, CUDA_VISIBLE_DEVICES=mask) == []


@pytest.mark.parametrize("mask", ["7", "GPU-ffff", " +9"])
def test_a_mask_that_names_what_is_not_there_is_an_error_that_names_the_mask(
    start: Start, cuda: str, mask: str
) -> None:
    body = refused(start, cuda, CUDA_VISIBLE_DEVICES=mask)
    assert "CUDA_ERROR_NO_DEVICE (100)" in body
    assert "CUDA_VISIBLE_DEVICES is set: check that it names what is there" in body


def test_only_a_deep_listing_makes_contexts_and_it_gives_everything_back(
    start: Start, cuda: str, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    asked(start, cuda, STAND_IN_CALLS=str(calls))
    assert not {"cuDevicePrimaryCtxRetain", "cuMemAlloc_v2"} & set(calls.read_text().split())
    devices = asked(start, cuda, STAND_IN_CALLS=str(calls), GGML_CUDA_INIT="1")
    assert ["unusable" in device for device in devices] == [False, False]
    called = calls.read_text().split()
    for name in ("cuDevicePrimaryCtxRetain", "cuLaunchKernel", "cuMemcpyDtoH_v2", *GIVEN_BACK):
        assert called.count(name) == 2, name


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            "cuLaunchKernel=719,cuMemFree_v2=719",
            "cuLaunchKernel answered CUDA_ERROR_LAUNCH_FAILED (719): the test kernel",
        ),
        (
            "cuCtxSynchronize=700",
            "cuCtxSynchronize answered CUDA_ERROR_ILLEGAL_ADDRESS (700): the test kernel",
        ),
        (
            "cuModuleGetFunction=500",
            "cuModuleGetFunction answered CUDA_ERROR_NOT_FOUND (500): look the number",
        ),
    ],
)
def test_a_device_that_fails_deep_says_which_call_failed_and_gives_everything_back(
    start: Start, cuda: str, tmp_path: Path, fault: str, words: str
) -> None:
    calls = tmp_path / "calls"
    devices = asked(start, cuda, STAND_IN_CALLS=str(calls), STAND_IN_FAIL=fault, GGML_CUDA_INIT="1")
    for device in devices:
        assert device["unusable"]["reason"] == "unusable"
        assert words in device["unusable"]["detail"]
    assert all(calls.read_text().split().count(name) == 2 for name in GIVEN_BACK)


@pytest.mark.parametrize(
    ("sabotage", "wrong"),
    [
        ("last", "1 of 16384 words differ, word 16383 is 0x00000bad where 0x9f22265c was expected"),
        ("idle", "16384 of 16384 words differ, word 0 is 0xa5a5a5a5 where 0x5eed600d was expected"),
    ],
)
def test_a_device_that_computes_wrong_is_unusable_with_what_came_and_what_was_expected(
    start: Start, cuda: str, sabotage: str, wrong: str
) -> None:
    for device in asked(start, cuda, STAND_IN_SABOTAGE=sabotage, GGML_CUDA_INIT="1"):
        assert device["unusable"]["reason"] == "unusable"
        assert wrong in device["unusable"]["detail"]


def test_a_failure_to_give_back_after_a_good_result_is_not_hidden(start: Start, cuda: str) -> None:
    for device in asked(start, cuda, STAND_IN_FAIL="cuMemFree_v2=719", GGML_CUDA_INIT="1"):
        assert device["unusable"]["detail"].startswith("cuMemFree answered CUDA_ERROR_LAUNCH_FAILED (719)")


def test_a_device_that_cannot_be_described_is_unusable_and_never_put_to_work(
    start: Start, cuda: str, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    fault = {"STAND_IN_FAIL": "cuDeviceTotalMem_v2=999", "GGML_CUDA_INIT": "1"}
    for device in asked(start, cuda, STAND_IN_CALLS=str(calls), **fault):
        assert device["unusable"]["detail"].startswith("cuDeviceTotalMem answered CUDA_ERROR_UNKNOWN (999): ")
    assert "cuDevicePrimaryCtxRetain" not in calls.read_text()


def test_what_a_driver_prints_never_reaches_the_answer(start: Start, cuda: str) -> None:
    process = runner(start, cuda)
    assert len(process.devices()) == 2
    assert process.end()[:2] == (130, "a driver that is fond of standard output\n")


def test_a_driver_from_before_cuda_11_works_as_well(start: Start, build: Build) -> None:
    cuda = build("stand_in_cuda.c", "libcuda.so.1", "-DOLD")
    nvml = build("stand_in_nvml.c", "libnvidia-ml.so.1", "-DOLD")
    devices = asked(start, cuda, nvml)
    assert [(device["id"], device["free_memory"]) for device in devices] == [(H100, 20 * GIB), (L4, 2 * GIB)]
    assert not any("unusable" in device for device in asked(start, cuda, nvml, GGML_CUDA_INIT="1"))


def test_a_driver_that_lacks_a_function_is_named_as_too_old(start: Start, build: Build) -> None:
    body = refused(start, build("stand_in_cuda.c", "libcuda.so.1", "-DANCIENT"))
    assert "lacks cuDeviceGetUuid_v2 and cuDeviceGetUuid: update NVIDIA's driver" in body


def test_a_library_that_cannot_be_loaded_is_reported_with_the_loaders_words(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "libcuda.so.1").write_text("no library")
    body = refused(start, str(tmp_path))
    assert "file too short" in body or "invalid ELF header" in body


def test_under_wsl_the_library_is_loaded_from_where_no_loader_may_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []

    def load(name: str) -> None:
        tried.append(name)
        raise OSError(f"{name}: no such file")

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(
        DriverError, match=r"^libcuda\.so\.1 is not on this machine: if there is an NVIDIA GPU"
    ):
        list_devices(environment={}, deep=False)
    assert tried == ["libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"]
    with opened("linux") as nvml:
        assert nvml.cards() == []
    assert tried[2:] == ["libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1"]


@pytest.mark.parametrize(("compute", "target"), [((3, 5), "sm_30"), ((5, 0), "sm_50"), ((12, 1), "sm_50")])
def test_the_kernel_is_for_the_oldest_target_that_the_card_s_drivers_know(
    compute: tuple[int, int], target: str
) -> None:
    assert kernel(compute).startswith(f".version 6.0\n.target {target}\n".encode())
