"""Arbitration, by example; its laws are in test_arbitration_laws.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.errors import UnmetLeaseError
from pytest_gpudiscover.leasing.arbitration import Standing, Wish, arbitrate, wish_for
from pytest_gpudiscover.requirements import Compute, Requirement

ROOM = dict.fromkeys("ABCD", 24)


def whole(cards: str, count: int = 1) -> Wish:
    """So many whole cards, of those named by letters."""
    return Wish(alternatives=(tuple(cards),), count=count)


def share(cards: str, memory: int, count: int = 1) -> Wish:
    """So many bytes of so many cards."""
    return Wish(alternatives=(tuple(cards),), count=count, memory=memory)


def granted(*line: Wish | tuple[Wish, str], room: dict[str, int] = ROOM) -> list[str]:
    """What each gets who stands in line: those with cards hold them; "" for who waits on."""
    standings = [
        Standing(ticket=n, wish=entry[0], granted=tuple(entry[1]))
        if isinstance(entry, tuple)
        else Standing(ticket=n, wish=entry)
        for n, entry in enumerate(line)
    ]
    grants = arbitrate(standings, room)
    return ["".join(grants.get(n, "")) for n, entry in enumerate(line) if isinstance(entry, Wish)]


def test_a_whole_card_is_held_by_one_alone() -> None:
    assert granted((whole("A"), "A"), whole("A")) == [""]
    assert granted((whole("A"), "A"), share("A", 1)) == [""]
    assert granted((share("A", 1), "A"), whole("A")) == [""]
    assert granted(whole("A"), whole("A"), share("A", 1)) == ["A", "", ""]


def test_shares_fill_a_card_up_to_its_capacity() -> None:
    assert granted((share("A", 16), "A"), share("A", 8)) == ["A"]
    assert granted((share("A", 16), "A"), share("A", 9)) == [""]
    assert granted(*[share("A", 8)] * 4) == ["A", "A", "A", ""]


def test_a_grant_is_the_first_free_card_in_the_order_of_the_wish() -> None:
    assert granted(whole("BA")) == ["B"]
    assert granted((whole("B"), "B"), whole("BA")) == ["A"]


def test_shares_spread_over_the_cards() -> None:
    assert granted(*[share("AB", 8)] * 3) == ["A", "B", "A"]
    assert granted((share("AB", 2), "A"), share("AB", 8, count=2)) == ["BA"]


def test_all_cards_come_from_one_alternative() -> None:
    two = Wish(alternatives=(("A", "B"), ("C", "D")), count=2)
    assert granted(two) == ["AB"]
    assert granted((whole("B"), "B"), two) == ["CD"]
    assert granted((whole("B"), "B"), (whole("C"), "C"), two) == [""]


def test_who_needs_two_keeps_the_free_one_until_the_other_is_free() -> None:
    assert granted((whole("A"), "A"), whole("AB", count=2), whole("AB")) == ["", ""]
    assert granted(whole("AB", count=2), whole("AB")) == ["AB", ""]


def test_later_ones_take_what_those_before_them_do_not_need() -> None:
    assert granted((whole("A"), "A"), whole("AB", count=2), whole("BC")) == ["", "C"]
    assert granted((whole("AB"), "AB"), whole("ABCD", count=3), whole("ABCD")) == ["", ""]
    assert granted((whole("A"), "A"), whole("A"), whole("B"), share("C", 1)) == ["", "B", "C"]


def test_the_alternative_that_lacks_least_is_kept_and_the_other_is_not() -> None:
    two = Wish(alternatives=(("A", "B"), ("C", "D")), count=2)
    holders = [(whole("AB", count=2), "AB"), (whole("C"), "C")]
    assert granted(*holders, two, whole("D")) == ["", ""]
    assert granted(holders[1], (whole("B"), "B"), two, whole("D"), whole("A")) == ["", "D", ""]


def test_a_card_that_somebody_wants_whole_takes_no_more_shares() -> None:
    shares = [(share("AB", 8), "A"), (share("AB", 8), "B"), (share("AB", 4), "B")]
    assert granted(*shares, whole("AB"), share("AB", 2), share("AB", 2)) == ["", "B", "B"]


def test_a_large_share_keeps_the_card_with_most_room() -> None:
    shares = [(share("AB", 20), "A"), (share("AB", 12), "B")]
    assert granted(*shares, share("AB", 16), share("AB", 4), share("AB", 1)) == ["", "A", ""]


def test_a_share_for_which_every_card_is_too_small_gets_one_alone() -> None:
    assert granted(share("A", 30)) == ["A"]
    assert granted(share("A", 30), share("A", 1), whole("A")) == ["A", "", ""]
    assert granted((share("A", 1), "A"), share("A", 30)) == [""]
    assert granted(share("A", 30), room={}) == ["A"]


def test_a_card_that_is_too_small_is_left_alone_where_others_are_not() -> None:
    room = {"A": 8, "B": 24}
    assert granted(share("AB", 16), room=room) == ["B"]
    assert granted((whole("B"), "B"), share("AB", 16), whole("A"), room=room) == ["", "A"]
    other_library = Wish(alternatives=(("A",), ("B",)), count=1, memory=16)
    assert granted(other_library, room=room) == ["B"]
    assert granted(share("AB", 16, count=2), room=room) == ["AB"]


def test_a_card_that_is_named_twice_is_one_card() -> None:
    assert granted(whole("AA", count=2)) == [""]
    assert not whole("AA", count=2).can_be_met()


def test_who_can_never_be_served_stops_nobody_else() -> None:
    assert granted(whole("A", count=2), whole("AB"), whole("AB")) == ["", "A", "B"]
    assert granted(Wish(alternatives=(), count=1), whole("A")) == ["", "A"]


CUDA = [
    DeviceInfo(id=f"GPU-{n}", library="CUDA", pci_id=f"0000:0{n}:00.0", total_memory=24, compute_major=8)
    for n in range(2)
]
ROCM = [
    DeviceInfo(id=str(n), library="ROCm", pci_id=f"0000:0{n + 2}:00.0", total_memory=64, compute_major=9)
    for n in range(2)
]
PCI = [f"pci 0000:0{n}:00.0" for n in range(4)]


def test_devices_of_one_library_are_wished_together() -> None:
    wish = wish_for(Requirement(count=2), [CUDA[0], ROCM[0], CUDA[1], ROCM[1]], share=False)
    assert wish == Wish(alternatives=((PCI[0], PCI[1]), (PCI[2], PCI[3])), count=2)


def test_a_library_without_enough_devices_is_left_out() -> None:
    wish = wish_for(Requirement(count=2), [ROCM[0], *CUDA], share=False)
    assert wish.alternatives == ((PCI[0], PCI[1]),)


def test_devices_are_mixed_only_where_no_library_has_enough() -> None:
    wish = wish_for(Requirement(count=3), [*CUDA, *ROCM], share=False)
    assert wish.alternatives == (tuple(PCI),)


def test_only_devices_that_meet_the_requirement_are_wished() -> None:
    devices = [*CUDA, *ROCM]
    assert wish_for(Requirement(min_memory=30), devices, share=False).alternatives == ((PCI[2], PCI[3]),)
    assert wish_for(Requirement(library="cuda"), devices, share=False).cards == (PCI[0], PCI[1])
    gfx = Requirement(min_compute=Compute.parse("gfx900"))
    assert wish_for(gfx, devices, share=False).cards == (PCI[2], PCI[3])


def test_a_share_is_of_the_memory_that_was_asked_for() -> None:
    asked = Requirement(min_memory=20)
    assert wish_for(asked, CUDA, share=True).memory == 20
    assert wish_for(asked, CUDA, share=False).memory is None
    assert wish_for(Requirement(), CUDA, share=True).memory is None


def test_what_the_devices_can_never_do_is_said_at_once() -> None:
    with pytest.raises(
        UnmetLeaseError, match=r"3 CUDA devices cannot be held here: needed: .* 2 of 4 devices"
    ):
        wish_for(Requirement(count=3, library="CUDA"), [*CUDA, *ROCM], share=False)
    with pytest.raises(UnmetLeaseError, match="1 device cannot be held here: needed"):
        wish_for(Requirement(), [], share=False)


def test_two_devices_that_are_one_card_cannot_be_held_as_two() -> None:
    twin = replace(CUDA[0], id="GPU-other")
    with pytest.raises(UnmetLeaseError, match="one and the same card"):
        wish_for(Requirement(count=2), [CUDA[0], twin], share=False)
