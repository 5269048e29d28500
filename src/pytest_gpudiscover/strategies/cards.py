"""Cards: kinds, addresses, slices, and their tables in a host file."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from fake_runner.hosts import derived_uuid
from pytest_gpudiscover.simulation import PROFILES, Profile
from pytest_gpudiscover.strategies.choices import mostly

VENDORS = ("NVIDIA", "AMD", "Intel", "Apple")
"""The makers of the cards that there are."""

SLICED = ("A100 80GB", "H100")
"""Cards that are also drawn cut into slices (MIG), and so more often than others."""

_SLICE = 10
"""GiB."""
_STEP = 64
"""MiB."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """One card.

    Attributes:
        name: how the host file calls it.
        kind: which of `PROFILES` it is.
        pci_id: its address, of the form 0000:01:00.0; "" when it is on no PCI bus.
        slices: the names of its slices; () when it is whole.
        share: how much of its memory is free, from 0 to 1.
    """

    name: str
    kind: str
    pci_id: str
    slices: tuple[str, ...]
    share: float

    @property
    def profile(self) -> Profile:
        """What is known of its kind."""
        return PROFILES[self.kind]

    @property
    def tables(self) -> list[dict[str, Any]]:
        """Its tables in a host file, without free memory: the card's, and one for each slice."""
        place = {"pci_id": self.pci_id} if self.pci_id else {}
        whole = {"name": self.name, "profile": self.kind, **place}
        cut = {"description": f"{self.profile.description} MIG 1g.10gb", "total_memory": f"{_SLICE} GiB"}
        slices = [{**whole, **cut, "name": name, "uuid": _slice_uuid(name)} for name in self.slices]
        return [whole, *slices]


def _slice_uuid(name: str) -> str:
    return derived_uuid(name).replace("GPU-", "MIG-")


def tables_of(cards: Sequence[Card]) -> list[dict[str, Any]]:
    """The tables of all cards, each with free memory that no other has."""
    tables = [(table, card.share) for card in cards for table in card.tables]
    step = _STEP * (1 + len(tables) // _STEP)
    return [
        {**table, "free_memory": f"{_largest_multiple(step, share * _total(table)) + n} MiB"}
        for n, (table, share) in enumerate(tables)
    ]


def _total(table: dict[str, Any]) -> int:
    """MiB."""
    return _SLICE * 1024 if "total_memory" in table else PROFILES[table["profile"]].memory >> 20


def _largest_multiple(step: int, below: float) -> int:
    return max(math.ceil(below / step) - 1, 0) * step


_ADDRESSES = (
    "{domain:04x}:{ordinal:02x}:00.0",
    "{index:04x}:01:00.0",
    "{domain:04x}:01:{index:02x}.0",
    "{domain:04x}:01:{device:02x}.{function:x}",
    "{domain:04x}:{last:02x}:00.0",
)
_DOMAINS = (0, 0x1, 0x10000)
PLACES = st.sampled_from((0, 0, *range(len(_DOMAINS) * len(_ADDRESSES))))
"""Where the cards of one machine are: as on most, each on a bus of its own; or another part differs."""


def address(place: int, index: int) -> str:
    """The address of a card, by its index in the machine."""
    return _ADDRESSES[place // len(_DOMAINS)].format(
        domain=_DOMAINS[place % len(_DOMAINS)],
        index=index,
        ordinal=index + 1,
        device=index // 8,
        function=index % 8,
        last=0xFF - index,
    )


Kinds = tuple[str, ...]
"""Of which kinds the cards of one machine are: two, so that twins are common, or the only one that fits."""


def kinds_of(makers: Collection[str], min_gpus: int, max_gpus: int) -> st.SearchStrategy[Kinds]:
    """The kinds of cards in one machine: a computer with slots, one of Apple's, or a Jetson board.

    Raises:
        InvalidArgument: no machine has so many cards by these makers.
    """
    kinds = [kind for kind, profile in PROFILES.items() if profile.vendor in makers]
    slotted = [kind for kind in kinds if not is_alone(kind)]
    alone = [kind for kind in kinds if is_alone(kind) and min_gpus <= 1 <= max_gpus]
    if not slotted and not alone and min_gpus > 0:
        names = " or ".join(makers) or "nobody"
        raise InvalidArgument(f"no machine has {min_gpus} cards or more by {names}")
    if not alone:
        return _two_of(slotted)
    one = st.tuples(st.sampled_from(alone))
    return mostly(_two_of(slotted), one) if slotted else one


def _two_of(kinds: Sequence[str]) -> st.SearchStrategy[Kinds]:
    if not kinds:
        return st.just(())
    kind = st.sampled_from([*kinds, *(sliced for sliced in SLICED * 2 if sliced in kinds)])
    return st.tuples(kind, kind)


def is_alone(kind: str) -> bool:
    """Whether it is the only GPU of its machine, and on no PCI bus."""
    return PROFILES[kind].vendor == "Apple" or PROFILES[kind].jetson
