"""Strategies for whole machines."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from fake_runner.faults import VOCABULARY
from pytest_gpudiscover.simulation import FakeHost
from pytest_gpudiscover.strategies.cards import (
    PLACES,
    SLICED,
    VENDORS,
    Card,
    Kinds,
    address,
    is_alone,
    kinds_of,
)
from pytest_gpudiscover.strategies.cards import tables_of as gpu_tables
from pytest_gpudiscover.strategies.checking import chosen
from pytest_gpudiscover.strategies.faults import faults, possible_on
from pytest_gpudiscover.strategies.views import LOSSES, USUAL_LOSSES, View, entries, views_of
from pytest_gpudiscover.strategies.views import tables_of as variant_tables

_MAX_GPUS = 64
_MAX_FAULTS = 3


def hosts(
    *,
    min_gpus: int = 0,
    max_gpus: int = 4,
    vendors: Collection[str] = VENDORS,
    max_variants: int = 3,
    lossy: bool | Collection[str] = True,
    with_faults: bool | Collection[str] = False,
) -> st.SearchStrategy[FakeHost]:
    """Machines: the physical GPUs first, then what each library makes of them.

    What is drawn shrinks towards few cards, one variant, and views that say the truth. `Truth.of` says what
    is true of it. Each GPU has free memory of its own, so a figure tells whose it is.

    Args:
        min_gpus: the fewest cards.
        max_gpus: the most cards, up to 64; the slices of a card count as one.
        vendors: whose cards there may be, of `VENDORS`. Apple's, and NVIDIA's Jetson boards, are alone in
            their machine.
        max_variants: the most variants of one library; 0: nothing lists anything.
        lossy: whether the libraries' views are as bad as real ones; or in which ways, of `LOSSES`.
            `renumbered` is drawn only where it is named.
        with_faults: whether up to three things may go wrong; or which, of the fault vocabulary.

    Raises:
        InvalidArgument: no machine is like that.
    """
    if not 0 <= min_gpus <= max_gpus <= _MAX_GPUS:
        wanted = f"0 <= min_gpus <= max_gpus <= {_MAX_GPUS}"
        raise InvalidArgument(f"expected {wanted}, got {min_gpus} and {max_gpus}")
    makers = chosen("vendors", vendors, VENDORS)
    kinds_of(makers, min_gpus, max_gpus)  # refuses what no machine has
    return _hosts(
        makers,
        min_gpus=min_gpus,
        max_gpus=max_gpus,
        max_variants=max_variants,
        losses=_losses(lossy),
        fault_names=_fault_names(with_faults),
    )


def _losses(lossy: bool | Collection[str]) -> tuple[str, ...]:
    if isinstance(lossy, bool):
        return USUAL_LOSSES if lossy else ()
    return chosen("lossy", lossy, LOSSES)


def _fault_names(with_faults: bool | Collection[str]) -> tuple[str, ...]:
    if isinstance(with_faults, bool):
        return tuple(VOCABULARY) if with_faults else ()
    return chosen("with_faults", with_faults, VOCABULARY)


# It is told names and numbers, and no strategies: Hypothesis shows its arguments when something goes wrong.
@st.composite
def _hosts(
    draw: st.DrawFn,
    makers: tuple[str, ...],
    *,
    min_gpus: int,
    max_gpus: int,
    max_variants: int,
    losses: tuple[str, ...],
    fault_names: tuple[str, ...],
) -> FakeHost:
    kinds = draw(_kinds(makers, min_gpus, max_gpus))
    place = draw(PLACES)
    views = tuple(draw(views_of(kinds, max_variants=max_variants, losses=losses)))
    least, most = (1, 1) if len(kinds) == 1 else (min_gpus, max_gpus if kinds else 0)
    least = min(max(least, draw(_LEAST)), most)
    # All that is drawn of a card stands together: a card that does not matter is shrunk away in one piece.
    slots = draw(st.lists(_slots(kinds, views, losses), min_size=least, max_size=most))
    host = FakeHost(_document(slots, place, views, renumbered="renumbered" in losses))
    possible = possible_on(host, fault_names)
    if not possible:
        return host
    wrong = draw(st.lists(faults(host, names=possible), max_size=_MAX_FAULTS))
    return FakeHost({**host.document, "fault": wrong})


_kinds = cache(kinds_of)


@dataclass(frozen=True, kw_only=True)
class _Slot:
    """What is drawn of one card.

    Attributes:
        kind: which of `PROFILES` it is.
        slices: a letter for each of its slices.
        share: how much of its memory is free, from 0 to 1.
        entries: for each view, how each of its GPUs is listed.
    """

    kind: str
    slices: str
    share: float
    entries: tuple[tuple[str, ...], ...]

    def card(self, n: int, place: int) -> Card:
        return Card(
            name=f"gpu{n}",
            kind=self.kind,
            pci_id="" if is_alone(self.kind) else address(place, n),
            slices=tuple(f"gpu{n}{letter}" for letter in self.slices),
            share=self.share,
        )


_LEAST = st.sampled_from((1, 2, 3, 1, 2, 3, 0))
"""The fewest cards of a machine: without it, every third has none."""
_WHICH = st.sampled_from((0, 1))
_SLICES = st.sampled_from(("", "ab", "abc"))
_SHARES = st.sampled_from((1.0, 1.0, 0.5, 0.0))


@st.composite
def _slots(draw: st.DrawFn, kinds: Kinds, views: tuple[View, ...], losses: tuple[str, ...]) -> _Slot:
    kind = kinds[draw(_WHICH) % len(kinds)]
    slices = draw(_SLICES) if kind in SLICED else ""
    share = draw(_SHARES)
    listed = [view.knows(kind) * (len(slices) if slices and view.sees_slices else 1) for view in views]
    drawn = tuple(tuple(draw(entries(losses)) for _ in range(count)) for count in listed)
    return _Slot(kind=kind, slices=slices, share=share, entries=drawn)


def _document(
    slots: Sequence[_Slot], place: int, views: Sequence[View], *, renumbered: bool
) -> dict[str, Any]:
    cards = [slot.card(n, place) for n, slot in enumerate(slots)]
    listings = {
        view.variant: {
            gpu: entry
            for card, slot in zip(cards, slots, strict=True)
            for gpu, entry in zip(view.gpus_of(card), slot.entries[n], strict=True)
        }
        for n, view in enumerate(views)
    }
    tables = variant_tables(views, cards, listings, renumbered=renumbered)
    return {"gpu": gpu_tables(cards), "variant": tables}
