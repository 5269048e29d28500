"""Strategies for whole machines."""

from __future__ import annotations

from collections.abc import Collection

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from fake_runner.faults import VOCABULARY
from pytest_gpudiscover.simulation import FakeHost
from pytest_gpudiscover.strategies.cards import VENDORS, Card, cards, tables_of
from pytest_gpudiscover.strategies.checking import chosen
from pytest_gpudiscover.strategies.faults import faults, possible_on
from pytest_gpudiscover.strategies.views import LOSSES, USUAL_LOSSES, views_of

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
        max_gpus: the most cards; the slices of a card count as one.
        vendors: whose cards there may be, of `VENDORS`. Apple's, and NVIDIA's Jetson boards, are alone in
            their machine.
        max_variants: the most variants of one library; 0: nothing lists anything.
        lossy: whether the libraries' views are as bad as real ones; or in which ways, of `LOSSES`.
            `renumbered` is drawn only where it is named.
        with_faults: whether up to three things may go wrong; or which, of the fault vocabulary.

    Raises:
        InvalidArgument: no machine is like that.
    """
    if not 0 <= min_gpus <= max_gpus:
        raise InvalidArgument(f"expected 0 <= min_gpus <= max_gpus, got {min_gpus} and {max_gpus}")
    there = cards(vendors=chosen("vendors", vendors, VENDORS), min_size=min_gpus, max_size=max_gpus)
    return _hosts(
        there,
        max_variants,
        _losses(lossy),
        _fault_names(with_faults),
    )


def _losses(lossy: bool | Collection[str]) -> tuple[str, ...]:
    if isinstance(lossy, bool):
        return USUAL_LOSSES if lossy else ()
    return chosen("lossy", lossy, LOSSES)


def _fault_names(with_faults: bool | Collection[str]) -> tuple[str, ...]:
    if isinstance(with_faults, bool):
        return tuple(VOCABULARY) if with_faults else ()
    return chosen("with_faults", with_faults, VOCABULARY)


@st.composite
def _hosts(
    draw: st.DrawFn,
    there: st.SearchStrategy[list[Card]],
    max_variants: int,
    losses: tuple[str, ...],
    fault_names: tuple[str, ...],
) -> FakeHost:
    cards = draw(there)
    gpus = draw(tables_of(cards))
    variants = draw(views_of(cards, max_variants=max_variants, losses=losses))
    host = FakeHost({"gpu": gpus, "variant": variants})
    possible = possible_on(host, fault_names)
    if not possible:
        return host
    wrong = draw(st.lists(faults(host, names=possible), max_size=_MAX_FAULTS))
    return FakeHost({**host.document, "fault": wrong})
