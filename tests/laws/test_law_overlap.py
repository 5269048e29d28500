"""Laws of overlap: each device of a library is served by one variant, the newest that serves most."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from itertools import permutations
from random import Random
from typing import TypeVar

from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_gpudiscover.selection import POLICIES, Policy, overlapping
from pytest_gpudiscover.simulation import FakeHost
from pytest_gpudiscover.strategies import Supported, Truth, hosts, supported_maps
from truths import chances, tell

policies = st.sampled_from(POLICIES)
one_library = supported_maps(max_libraries=1)


def kept(supported: Supported, policy: Policy = "newest_covering") -> list[tuple[str, str, str]]:
    """The (library, variant, device) that stay."""
    gone = overlapping(supported, policy)
    return [
        (library, variant, device)
        for library, variants in supported.items()
        for variant, indexes in variants.items()
        for device, index in indexes.items()
        if index not in gone
    ]


def devices_of(supported: Supported) -> set[tuple[str, str]]:
    return {(library, device) for library, of in supported.items() for ids in of.values() for device in ids}


def age(variant: str) -> list[int]:
    """A number for each part of the version: what comes last is the newest."""
    return [int(number) for number in re.findall("[0-9]+", variant)]


def best_order(variants: Mapping[str, Mapping[str, int]]) -> tuple[str, ...]:
    """Of all orders in which variants may take devices: most first, the newest first of several."""

    def takings(order: tuple[str, ...]) -> list[tuple[int, list[int]]]:
        taken: set[str] = set()
        result = []
        for variant in order:
            result.append((len(variants[variant].keys() - taken), age(variant)))
            taken |= variants[variant].keys()
        return result

    return max(permutations(variants), key=takings)


@given(supported_maps())
def test_overlap_loses_no_supported_device_and_keeps_each_exactly_once(supported: Supported) -> None:
    """Caught in the reference: with three variants it keeps a device twice."""
    times = Counter((library, device) for library, _, device in kept(supported))
    assert times == dict.fromkeys(devices_of(supported), 1)


@given(supported_maps(), policies)
def test_no_overlap_policy_loses_a_device(supported: Supported, policy: Policy) -> None:
    """Would have caught: leaving a device out of all variants, because another one of them has it."""
    assert {(library, device) for library, _, device in kept(supported, policy)} == devices_of(supported)


@given(one_library, chances)
def test_the_newest_variant_that_covers_all_takes_all_of_an_overlap(
    supported: Supported, random: Random
) -> None:
    """Caught in the reference: after any difference the lowest name wins, whatever it covers."""
    everything = {device for _, device in devices_of(supported)}
    assume(everything)
    ((library, variants),) = supported.items()
    covering = random.choice(sorted(variants))
    variants = variants | {covering: {device: 1000 + n for n, device in enumerate(sorted(everything))}}
    newest = max((name for name, ids in variants.items() if ids.keys() == everything), key=age)
    assert {variant for _, variant, _ in kept({library: variants})} == {newest}


@given(one_library)
def test_overlap_agrees_with_trying_every_order_of_the_variants(supported: Supported) -> None:
    """Would have caught: counting devices that an earlier variant has taken already."""
    for library, variants in supported.items():
        first: dict[str, str] = {}
        for variant in best_order(variants):
            for device in variants[variant]:
                first.setdefault(device, variant)
        assert {(device, variant) for _, variant, device in kept({library: variants})} == set(first.items())


versions = st.lists(st.integers(0, 120), min_size=1, max_size=3)


@given(versions, versions)
def test_versions_in_an_overlap_are_compared_as_numbers(one: list[int], other: list[int]) -> None:
    """Caught in the reference: as text `cuda_v9` is above `cuda_v12`."""
    assume(one != other)
    names = {f"cuda_v{'_'.join(map(str, numbers))}": numbers for numbers in (one, other)}
    supported = {"CUDA": {name: {"GPU-a": n} for n, name in enumerate(names)}}
    assert [names[variant] for _, variant, _ in kept(supported)] == [max(one, other)]


_Item = TypeVar("_Item")


def shuffled(random: Random, items: Mapping[str, _Item]) -> dict[str, _Item]:
    return dict(random.sample(list(items.items()), len(items)))


@given(supported_maps(), policies, chances)
def test_the_order_of_the_input_has_no_effect_on_an_overlap(
    supported: Supported, policy: Policy, random: Random
) -> None:
    """Would have caught: the first or the last of several equals winning, whichever that is."""

    other = shuffled(
        random,
        {
            library: {v: shuffled(random, ids) for v, ids in shuffled(random, of).items()}
            for library, of in supported.items()
        },
    )
    assert overlapping(other, policy) == overlapping(supported, policy)


@given(supported_maps())
def test_an_overlap_that_is_settled_stays_settled(supported: Supported) -> None:
    """Would have caught: a variant that lost devices losing the rest when asked again."""
    gone = overlapping(supported)
    left = {
        library: {variant: {d: i for d, i in ids.items() if i not in gone} for variant, ids in of.items()}
        for library, of in supported.items()
    }
    assert overlapping(left) == frozenset()


@given(supported_maps(), policies)
def test_libraries_have_no_effect_on_each_others_overlap(supported: Supported, policy: Policy) -> None:
    """Would have caught: the reference's flag surviving from one library to the next."""
    apart = [overlapping({library: variants}, policy) for library, variants in supported.items()]
    assert overlapping(supported, policy) == frozenset().union(*apart)


@given(hosts())
def test_of_a_true_machine_overlap_keeps_each_gpu_of_a_library_in_one_variant(host: FakeHost) -> None:
    """Would have caught: telling devices apart by anything but what stays the same between variants."""
    tell(host)
    truth = Truth.of(host)
    supported: Supported = {}
    for index, each in enumerate(truth.listed):
        variants = supported.setdefault(each.device.library, {})
        variants.setdefault(each.device.variant, {})[each.device.id] = index
    gone = overlapping(supported)
    served = [
        (each.device.library, each.gpu.name) for index, each in enumerate(truth.listed) if index not in gone
    ]
    assert sorted(served) == sorted({(each.device.library, each.gpu.name) for each in truth.listed})
