"""Overlap: each device of a library is served by exactly one variant of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from pytest_gpudiscover.selection import POLICIES, Policy, assignment, overlapping

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent.parent / "data" / "overlap.json").read_text())


@pytest.mark.parametrize("policy", POLICIES)
def test_overlap_leaves_out_what_the_recorded_cases_do(policy: Policy) -> None:
    different = [
        n for n, case in enumerate(CASES) if overlapping(case["supported"], policy) != set(case[policy])
    ]
    assert (len(CASES), different) == (120, [])


def test_newest_covering_is_the_default_overlap_policy() -> None:
    case = next(case for case in CASES if case["ollama"] != case["newest_covering"])
    assert overlapping(case["supported"]) == set(case["newest_covering"])


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        ("cuda_v12", "cuda_v9"),
        ("rocm_v6_10", "rocm_v6_4"),
        ("rocm_v7_2", "rocm"),
        ("cuda_v13_1", "cuda_v13"),
        ("cuda_jetpack6", "cuda_jetpack5"),
    ],
)
def test_versions_in_an_overlap_are_compared_as_numbers(newer: str, older: str) -> None:
    assert overlapping({"X": {older: {"a": 0}, newer: {"a": 1}}}) == {0}
    assert overlapping({"X": {newer: {"a": 1}, older: {"a": 0}}}) == {0}


def test_of_variants_that_take_equally_many_the_newest_goes_first() -> None:
    assert assignment({"v1": {"a", "b"}, "v2": {"b", "c"}}) == {"b": "v2", "c": "v2", "a": "v1"}


def test_the_reference_splits_an_overlap_that_one_variant_covers_and_ours_does_not() -> None:
    supported = {"CUDA": {"cuda_v13": {"a": 0, "b": 1}, "cuda_v12": {"a": 2}}}
    assert overlapping(supported, "ollama") == {0}
    assert overlapping(supported, "newest_covering") == {2}


def test_overlap_of_nothing_is_nothing() -> None:
    for policy in POLICIES:
        assert (
            overlapping({}, policy)
            == overlapping({"CUDA": {}}, policy)
            == overlapping({"CUDA": {"v": {}}}, policy)
            == set()
        )


def test_an_unknown_overlap_policy_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(ValueError, match=r"'oldest'.*newest_covering, ollama"):
        overlapping({}, cast("Policy", "oldest"))
