"""Arbitration: which of those who wait get which cards.

Pure: who holds and who waits goes in, grants come out. Every process that waits computes the same, and takes
what it finds to be its own, so there is nobody who arbitrates and could die.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.errors import UnmetLeaseError
from pytest_gpudiscover.leasing.cards import card_name
from pytest_gpudiscover.requirements import Requirement


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What somebody wants to hold.

    Attributes:
        alternatives: lists of cards, by preference; a grant takes all its cards from one of them.
        count: how many cards.
        memory: bytes of each card, which is then shared with other such leases; None: whole cards.
    """

    alternatives: tuple[tuple[str, ...], ...]
    count: int
    memory: int | None = None

    @property
    def cards(self) -> tuple[str, ...]:
        """Every card it names, each once."""
        return tuple(dict.fromkeys(card for alternative in self.alternatives for card in alternative))

    def can_be_met(self) -> bool:
        """Whether it could be granted if nobody else held or wanted anything."""
        return any(len(set(alternative)) >= self.count for alternative in self.alternatives)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One ticket: what it wants, and what it has got.

    Attributes:
        ticket: its number.
        wish: what it wants.
        granted: the cards it holds; empty while it waits.
    """

    ticket: int
    wish: Wish
    granted: tuple[str, ...] = ()


def arbitrate(standings: Sequence[Standing], capacities: Mapping[str, int]) -> dict[int, tuple[str, ...]]:
    """Find what each waiting ticket may take now.

    Tickets are served in their order. One that gets all its cards is granted them. One that does not reserves
    those it is nearest to, as many as it needs: nothing of them goes to later tickets, so they become free in
    the end. Later tickets may take whatever is left. A ticket gets all its cards at once, or none: nobody
    holds one card while he waits for another.

    A card is held by one ticket alone, or by any number of shares whose bytes fit its capacity. A share that
    is larger than any capacity gets a card without other shares: it fares as if it held that whole.

    Args:
        standings: in the order of their tickets.
        capacities: by card, the bytes that shares may take together; a missing card has none.

    Returns:
        the cards of each ticket that waits no longer.
    """
    table = _Table(capacities)
    for standing in standings:
        table.hold(standing.granted, standing.wish.memory)
    grants = {}
    for standing in standings:
        if standing.granted:
            continue
        if chosen := table.choice(standing.wish):
            grants[standing.ticket] = chosen
            table.hold(chosen, standing.wish.memory)
        else:
            table.closed.update(table.nearest(standing.wish))
    return grants


@dataclass
class _Table:
    """The cards while they are dealt out.

    Attributes:
        capacities: see `arbitrate`.
        shares: by card, the bytes of each share.
        closed: the cards of which nothing is left: held whole, or reserved.
    """

    capacities: Mapping[str, int]
    shares: dict[str, list[int]] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)

    def hold(self, cards: Sequence[str], memory: int | None) -> None:
        for card in cards:
            if memory is None:
                self.closed.add(card)
            else:
                self.shares.setdefault(card, []).append(memory)

    def choice(self, wish: Wish) -> tuple[str, ...]:
        """The cards of the first alternative that has enough; of those that are shared the emptiest."""
        for alternative in self._eligible(wish):
            free = [
                card for card in alternative if card not in self.closed and self._distance(card, wish) == 0
            ]
            if len(free) >= wish.count:
                emptiest = sorted(free, key=lambda card: sum(self.shares.get(card, ())))
                return tuple(emptiest[: wish.count])
        return ()

    def nearest(self, wish: Wish) -> list[str]:
        """The cards to keep for a wish: of the alternative that lacks least, as many as it needs.

        Later tickets get nothing of these, so that their distance only falls; and another choice is made only
        when it is nearer. So the distance comes down to nothing, however many come later.
        """
        choices = [self._nearest_of(alternative, wish) for alternative in self._eligible(wish)]
        return min(choices, key=lambda cards: self._lacking(cards, wish), default=[])

    def _nearest_of(self, alternative: Sequence[str], wish: Wish) -> list[str]:
        open_cards = [card for card in alternative if card not in self.closed]
        return sorted(open_cards, key=lambda card: self._distance(card, wish))[: wish.count]

    def _lacking(self, cards: Sequence[str], wish: Wish) -> tuple[int, int]:
        return wish.count - len(cards), sum(self._distance(card, wish) for card in cards)

    def _eligible(self, wish: Wish) -> list[tuple[str, ...]]:
        """The alternatives that have enough cards; where others do, without cards too small for a share."""
        distinct = [tuple(dict.fromkeys(alternative)) for alternative in wish.alternatives]
        alternatives = [cards for cards in distinct if len(cards) >= wish.count]
        memory = wish.memory or 0
        large = [
            tuple(card for card in alternative if self.capacities.get(card, 0) >= memory)
            for alternative in alternatives
        ]
        return [cards for cards in large if len(cards) >= wish.count] or alternatives

    def _distance(self, card: str, wish: Wish) -> int:
        """How much must leave a card before the wish can have it: shares, or bytes of them; 0: it can."""
        shares = self.shares.get(card, [])
        if wish.memory is None or not shares:
            return len(shares)
        return max(0, sum(shares) + wish.memory - self.capacities.get(card, 0))


def wish_for(requirement: Requirement, devices: Sequence[DeviceInfo], *, share: bool) -> Wish:
    """Turn a requirement into what to ask the book for.

    Devices of one library go together where any library has enough; only where none has are they mixed.

    Args:
        requirement: what is needed.
        devices: what there is.
        share: whether to hold the requirement's `min_memory` of each card; without one, cards are held whole.

    Raises:
        UnmetLeaseError: the devices do not meet the requirement.
    """
    by_library: dict[str, dict[str, None]] = {}
    fitting = requirement.selected(devices)
    for device in fitting:
        by_library.setdefault(device.library, {})[card_name(device)] = None
    together = [tuple(cards) for cards in by_library.values() if len(cards) >= requirement.count]
    mixed = tuple(dict.fromkeys(card_name(device) for device in fitting))
    wish = Wish(
        alternatives=tuple(together) or (mixed,),
        count=requirement.count,
        memory=requirement.min_memory if share else None,
    )
    if not wish.can_be_met():
        raise UnmetLeaseError(str(requirement), tuple(requirement.unmet(devices)) or _ONE_CARD)
    return wish


_ONE_CARD = ("some of the devices that meet it are one and the same card",)
