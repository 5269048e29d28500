"""Variants: families and versions, and the order they are asked in."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpudiscover.errors import VariantNotFoundError
from pytest_gpudiscover.installations import Located, ordered
from pytest_gpudiscover.reports import Phase, Reason, Rejection
from pytest_gpudiscover.variants import Variant, in_order, newest_first, version

real_names = st.builds(
    lambda family, numbers: family + "_".join(map(str, numbers)),
    st.sampled_from(["cuda_v", "cuda_jetpack", "rocm_v", "vulkan", "rocm", ""]),
    st.lists(st.integers(0, 100), max_size=3),
)


@pytest.mark.parametrize(
    ("name", "family", "numbers"),
    [
        ("cuda_v13", "cuda_v", (13,)),
        ("cuda_v13_1", "cuda_v", (13, 1)),
        ("cuda_jetpack6", "cuda_jetpack", (6,)),
        ("rocm_v6_10", "rocm_v", (6, 10)),
        ("rocm_v7.2", "rocm_v", (7, 2)),
        ("cuda12_v13", "cuda12_v", (13,)),
        ("rocm", "rocm", ()),
        ("v13_beta", "v13_beta", ()),
        ("", "", ()),
        ("12", "", (12,)),
        ("cuda_v\u0663", "cuda_v\u0663", ()),
    ],
)
def test_the_version_is_the_trailing_run_of_integers(
    name: str, family: str, numbers: tuple[int, ...]
) -> None:
    assert version(name) == (family, numbers)


def test_variants_are_asked_by_family_and_the_newest_of_a_family_first() -> None:
    expected = ["cuda_jetpack6", "cuda_jetpack5", "cuda_v13_1", "cuda_v13", "cuda_v12", "cuda_v9"]
    expected += ["rocm_v7_2", "rocm_v6_10", "rocm_v6_4", "rocm", "vulkan"]
    assert in_order(reversed(expected)) == in_order(expected) == expected


@given(st.lists(real_names | st.text(max_size=6), unique=True), st.randoms(use_true_random=False))
def test_the_order_is_fixed_whatever_the_directory_listing_says(names: list[str], random: Random) -> None:
    shuffled = sorted(names, key=lambda _: random.random())
    assert in_order(shuffled) == in_order(names)
    assert newest_first(shuffled) == newest_first(names)
    assert sorted(in_order(names)) == sorted(newest_first(names)) == sorted(names)


@given(st.lists(real_names, unique=True))
def test_a_newer_version_always_comes_first(names: list[str]) -> None:
    for earlier, later in pairwise(newest_first(names)):
        assert version(earlier)[1] >= version(later)[1]


@given(st.lists(real_names, unique=True))
def test_families_are_never_mixed(names: list[str]) -> None:
    families = [version(name)[0].removesuffix("_v") for name in in_order(names)]
    seen: list[str] = []
    for family in families:
        if family not in seen[-1:]:
            assert family not in seen
            seen.append(family)


def test_values_are_put_into_the_order_they_are_asked() -> None:
    old, new = Variant(name="cuda_v9"), Variant(name="cuda_v12")
    assert ordered([old, new]) == (new, old)


def missing(name: str) -> Rejection:
    return Rejection(phase=Phase.ENUMERATE, reason=Reason.DRIVER_MISSING, detail="not here", variant=name)


LOCATED = Located(
    command=("runner",),
    variants=(Variant(name="cuda"), Variant(name="vulkan")),
    missing=(missing("metal"), missing("rocm")),
)


def test_narrowing_to_nothing_in_particular_changes_nothing() -> None:
    assert LOCATED.narrowed(None, ()) == LOCATED


def test_narrowing_to_one_variant_forgets_what_the_others_lack() -> None:
    narrowed = LOCATED.narrowed("cuda", ())
    assert ([variant.name for variant in narrowed.variants], narrowed.missing) == (["cuda"], ())


def test_a_variant_that_cannot_be_asked_may_be_named_and_says_why() -> None:
    narrowed = LOCATED.narrowed("rocm", ())
    assert (narrowed.variants, narrowed.missing) == ((), (missing("rocm"),))


def test_a_variant_that_is_to_be_left_out_need_not_be_there() -> None:
    narrowed = LOCATED.narrowed(None, ("cuda", "rocm", "no such"))
    assert [variant.name for variant in narrowed.variants] == ["vulkan"]
    assert narrowed.missing == (missing("metal"),)


def test_an_unknown_variant_is_an_error_that_names_the_known_ones_in_order() -> None:
    with pytest.raises(VariantNotFoundError) as caught:
        LOCATED.narrowed("cuda_v13", ())
    assert caught.value.available == ("cuda", "metal", "rocm", "vulkan")


def test_an_unknown_variant_of_a_runner_without_any_is_an_error_that_says_so() -> None:
    with pytest.raises(VariantNotFoundError, match="there is: none"):
        Located(command=("runner",), variants=(Variant(name=""),)).narrowed("cuda", ())
