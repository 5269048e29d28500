"""Planning: no probe whose answer cannot change the result, and none missing whose answer can."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.selection import assignment, may_share_card, next_to_verify
from pytest_gpudiscover.selection.planning import Pair

OLD, NEW = "cuda_v12", "cuda_v13"

Truth = dict[Pair, bool]
"""Of every listed pair, whether its verification would succeed."""


def truths(variants: int, devices: int) -> st.SearchStrategy[Truth]:
    pairs = list(itertools.product([f"cuda_v{n}" for n in range(9, 9 + variants)], "abcd"[:devices]))
    return st.fixed_dictionaries({}, optional={pair: st.booleans() for pair in pairs})


def listing(truth: Truth) -> dict[str, list[str]]:
    listed: dict[str, list[str]] = {}
    for variant, device in truth:
        listed.setdefault(variant, []).append(device)
    return listed


def served(verdicts: Mapping[Pair, bool]) -> dict[str, str]:
    """The result: which variant serves which device, as far as it is verified."""
    good: dict[str, set[str]] = {}
    for (variant, device), fine in verdicts.items():
        if fine:
            good.setdefault(variant, set()).add(device)
    return assignment(good)


def verified(truth: Truth, verdicts: Truth | None = None) -> Iterator[tuple[Truth, list[Pair]]]:
    """Verify in the order of the plan, one answer at a time: what was known, and what was asked then."""
    verdicts = {} if verdicts is None else verdicts
    while wanted := next_to_verify(listing(truth), verdicts):
        yield dict(verdicts), wanted
        # The last one first: the engine's answers come in any order, and the rule may not depend on it.
        verdicts[wanted[-1]] = truth[wanted[-1]]


def can_matter(pair: Pair, truth: Truth, verdicts: Truth) -> bool:
    """Whether some outcome of all that is unknown makes this one pair decide the result."""
    unknown = [other for other in truth if other not in verdicts and other != pair]
    for outcome in itertools.product([True, False], repeat=len(unknown)):
        rest = verdicts | dict(zip(unknown, outcome, strict=True))
        if served(rest | {pair: True}) != served(rest | {pair: False}):
            return True
    return False


def asked(truth: Truth) -> list[Pair]:
    verdicts: Truth = {}
    for _ in verified(truth, verdicts):
        pass
    return list(verdicts)


def two_variants(failing: set[Pair], devices: int = 8) -> Truth:
    pairs = itertools.product([OLD, NEW], [str(n) for n in range(devices)])
    return {pair: pair not in failing for pair in pairs}


def all_truths(variants: int, devices: int) -> Iterator[Truth]:
    pairs = list(itertools.product([f"cuda_v{n}" for n in range(9, 9 + variants)], "abcd"[:devices]))
    for outcome in itertools.product([None, True, False], repeat=len(pairs)):
        yield {pair: fine for pair, fine in zip(pairs, outcome, strict=True) if fine is not None}


def test_what_is_verified_gives_the_result_of_verifying_everything_in_all_small_cases() -> None:
    for truth in itertools.chain(all_truths(2, 3), all_truths(3, 2)):
        assert served({pair: truth[pair] for pair in asked(truth)}) == served(truth), truth


@given(truths(4, 4))
@settings(max_examples=150)
def test_what_is_verified_gives_the_result_of_verifying_everything(truth: Truth) -> None:
    result = served({pair: truth[pair] for pair in asked(truth)})
    full = served(truth)
    for _, device in truth:
        assert result.get(device) == full.get(device)


def test_every_verification_could_have_changed_the_result_in_all_small_cases() -> None:
    for truth in all_truths(2, 2):
        for known, wanted in verified(truth):
            assert all(can_matter(pair, truth, known) for pair in wanted), truth


@given(truths(3, 3))
def test_every_verification_could_have_changed_the_result_when_it_was_asked_for(truth: Truth) -> None:
    for known, wanted in verified(truth):
        assert all(can_matter(pair, truth, known) for pair in wanted)


@given(truths(4, 4))
@example({(NEW, "a"): False, (OLD, "a"): False})
def test_no_pair_is_verified_twice_and_only_listed_ones_are(truth: Truth) -> None:
    for known, wanted in verified(truth):
        assert len(set(wanted)) == len(wanted)
        assert not set(wanted) & known.keys()
        assert set(wanted) <= truth.keys()


def test_a_newest_variant_that_verifies_everything_spares_the_older_one() -> None:
    assert asked(two_variants(set())) != []
    assert {variant for variant, _ in asked(two_variants(set()))} == {NEW}
    assert len(asked(two_variants(set()))) == 8


def test_a_device_that_fails_on_both_variants_costs_one_probe_of_the_older() -> None:
    questions = asked(two_variants({(NEW, "3"), (OLD, "3")}))
    assert len(questions) == 9
    assert [pair for pair in questions if pair[0] == OLD] == [(OLD, "3")]


def test_a_device_that_only_the_older_variant_serves_brings_its_other_devices_into_play() -> None:
    # The older variant may now cover all of them, and then it takes them all.
    truth = two_variants({(NEW, "3")})
    assert len(asked(truth)) == 16
    assert set(served(truth).values()) == {OLD}


def test_all_devices_of_the_newest_variant_are_named_at_once_in_the_order_of_the_listing() -> None:
    assert next_to_verify({OLD: ["b", "a"], NEW: ["b", "a", "c"]}, {}) == [(NEW, "b"), (NEW, "a"), (NEW, "c")]


def test_of_an_older_variant_the_device_that_nobody_serves_is_asked_for_first() -> None:
    known = {(NEW, "a"): True, (NEW, "b"): False}
    assert next_to_verify({NEW: ["a", "b"], OLD: ["a", "b"]}, known) == [(OLD, "b")]


def test_an_older_variant_that_alone_lists_a_device_is_asked_for_it() -> None:
    truth = {(NEW, "a"): True, (OLD, "b"): True}
    assert asked(truth) == [(NEW, "a"), (OLD, "b")]


def test_nothing_listed_is_nothing_to_verify() -> None:
    assert next_to_verify({}, {}) == next_to_verify({NEW: []}, {}) == []


def card(library: str, device_id: str, pci_id: str = "", filtered_id: str = "") -> DeviceInfo:
    return DeviceInfo(library=library, id=device_id, pci_id=pci_id, filtered_id=filtered_id)


def may_share(one: DeviceInfo, other: DeviceInfo) -> bool:
    assert may_share_card(one, other) == may_share_card(other, one)
    return may_share_card(one, other)


def test_two_listings_at_one_pci_address_may_be_one_card_also_as_slices() -> None:
    assert may_share(card("CUDA", "GPU-a", "0000:C1:00.0"), card("Vulkan", "0", "0000:c1:00.0"))
    assert may_share(card("CUDA", "MIG-a", "0000:c1:00.0"), card("CUDA", "MIG-b", "0000:c1:00.0"))
    assert may_share(card("CUDA", "a", "0000:00:00.0"), card("CUDA", "b", "00:00.0"))


def test_two_pci_addresses_are_two_cards_even_with_one_id() -> None:
    assert not may_share(card("ROCm", "0", "0000:01:00.0"), card("ROCm", "0", "0000:02:00.0"))


def test_without_pci_ids_only_the_ids_of_one_library_tell_two_cards_apart() -> None:
    assert may_share(card("CUDA", "GPU-a"), card("CUDA", "GPU-a"))
    assert not may_share(card("CUDA", "GPU-a"), card("CUDA", "GPU-b"))
    assert not may_share(card("ROCm", "0", "0000:01:00.0"), card("ROCm", "1"))
    assert may_share(card("CUDA", "GPU-a"), card("Vulkan", "GPU-b"))
    assert may_share(card("CUDA", "GPU-a", "0000:01:00.0"), card("Vulkan", "GPU-b"))


def test_the_runners_own_numbers_tell_two_cards_apart_and_positions_do_not() -> None:
    assert may_share(card("ROCm", "0", filtered_id="1"), card("ROCm", "1"))
    assert not may_share(card("ROCm", "0", filtered_id="1"), card("ROCm", "0"))
