"""Laws of duplicates: no physical GPU survives twice as far as the libraries tell, and none is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from random import Random

from hypothesis import example, given
from hypothesis import strategies as st

from pytest_gpudiscover.devices import Comparison, DeviceInfo
from pytest_gpudiscover.reports import Phase, Reason
from pytest_gpudiscover.selection import without_duplicates
from pytest_gpudiscover.simulation import FakeHost
from pytest_gpudiscover.strategies import Listed, Truth, devices, hosts
from truths import COMPUTE, chances, tell

machines = hosts(max_variants=1)
"""With one variant of each library there is no overlap: a GPU is listed once by each library."""

SLICES_BEFORE_THEIR_CARD = [
    DeviceInfo(library="Vulkan", id="GPU-a", pci_id="0000:01:00.0"),
    DeviceInfo(library="Vulkan", id="GPU-b", pci_id="0000:01:00.0"),
    DeviceInfo(library="CUDA", id="0", pci_id="0000:01:00.0"),
]

IN_ANOTHER_DOMAIN = FakeHost(
    {
        "gpu": [{"name": "a", "profile": "RTX 4090", "pci_id": "0001:01:00.0"}],
        "variant": {
            "cuda": {"library": "CUDA", "devices": [{"gpu": "a", "pci_id": "01:00.1"}]},
            "vulkan": {"library": "Vulkan", "devices": ["a"]},
        },
    }
)
"""The last digit of the short form is the domain."""


def survivors(listed: Sequence[Listed]) -> list[Listed]:
    kept, _ = without_duplicates(each.device for each in listed)
    return [each for each in listed if each.device in kept]


def known_to_be_one(one: Listed, other: Listed) -> bool:
    """Whether two entries are one card, and both libraries say where that is."""
    return one.gpu.card == other.gpu.card and bool(one.device.pci_id and other.device.pci_id)


def are_slices(one: Listed, other: Listed) -> bool:
    return one.device.library == other.device.library and one.gpu != other.gpu


@given(machines)
@example(IN_ANOTHER_DOMAIN)
def test_no_two_survivors_of_duplicates_are_one_gpu_as_far_as_the_libraries_tell(host: FakeHost) -> None:
    """Would have caught: PCI ids compared as text, in which `0000:C1:00.0` and `c1:00.0` are two."""
    tell(host)
    for one, other in combinations(survivors(Truth.of(host).listed), 2):
        assert not known_to_be_one(one, other) or are_slices(one, other)


@given(machines)
def test_no_gpu_is_lost_as_a_duplicate(host: FakeHost) -> None:
    """Would have caught: comparing without the function, or without the domain, of a PCI id."""
    truth = Truth.of(host)
    left = survivors(truth.listed)
    for each in truth.listed:
        assert each in left or any(known_to_be_one(each, other) for other in left)


@given(machines)
def test_twins_and_slices_survive_as_they_are_no_duplicates(host: FakeHost) -> None:
    """Caught in the reference: two cards that lack a PCI id count as one."""
    truth = Truth.of(host)
    for library in {each.device.library for each in truth.listed}:
        alone = [each for each in truth.listed if each.device.library == library]
        assert survivors(alone) == alone


@given(machines, chances)
def test_the_order_of_the_listing_decides_on_no_gpu_among_duplicates(host: FakeHost, random: Random) -> None:
    """Would have caught: comparing a device with its neighbour only."""
    listed = list(Truth.of(host).listed)
    before = survivors(listed)
    random.shuffle(listed)

    # Which of two other libraries serves a card may depend on it, and nothing else.
    def served(left: Sequence[Listed]) -> Counter[str]:
        return Counter(each.gpu.card if each.device.pci_id else each.gpu.name for each in left)

    assert served(survivors(listed)) == served(before)


@given(machines, chances)
def test_cuda_and_rocm_win_over_their_duplicates_in_any_order(host: FakeHost, random: Random) -> None:
    """Would have caught: the first of two libraries winning."""
    listed = list(Truth.of(host).listed)
    random.shuffle(listed)
    left = survivors(listed)
    assert [each for each in listed if each.device.library in COMPUTE and each not in left] == []


@given(st.lists(devices(), max_size=8))
@example(SLICES_BEFORE_THEIR_CARD)
def test_no_two_survivors_are_duplicates(listed: list[DeviceInfo]) -> None:
    """Would have caught: a winner that comes late and replaces only the first of its rivals."""
    for one, other in combinations(without_duplicates(listed)[0], 2):
        assert one.compare(other) is other.compare(one) is Comparison.UNIQUE


@given(st.lists(devices(), max_size=8))
@example(SLICES_BEFORE_THEIR_CARD)
def test_every_device_survives_or_is_rejected_as_a_duplicate(listed: list[DeviceInfo]) -> None:
    """Would have caught: a loser that is forgotten without a word."""
    kept, rejected = without_duplicates(listed)
    assert Counter([*kept, *(rejection.device for rejection in rejected if rejection.device)]) == Counter(
        listed
    )
    assert {(each.phase, each.reason) for each in rejected} <= {(Phase.DUPLICATE, Reason.DUPLICATE)}


@given(st.lists(devices(), max_size=8))
def test_dropping_duplicates_is_idempotent(listed: list[DeviceInfo]) -> None:
    """Would have caught: a survivor that loses only when it is asked a second time."""
    kept, _ = without_duplicates(listed)
    assert without_duplicates(kept) == (kept, [])


@given(devices(), devices())
def test_comparing_for_duplicates_is_symmetric(one: DeviceInfo, other: DeviceInfo) -> None:
    """Would have caught: looking for a PCI id on one side only."""
    assert one.compare(other) is other.compare(one)
