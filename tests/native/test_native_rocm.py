"""The native runner on AMD GPUs that no machine here has: the kernel is a tree of files, HIP a stand-in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import stand_ins
from amd_machines import (
    GIB,
    STAND_IN_780M,
    STAND_IN_MI210,
    STAND_IN_MI210_ID,
    Machine,
    stand_in_machine,
)
from pytest_gpudiscover.native.drivers.rocm_without_kernel import packed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.native.conftest import Build, Start

WORD = "0x5eed600d"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """What the kernel shows of the stand-in's cards."""
    return stand_in_machine(tmp_path / "machine")


@pytest.fixture
def wsl(tmp_path: Path) -> Machine:
    """Linux under Windows: the kernel shows nothing of its GPUs."""
    machine = Machine(tmp_path / "wsl")
    machine.write("dev/dxg", "")
    return machine


def asked(start: Start, machine: Machine, *directories: str, **variables: str) -> list[dict[str, Any]]:
    """Start a runner on a machine whose libraries are looked for in these directories, and ask it."""
    return stand_ins.asked("rocm", start, *directories, **machine.environment, **variables)


def refused(start: Start, machine: Machine, *directories: str, **variables: str) -> str:
    """What a runner says there that has no devices to list, but an error."""
    return stand_ins.refused("rocm", start, *directories, **machine.environment, **variables)


def verdicts(devices: list[dict[str, Any]]) -> dict[str, str]:
    """By PCI id: why it is not for use, "" when it is."""
    return {device["pci_id"]: device.get("unusable", {}).get("detail", "") for device in devices}


def test_the_kernel_is_asked_and_no_library_is_loaded(start: Start, machine: Machine, hip: str) -> None:
    devices = asked(start, machine, hip, STAND_IN_INIT="exit")
    assert [(device["id"], device["index"]) for device in devices] == [("0", 0), (STAND_IN_MI210_ID, 1)]


def test_a_message_that_quotes_what_is_no_utf_8_is_an_answer_all_the_same(
    start: Start, machine: Machine
) -> None:
    body = refused(start, machine, HSA_OVERRIDE_GFX_VERSION="\udcff")
    assert "HSA_OVERRIDE_GFX_VERSION is '\\udcff', and ROCm shows no GPU then" in body


def test_a_gpu_that_hip_cannot_place_costs_no_other(start: Start, machine: Machine, hip: str) -> None:
    devices = asked(start, machine, hip, STAND_IN_PLACE="101", GGML_CUDA_INIT="1")
    said = verdicts(devices)
    assert said[STAND_IN_780M.pci_id] == ""
    assert said[STAND_IN_MI210.pci_id].startswith("it cannot be put to work: hipDeviceGetPCIBusId answered ")


@pytest.mark.parametrize(
    ("mask", "ids"),
    [
        ({"ROCR_VISIBLE_DEVICES": STAND_IN_MI210_ID}, [STAND_IN_MI210_ID]),
        ({"ROCR_VISIBLE_DEVICES": "1,0"}, [STAND_IN_MI210_ID, "1"]),
        ({"HIP_VISIBLE_DEVICES": "1"}, [STAND_IN_MI210_ID]),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, []),
        ({"ROCR_VISIBLE_DEVICES": ""}, []),
    ],
)
def test_the_masks_are_applied_to_what_the_kernel_shows(
    start: Start, machine: Machine, mask: dict[str, str], ids: list[str]
) -> None:
    assert [device["id"] for device in asked(start, machine, **mask)] == ids


def test_a_mask_that_names_what_is_not_there_is_an_error_that_names_the_mask(
    start: Start, machine: Machine
) -> None:
    said = refused(start, machine, CUDA_VISIBLE_DEVICES="GPU-aa20")
    assert said.startswith("ROCm: CUDA_VISIBLE_DEVICES=GPU-aa20 names none of the 2 GPUs that are there: ")
    assert "ROCm takes CUDA_VISIBLE_DEVICES for its own where HIP_VISIBLE_DEVICES is not set" in said
    said = refused(
        start, machine, CUDA_VISIBLE_DEVICES="0", HIP_VISIBLE_DEVICES="2", ROCR_VISIBLE_DEVICES="0"
    )
    assert said.startswith("ROCm: ROCR_VISIBLE_DEVICES=0 and HIP_VISIBLE_DEVICES=2 names none of the 2 GPUs")


def test_a_deep_listing_puts_each_gpu_to_work_and_gives_everything_back(
    start: Start, machine: Machine, hip: str, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    devices = asked(start, machine, hip, STAND_IN_CALLS=str(calls), GGML_CUDA_INIT="1")
    assert verdicts(devices) == {"0000:0a:00.0": "", "0001:c1:1f.7": ""}
    called = calls.read_text().split()
    assert (called.count("hipMemsetD32"), called.count("hipMemcpyDtoH")) == (32, 2)
    assert called.count("hipMalloc") == called.count("hipFree") == 4


def test_hip_s_gpus_are_found_by_their_pci_id_and_not_by_their_place(
    start: Start, machine: Machine, hip: str
) -> None:
    found = verdicts(asked(start, machine, hip, STAND_IN_DEEP="2", GGML_CUDA_INIT="1"))
    assert found["0000:0a:00.0"] == ""
    words = "hipMalloc answered hipErrorOutOfMemory (2): the GPU has no memory left: end what else runs on it"
    assert found["0001:c1:1f.7"] == words


def test_the_parts_of_a_card_are_each_put_to_work_though_they_share_a_pci_id(
    start: Start, tmp_path: Path, hip: str
) -> None:
    machine = Machine(tmp_path / "machine")
    machine.add(STAND_IN_MI210, node=1)
    machine.add(replace(STAND_IN_MI210, pci_id="0001:c1:1f.6", minor=130), node=2)
    devices = asked(start, machine, hip, GGML_CUDA_INIT="1")
    assert [device["id"] for device in devices] == ["0", "1"]
    first, second = verdicts(devices).values()
    assert first == ""
    assert second.startswith("HIP lists no GPU at 0001:c1:1f.6")


def test_a_gpu_that_hip_does_not_support_is_unusable_with_its_target(
    start: Start, machine: Machine, hip: str
) -> None:
    found = verdicts(asked(start, machine, hip, STAND_IN_ONLY="1", GGML_CUDA_INIT="1"))
    assert found["0000:0a:00.0"] == ""
    words = "HIP lists no GPU at 0001:c1:1f.7: this ROCm may not support gfx90a; update ROCm, or name a close"
    assert found["0001:c1:1f.7"].startswith(words)


@pytest.mark.parametrize(
    ("sabotage", "wrong"),
    [
        ("last", "1 of 16384 words differ, word 16383 is 0x00000bad where 0xa42d816c was expected"),
        ("idle", f"16384 of 16384 words differ, word 0 is 0xa5a5a5a5 where {WORD} was expected"),
        ("uncopied", f"16384 of 16384 words differ, word 0 is 0xa5a5a5a5 where {WORD} was expected"),
    ],
)
def test_a_gpu_that_fills_wrong_is_unusable_with_what_came_and_what_was_expected(
    start: Start, machine: Machine, hip: str, sabotage: str, wrong: str
) -> None:
    found = verdicts(asked(start, machine, hip, STAND_IN_SABOTAGE=sabotage, GGML_CUDA_INIT="1"))
    assert set(found.values()) == {f"the GPU fills memory wrong: {wrong}"}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("hipMemsetD32=209", "hipMemsetD32 answered hipErrorNoBinaryForGpu (209): this ROCm has no code for"),
        (
            "hipMemcpyDtoH=719,hipFree=1",
            "hipMemcpyDtoH answered hipErrorLaunchFailure (719): the GPU may hang",
        ),
        (
            "hipFree=1",
            "hipFree answered hipErrorInvalidValue (1): look the number up in AMD's HIP runtime API",
        ),
        ("hipSetDevice=4711", "hipSetDevice answered a result without a name (4711): look the number up"),
        ("hipInit=100", "it cannot be put to work: hipInit answered hipErrorNoDevice (100): HIP sees no GPU"),
        ("hipDeviceGetPCIBusId=1", "it cannot be put to work: hipDeviceGetPCIBusId answered hipErrorInv"),
    ],
)
def test_a_call_that_fails_is_named_and_what_was_taken_is_given_back(
    start: Start, machine: Machine, hip: str, tmp_path: Path, fault: str, words: str
) -> None:
    calls = tmp_path / "calls"
    variables = {"STAND_IN_CALLS": str(calls), "STAND_IN_FAIL": fault, "GGML_CUDA_INIT": "1"}
    found = verdicts(asked(start, machine, hip, **variables))
    assert all(detail.startswith(words) for detail in found.values()), found
    called = calls.read_text().split()
    assert called.count("hipMalloc") == called.count("hipFree")


def test_without_hip_gpus_are_listed_and_a_deep_listing_says_what_to_install(
    start: Start, machine: Machine, tmp_path: Path
) -> None:
    assert set(verdicts(asked(start, machine, str(tmp_path))).values()) == {""}
    found = verdicts(asked(start, machine, str(tmp_path), GGML_CUDA_INIT="1"))
    words = "it cannot be put to work: libamdhip64.so.7 is not on this machine: if there is an AMD GPU, load"
    assert all(detail.startswith(words) for detail in found.values())


def test_a_hip_that_lacks_functions_is_named_as_too_old(start: Start, machine: Machine, build: Build) -> None:
    ancient = build("stand_in_hip.c", "libamdhip64.so.5", "-DANCIENT")
    found = verdicts(asked(start, machine, ancient, GGML_CUDA_INIT="1"))
    words = "expected HIP of ROCm 5.2 or later, got one that lacks hipDeviceGetUuid: update ROCm"
    assert set(found.values()) == {f"it cannot be put to work: {words}"}


def test_a_gpu_whose_nodes_are_missing_is_not_put_to_work(start: Start, machine: Machine, hip: str) -> None:
    (machine.root / "dev/kfd").unlink()
    found = verdicts(asked(start, machine, hip, STAND_IN_INIT="exit", GGML_CUDA_INIT="1"))
    assert all(detail.startswith("there is no /dev/kfd: ") for detail in found.values())


def test_a_gpu_that_a_container_was_not_given_keeps_its_reason_beside_one_that_works(
    start: Start, machine: Machine, hip: str
) -> None:
    (machine.root / "dev/dri/renderD129").unlink()
    found = verdicts(asked(start, machine, hip, GGML_CUDA_INIT="1"))
    assert found["0000:0a:00.0"] == ""
    assert found["0001:c1:1f.7"].startswith("there is no /dev/dri/renderD129: ")


def test_under_wsl_hip_lists_what_it_knows_in_its_own_order(start: Start, wsl: Machine, hip: str) -> None:
    assert asked(start, wsl, hip) == [
        {
            "id": STAND_IN_MI210_ID,
            "backend": "ROCm",
            "name": "ROCm0",
            "description": "Stand-in MI210",
            "pci_id": "0001:c1:1f.0",
            "total_memory": 64 * GIB,
            "free_memory": 64 * GIB,
            "ComputeMajor": 9,
            "ComputeMinor": 0x0A,
            "driver_major": 6,
            "driver_minor": 3,
            "LibraryPath": [],
            "index": 0,
        },
        {
            "id": "1",
            "backend": "ROCm",
            "name": "ROCm1",
            "description": "Stand-in 780M",
            "integration": True,
            "pci_id": "0000:0a:00.0",
            "total_memory": 8 * GIB,
            "free_memory": 8 * GIB,
            "ComputeMajor": 0x11,
            "ComputeMinor": 0x03,
            "driver_major": 6,
            "driver_minor": 3,
            "LibraryPath": [],
            "index": 1,
        },
    ]


def test_under_wsl_a_deep_listing_takes_free_memory_from_hip(
    start: Start, wsl: Machine, build: Build
) -> None:
    old = build("stand_in_hip.c", "libamdhip64.so.5", "-DOLD")
    first, second = asked(start, wsl, old, GGML_CUDA_INIT="1", STAND_IN_DEEP="719")
    assert first["unusable"]["detail"].startswith("hipMalloc answered hipErrorLaunchFailure (719): ")
    assert (second["free_memory"], second["ComputeMajor"], "unusable" in second) == (5 * GIB, 0x11, False)


def test_under_wsl_a_gpu_that_cannot_be_described_is_unusable(start: Start, wsl: Machine, hip: str) -> None:
    for device in asked(start, wsl, hip, STAND_IN_FAIL="hipGetDevicePropertiesR0600=1"):
        assert device["unusable"]["detail"].startswith(
            "hipGetDevicePropertiesR0600 answered hipErrorInvalidV"
        )


def test_under_wsl_masks_that_hide_everything_are_no_error_unless_they_name_something(
    start: Start, wsl: Machine, hip: str
) -> None:
    assert asked(start, wsl, hip, ROCR_VISIBLE_DEVICES="") == []
    said = refused(start, wsl, hip, ROCR_VISIBLE_DEVICES="GPU-ff")
    assert said.startswith("ROCm: hipInit answered hipErrorNoDevice (100): ")
    assert said.endswith("; ROCR_VISIBLE_DEVICES set: check that they name what is there\n")
    said = refused(start, wsl, hip, ROCR_VISIBLE_DEVICES="", STAND_IN_INIT="999")
    assert said.startswith("ROCm: hipInit answered hipErrorUnknown (999): ")


def test_under_wsl_without_hip_it_is_said_what_to_install(start: Start, wsl: Machine, tmp_path: Path) -> None:
    assert refused(start, wsl, str(tmp_path)).startswith("ROCm: libamdhip64.so.7 is not on this machine: ")


@pytest.mark.parametrize("target", ["", "gfx", "sm_90", "gfx1", "GFX90A"])
def test_what_is_no_target_is_packed_as_zeros(target: str) -> None:
    assert packed(target) == (0, 0)
