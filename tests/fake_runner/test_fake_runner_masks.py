"""Each library reads its own mask in its own way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fake_runner import masks

if TYPE_CHECKING:
    from tests.fake_runner.conftest import Start

NAMES = ["GPU-aa11", "GPU-aa22", "GPU-cc33"]


@pytest.mark.parametrize(
    ("mask", "positions"),
    [
        ("0,1,2", [0, 1, 2]),
        ("2,0", [2, 0]),
        ("", []),
        ("-1", []),
        ("0,2,-1,1", [0, 2]),
        ("0,3,1", [0]),
        ("0,,1", [0]),
        (" 1 , 0", [1, 0]),
        ("1gpu", [1]),
        ("1,1", []),
        ("GPU-cc33", [2]),
        ("GPU-c", [2]),
        ("GPU-aa", []),
        ("GPU-aa2,GPU-zz,GPU-cc", [1]),
        ("gpu-cc33", []),
        ("nonsense", []),
    ],
)
def test_cuda_reads_indices_or_unique_prefixes_up_to_the_first_invalid_entry(
    mask: str, positions: list[int]
) -> None:
    assert masks.cuda(mask, NAMES) == positions


@pytest.mark.parametrize(
    ("mask", "positions"),
    [
        ("2,0", [2, 0]),
        ("", []),
        ("-1", []),
        (" 1 ,0", [1, 0]),
        ("0x1,02", [1, 2]),
        ("09", []),
        ("0,0,1", [0]),
        ("0,5,1", [0]),
        ("1gpu", []),
        ("gpu-CC33", [2]),
        ("GPU-aa,0", []),
        ("GPU-c,0", [2, 0]),
    ],
)
def test_rocr_ends_its_list_at_the_first_invalid_or_repeated_entry(mask: str, positions: list[int]) -> None:
    assert masks.rocr(mask, NAMES) == positions


@pytest.mark.parametrize(
    ("mask", "positions"),
    [
        ("2,0", [2, 0]),
        ("-1", []),
        ("0, 1", [0]),
        ("01", []),
        ("+1", []),
        ("0,0,1", [0, 1]),
        ("1,", [1]),
        ("0,,1", [0]),
        ("0,7,1", [0]),
        ("GPU-cc33", [2]),
        ("GPU-zz", []),
    ],
)
def test_hip_takes_strict_numbers_and_passes_over_repeated_ones(mask: str, positions: list[int]) -> None:
    assert masks.hip(mask, NAMES) == positions


@pytest.mark.parametrize(
    ("mask", "positions"),
    [
        ("2,0", [2, 0]),
        ("2 0", [2, 0]),
        ("", []),
        ("-1", []),
        ("0,3", []),
        ("1,1", [1, 1]),
        ("1x,0", [1]),
        ("0,GPU-cc33,1", [0]),
        ("GPU-cc33", []),
    ],
)
def test_vulkan_takes_raw_indices_in_the_order_given(mask: str, positions: list[int]) -> None:
    assert masks.vulkan(mask, len(NAMES)) == positions


@pytest.mark.parametrize(
    ("mask", "positions"),
    [
        ("2,0", [0, 2]),
        ("1,1", [1]),
        ("7,0x1", [1]),
        (" 2 ", [2]),
        ("1.0,1.1", [1]),
        ("x,,1", [1]),
        ("-1", []),
        ("", [0, 1, 2]),
        ("default", [0, 1, 2]),
    ],
)
def test_level_zero_takes_raw_indices_and_lists_in_its_own_order(mask: str, positions: list[int]) -> None:
    assert masks.visible("Level Zero", NAMES, {"ZE_AFFINITY_MASK": mask}) == positions


@pytest.mark.parametrize(
    ("environment", "positions"),
    [
        ({}, [0, 1, 2]),
        ({"ROCR_VISIBLE_DEVICES": "2,1"}, [2, 1]),
        ({"ROCR_VISIBLE_DEVICES": "2,1", "HIP_VISIBLE_DEVICES": "1"}, [1]),
        ({"ROCR_VISIBLE_DEVICES": "2,1", "HIP_VISIBLE_DEVICES": "2"}, []),
        ({"ROCR_VISIBLE_DEVICES": ""}, []),
        ({"HIP_VISIBLE_DEVICES": ""}, [0, 1, 2]),
        ({"CUDA_VISIBLE_DEVICES": "1"}, [1]),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, []),
        ({"HIP_VISIBLE_DEVICES": "", "CUDA_VISIBLE_DEVICES": "1"}, [1]),
        ({"HIP_VISIBLE_DEVICES": "0", "CUDA_VISIBLE_DEVICES": "1"}, [0]),
        ({"GGML_VK_VISIBLE_DEVICES": "1"}, [0, 1, 2]),
    ],
)
def test_rocm_applies_the_mask_of_hip_to_what_rocr_left(
    environment: dict[str, str], positions: list[int]
) -> None:
    assert masks.visible("ROCm", NAMES, environment) == positions


ALL_MASKS = {"CUDA_VISIBLE_DEVICES": "1", "ROCR_VISIBLE_DEVICES": "1", "GGML_VK_VISIBLE_DEVICES": "1"}


def test_a_library_without_a_mask_ignores_those_of_others(start: Start, host: dict[str, Any]) -> None:
    assert start(host, "metal", **ALL_MASKS).listed() == ["a", "b", "c"]


def test_a_cuda_runner_lists_what_its_mask_shows_and_keeps_uuids(start: Start, host: dict[str, Any]) -> None:
    entries = start(host, "cuda_v13", CUDA_VISIBLE_DEVICES="GPU-cc33,0").entries()
    assert [(entry["id"], entry["name"]) for entry in entries] == [
        ("GPU-cc33", "CUDA0"),
        ("GPU-aa11", "CUDA1"),
    ]


def test_a_rocm_runner_numbers_what_its_masks_show_anew(start: Start, host: dict[str, Any]) -> None:
    entries = start(host, "rocm", ROCR_VISIBLE_DEVICES="2,1", HIP_VISIBLE_DEVICES="1,0").entries()
    assert [(entry["id"], entry["description"]) for entry in entries] == [("0", "b"), ("1", "c")]


def test_cuda_numbers_are_positions_behind_the_mask_too(start: Start, host: dict[str, Any]) -> None:
    host["variant"]["cuda_v13"]["ids"] = "number"
    entries = start(host, "cuda_v13", CUDA_VISIBLE_DEVICES="2").entries()
    assert [(entry["id"], entry["description"]) for entry in entries] == [("0", "c")]


def test_a_vulkan_runner_tells_the_raw_index_behind_its_mask(start: Start, host: dict[str, Any]) -> None:
    entries = start(host, "vulkan", GGML_VK_VISIBLE_DEVICES="2,0").entries()
    assert [(entry["id"], entry["index"], entry["name"]) for entry in entries] == [
        ("cc33", 2, "Vulkan0"),
        ("aa11", 0, "Vulkan1"),
    ]


def test_a_mask_that_is_set_and_empty_hides_everything_from_vulkan(
    start: Start, host: dict[str, Any]
) -> None:
    assert start(host, "vulkan", GGML_VK_VISIBLE_DEVICES="").entries() == []


def test_a_runner_with_everything_built_in_applies_each_mask_to_its_own_library(
    start: Start, host: dict[str, Any]
) -> None:
    runner = start(host, CUDA_VISIBLE_DEVICES="2", GGML_VK_VISIBLE_DEVICES="1", ROCR_VISIBLE_DEVICES="0,1,2")
    listed = [(entry["backend"], entry["description"]) for entry in runner.entries()]
    # HIP reads CUDA's mask where it has none of its own.
    assert listed == [
        ("CUDA", "c"),
        ("Metal", "a"),
        ("Metal", "b"),
        ("Metal", "c"),
        ("ROCm", "c"),
        ("Vulkan", "b"),
    ]


def test_an_id_that_a_view_overrides_is_what_its_mask_must_name(start: Start, host: dict[str, Any]) -> None:
    host["variant"]["cuda_v13"]["devices"] = ["a", {"gpu": "b", "id": "MIG-77"}]
    assert start(host, "cuda_v13", CUDA_VISIBLE_DEVICES="MIG-77").listed() == ["b"]
