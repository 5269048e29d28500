"""Overlap: each device of a library is served by exactly one variant of it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpudiscover.selection import POLICIES, Policy, assignment, overlapping

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent.parent / "data" / "overlap.json").read_text())

Supported = Mapping[str, Mapping[str, Mapping[str, int]]]
Pairs = dict[str, set[str]]

VARIANTS = ["cuda_v9", "cuda_v12", "cuda_v13", "cuda_v13_1", "cuda"]
NEWEST_FIRST = ["cuda_v13_1", "cuda_v13", "cuda_v12", "cuda_v9", "cuda"]


@st.composite
def supported_pairs(draw: st.DrawFn) -> Pairs:
    """By variant, the device ids that it supports; never none."""
    names = draw(st.lists(st.sampled_from(VARIANTS), min_size=1, unique=True))
    return {name: draw(st.sets(st.sampled_from("abcd"), min_size=1)) for name in names}


def indexed(pairs: Mapping[str, set[str]]) -> dict[str, dict[str, int]]:
    numbers = itertools.count()
    return {variant: {device: next(numbers) for device in sorted(ids)} for variant, ids in pairs.items()}


def kept(supported: Supported, policy: Policy = "newest_covering") -> list[tuple[str, str, str]]:
    gone = overlapping(supported, policy)
    return [
        (library, variant, device)
        for library, variants in supported.items()
        for variant, ids in variants.items()
        for device, index in ids.items()
        if index not in gone
    ]


def brute_force(pairs: Mapping[str, set[str]]) -> dict[str, str]:
    """The rule as its sentence has it, by trying every order in which variants could be taken."""
    order = [name for name in NEWEST_FIRST if name in pairs]

    def takes(sequence: tuple[str, ...]) -> list[tuple[int, int]]:
        left, result = set().union(*pairs.values()), []
        for variant in sequence:
            result.append((len(left & pairs[variant]), -order.index(variant)))
            left -= pairs[variant]
        return result

    best = max(itertools.permutations(order), key=takes)
    served: dict[str, str] = {}
    for variant in best:
        for device in pairs[variant]:
            served.setdefault(device, variant)
    return served


@pytest.mark.parametrize("policy", POLICIES)
def test_overlap_leaves_out_what_the_recorded_cases_do(policy: Policy) -> None:
    different = [
        n for n, case in enumerate(CASES) if overlapping(case["supported"], policy) != set(case[policy])
    ]
    assert (len(CASES), different) == (120, [])


def test_newest_covering_is_the_default_overlap_policy() -> None:
    case = next(case for case in CASES if case["ollama"] != case["newest_covering"])
    assert overlapping(case["supported"]) == set(case["newest_covering"])


@given(supported_pairs())
def test_overlap_agrees_with_a_brute_force_oracle(pairs: Pairs) -> None:
    assert {device: variant for _, variant, device in kept({"CUDA": indexed(pairs)})} == brute_force(pairs)


@given(st.dictionaries(st.sampled_from(["CUDA", "ROCm", "Vulkan"]), supported_pairs()))
def test_overlap_loses_no_device_and_keeps_each_once(libraries: dict[str, Pairs]) -> None:
    offset = itertools.count()
    supported = {
        library: {variant: {device: next(offset) for device in ids} for variant, ids in pairs.items()}
        for library, pairs in libraries.items()
    }
    expected = sorted(
        (lib, device) for lib, pairs in libraries.items() for device in set().union(*pairs.values())
    )
    assert sorted((library, device) for library, _, device in kept(supported)) == expected


@given(supported_pairs())
def test_the_newest_variant_that_covers_all_overlap_takes_them_all(pairs: Pairs) -> None:
    everything = set().union(*pairs.values())
    covering = [name for name in NEWEST_FIRST if pairs.get(name) == everything]
    if not covering:
        covering = [NEWEST_FIRST[0]]
        pairs = pairs | {covering[0]: everything}
    assert {variant for _, variant, _ in kept({"CUDA": indexed(pairs)})} == {covering[0]}


@given(supported_pairs(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_has_no_effect_on_overlap(pairs: Pairs, random: Any) -> None:
    supported = indexed(pairs)
    variants = list(supported.items())
    random.shuffle(variants)
    shuffled = {name: dict(reversed(ids.items())) for name, ids in variants}
    for policy in POLICIES:
        assert overlapping({"CUDA": shuffled}, policy) == overlapping({"CUDA": supported}, policy)


@given(supported_pairs())
def test_overlap_is_idempotent(pairs: Pairs) -> None:
    supported = indexed(pairs)
    gone = overlapping({"CUDA": supported})
    left = {name: {d: i for d, i in ids.items() if i not in gone} for name, ids in supported.items()}
    assert overlapping({"CUDA": left}) == frozenset()


@given(supported_pairs(), supported_pairs())
def test_libraries_have_no_effect_on_each_others_overlap(one: Pairs, other: Pairs) -> None:
    first = indexed(one)
    second = {v: {d: i + 1000 for d, i in ids.items()} for v, ids in indexed(other).items()}
    together = overlapping({"CUDA": first, "ROCm": second})
    assert together == overlapping({"CUDA": first}) | overlapping({"ROCm": second})


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
