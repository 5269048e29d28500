"""ROCm's masks, as the native runner applies them: by example, and against the fake runner's own reading."""

from __future__ import annotations

from itertools import product

import pytest

from fake_runner.masks import visible as second_opinion
from pytest_gpudiscover.native.drivers.rocm_masks import CUDA, HIP, ROCR, hides_on_purpose, visible

UUIDS = ("GPU-00000000000000aa", "", "GPU-00000000000000ab", "GPU-c1000000deadbeef")
ENTRIES = ("0", "1", "3", "4", "-1", "01", "0x2", " 2", "+1", "", "GPU-C1", "GPU-c1", "GPU-00000000000000ab")
MORE = ("GPU-00", "none", "2x", "GPU-c1000000deadbeef0", "\u0663", "0x0_2", "0b1", "1_0", "9" * 40)


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({}, [0, 1, 2, 3]),
        ({ROCR: "2,0"}, [2, 0]),
        ({ROCR: ""}, []),
        ({ROCR: "2,2,0"}, [2]),
        ({ROCR: "0x3, 01,7,0"}, [3, 1]),
        ({ROCR: "gpu-C1,0"}, [3, 0]),
        ({ROCR: "GPU-00,1"}, []),
        ({HIP: ""}, [0, 1, 2, 3]),
        ({HIP: "0, 1"}, [0]),
        ({HIP: "1,1,0"}, [1, 0]),
        ({HIP: "01"}, []),
        ({HIP: "GPU-c1,0"}, [3, 0]),
        ({CUDA: "-1"}, []),
        ({CUDA: "2", HIP: "1"}, [1]),
        ({CUDA: "2", HIP: ""}, [2]),
        ({ROCR: "3,1,0", HIP: "2,0"}, [0, 3]),
        ({ROCR: "3", HIP: "0,1"}, [3]),
    ],
)
def test_masks_show_what_rocm_s_libraries_show(environment: dict[str, str], shown: list[int]) -> None:
    assert visible(UUIDS, environment) == shown


@pytest.mark.parametrize(("mask", "shown"), [("010,11", [8, 11]), ("0xA", [10]), ("08", []), ("GPU-", [])])
def test_rocr_counts_as_c_does_and_takes_no_uuid_without_a_digit(mask: str, shown: list[int]) -> None:
    assert visible([*[""] * 11, "GPU-00000000000000aa"], {ROCR: mask}) == shown


def test_no_mask_is_read_otherwise_than_the_fake_runner_reads_it() -> None:
    masks = [",".join(pair) for pair in product(ENTRIES + MORE[:3], repeat=2)]
    for mask in masks:
        for environment in ({ROCR: mask}, {HIP: mask}, {CUDA: mask}, {ROCR: "3,0,2", HIP: mask}):
            expected = second_opinion("ROCm", [uuid or "?" for uuid in UUIDS], environment)
            assert visible(UUIDS, environment) == expected, environment


@pytest.mark.parametrize("entry", MORE)
@pytest.mark.parametrize("variable", [ROCR, HIP])
def test_what_is_neither_a_number_nor_a_uuid_ends_the_list(variable: str, entry: str) -> None:
    shown = visible(UUIDS, {variable: f"1,{entry},0"})
    assert shown == ([1, 0] if (variable, entry) == (HIP, "GPU-00") else [1])


@pytest.mark.parametrize("mask", ["", "-1", "none", " ,0", "NoDevFiles"])
def test_a_mask_that_shows_nothing_anywhere_is_meant_to(mask: str) -> None:
    assert hides_on_purpose(mask)


@pytest.mark.parametrize("mask", ["7", " +9", "0x5", "GPU-ffff", "gpu-ffff"])
def test_a_mask_that_names_something_is_meant_to_show_it(mask: str) -> None:
    assert not hides_on_purpose(mask)
