"""Strategies for what is in a machine: cards in their slots, whole or in slices, as tables of a host file.

Here and in `views`, each choice is one out of a short list: a machine that hundreds of small strategies
make is slow to draw, and slow to shrink.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from fake_runner.hosts import derived_uuid
from pytest_gpudiscover.simulation import PROFILES, Profile

VENDORS = ("NVIDIA", "AMD", "Intel", "Apple")
"""The makers of the cards that there are."""

SLICED = ("A100 80GB", "H100")
"""Cards that are also drawn cut into slices (MIG), and so more often than others."""

_SLICES = st.sampled_from(("", "ab", "abc"))


@dataclass(frozen=True, kw_only=True)
class Card:
    """One card.

    Attributes:
        name: how the host file calls it.
        kind: which of `PROFILES` it is.
        pci_id: its address, of the form 0000:01:00.0; "" when it is on no PCI bus.
        slices: the names of its slices; () when it is whole.
    """

    name: str
    kind: str
    pci_id: str = ""
    slices: tuple[str, ...] = ()

    @property
    def profile(self) -> Profile:
        """What is known of its kind."""
        return PROFILES[self.kind]

    @property
    def tables(self) -> list[dict[str, Any]]:
        """Its tables in a host file: the card's, and one for each slice."""
        place = {"pci_id": self.pci_id} if self.pci_id else {}
        cut = {"description": f"{self.profile.description} MIG 1g.10gb", "total_memory": "10 GiB"}
        return [
            {"name": self.name, "profile": self.kind, **place},
            *(
                {"name": name, "profile": self.kind, **cut, **place, "uuid": _slice_uuid(name)}
                for name in self.slices
            ),
        ]


def _slice_uuid(name: str) -> str:
    return derived_uuid(name).replace("GPU-", "MIG-")


_PLACES = (
    "{0:04x}:{1:02x}:00.0",
    "{2:04x}:01:00.0",
    "0000:01:{2:02x}.0",
    "0000:01:{3:02x}.{4:x}",
    "0000:{5:02x}:00.0",
)
"""Where the cards of one machine are: their buses differ, or else one part of the address does."""


def _address(place: int, n: int) -> str:
    """The n-th card's address. At place 0, as on most machines, each is behind a bus of its own."""
    domain = (0, 0x1, 0x10000)[place % 3]
    form = _PLACES[place // 3]
    return form.format(domain, 1 + n, n, n // 8, n % 8, 0xFF - n)


_PLACE = st.sampled_from((0, 0, *range(3 * len(_PLACES))))


def cards(*, vendors: tuple[str, ...], min_size: int, max_size: int) -> st.SearchStrategy[list[Card]]:
    """The cards of one machine: a computer with slots, one of Apple's, or a Jetson board.

    Raises:
        InvalidArgument: no machine has so many cards by these makers.
    """
    return _cards(_kinds(vendors, min_size, max_size))


@st.composite
def _cards(draw: st.DrawFn, kinds: st.SearchStrategy[list[str]]) -> list[Card]:
    drawn = draw(kinds)
    place = draw(_PLACE)
    return [
        Card(
            name=f"gpu{n}",
            kind=kind,
            pci_id="" if _is_alone(kind) else _address(place, n),
            slices=tuple(f"gpu{n}{letter}" for letter in (draw(_SLICES) if kind in SLICED else "")),
        )
        for n, kind in enumerate(drawn)
    ]


@cache
def _kinds(vendors: tuple[str, ...], min_size: int, max_size: int) -> st.SearchStrategy[list[str]]:
    kinds = [kind for kind, profile in PROFILES.items() if profile.vendor in vendors]
    alone = [kind for kind in kinds if _is_alone(kind)] if min_size <= 1 <= max_size else []
    slotted = [kind for kind in kinds if not _is_alone(kind)]
    machines = [_of_two_kinds(slotted, min_size, max_size)] if slotted else [st.just([])] * (min_size == 0)
    if not machines and not alone:
        makers = " or ".join(vendors) or "nobody"
        raise InvalidArgument(f"no machine has {min_size} cards or more by {makers}")
    # Machines with slots are the larger part of all.
    return st.one_of(machines * 6 + [st.sampled_from(alone).map(lambda kind: [kind])] * bool(alone))


def _of_two_kinds(kinds: Sequence[str], min_size: int, max_size: int) -> st.SearchStrategy[list[str]]:
    """Cards of two kinds, so that twins are common."""
    kind = st.sampled_from([*kinds, *SLICED, *SLICED] if set(SLICED) <= set(kinds) else kinds)
    which = st.lists(st.sampled_from((0, 1)), min_size=min_size, max_size=max_size)
    return st.builds(lambda two, which: [two[n] for n in which], st.tuples(kind, kind), which)


def _is_alone(kind: str) -> bool:
    """Whether it is the only GPU of its machine, and on no PCI bus."""
    return PROFILES[kind].vendor == "Apple" or PROFILES[kind].jetson


_FULL = st.sampled_from((1, 0))


@st.composite
def tables_of(draw: st.DrawFn, there: Sequence[Card]) -> list[dict[str, Any]]:
    """The tables of some cards. Each GPU has free memory of its own; the first may have none at all."""
    tables = [table for card in there for table in card.tables]
    least = draw(_FULL)
    return [{**table, "free_memory": f"{least + n} MiB"} for n, table in enumerate(tables)]
