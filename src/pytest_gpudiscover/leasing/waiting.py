"""Waiting for a lease: the one place that joins rules, book and clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.errors import LeaseTimeoutError
from pytest_gpudiscover.leasing.arbitration import wish_for
from pytest_gpudiscover.leasing.book import Book, Entry, Holder, Ticket
from pytest_gpudiscover.leasing.cards import capacities, card_name, names_for_people
from pytest_gpudiscover.leasing.leases import Lease
from pytest_gpudiscover.leasing.showing import lease_env, torch_names
from pytest_gpudiscover.leasing.wording import in_the_way_in_words
from pytest_gpudiscover.masks import UserMasks
from pytest_gpudiscover.requirements import Requirement

_FIRST_WORD = 1.0
"""Seconds after which somebody who waits is told so."""
_NEXT_WORD = 10.0
_SHORTEST, _LONGEST = 0.02, 0.2
"""Seconds between two questions whether it is our turn: a tenth of the time waited, within these."""
_CROWD, _RAREST = 4, 2.0
"""With so many before us we ask half as often, with twice as many a third, but after 2 s at the latest."""


class Clock(Protocol):
    """What time it is, and how to let it pass."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    def sleep(self, seconds: float, /) -> None:
        """Let so many seconds pass."""


def _nothing() -> Collection[str]:
    return ()


def acquire(
    book: Book,
    requirement: Requirement,
    devices: Sequence[DeviceInfo],
    *,
    share: bool,
    masks: UserMasks,
    holder: Holder,
    timeout: float | None,
    everything: Iterable[DeviceInfo] | None = None,
    without: Callable[[], Collection[str]] = _nothing,
    waiting: Callable[[float, list[Entry]], None] | None = None,
    clock: Clock = time,
) -> Lease:
    """Wait until devices are free, and hold them.

    Args:
        book: the machine's.
        requirement: what is needed.
        devices: what may be used of the machine.
        share: whether to hold `min_memory` of each device only, beside others that do the same.
        masks: the user's own.
        holder: who this is, for those who wait.
        timeout: seconds to wait at the most; None: for ever.
        everything: what the machine has, as far as it is known; None: `devices`.
        without: names the cards that will not do, each time anew.
        waiting: told how long we have waited (seconds) and who is in the way, after 1 s and then every 10 s.
        clock: seconds, and how to let them pass.

    Raises:
        UnmetLeaseError: the devices can never do.
        LeaseTimeoutError: they were not free in time.
        BookError: the book cannot be used.
    """
    ticket = book.enter(
        wish_for(requirement, devices, share=share),
        holder,
        needs=str(requirement),
        capacities=capacities(devices),
        names=names_for_people(devices),
    )
    try:
        line = _Line(ticket, str(requirement), timeout, holder.host, clock)
        cards = line.wait(without, waiting)
        held = _devices_of(cards, requirement.selected(devices))
        shown = devices if everything is None else tuple(everything)
        return Lease(
            devices=held,
            cards=tuple(card_name(device) for device in held),
            env=lease_env(held, shown, masks),
            torch_devices=torch_names(held, shown),
            memory=requirement.min_memory if share else None,
            waited=line.waited(),
            ticket=ticket,
        )
    except BaseException:
        ticket.release()
        raise


class _Line:
    """One wait in the line."""

    def __init__(self, ticket: Ticket, needed: str, timeout: float | None, host: str, clock: Clock) -> None:
        self._ticket = ticket
        self._needed = needed
        self._timeout = timeout
        self._host = host
        self._clock = clock
        self._began = clock.monotonic()

    def waited(self) -> float:
        """Seconds."""
        return self._clock.monotonic() - self._began

    def wait(
        self,
        without: Callable[[], Collection[str]],
        waiting: Callable[[float, list[Entry]], None] | None,
    ) -> tuple[str, ...]:
        next_word = _FIRST_WORD
        while not (cards := self._ticket.grant(without())):
            waited = self.waited()
            if self._timeout is not None and waited >= self._timeout:
                self._give_up(self._timeout)
            if waiting and waited >= next_word:
                waiting(waited, self._ticket.in_the_way())
                next_word = waited + _NEXT_WORD
            self._clock.sleep(self._pause(waited))
        return cards

    def _pause(self, waited: float) -> float:
        # Whoever asks reads all tickets; it is the first in line who must not be late.
        crowded = 1 + self._ticket.before / _CROWD
        pause = min(min(max(waited / 10, _SHORTEST), _LONGEST) * crowded, _RAREST)
        return pause if self._timeout is None else min(pause, max(self._timeout - waited, 0))

    def _give_up(self, timeout: float) -> None:
        in_the_way = in_the_way_in_words(self._ticket.in_the_way(), now=time.time(), host=self._host)
        raise LeaseTimeoutError(self._needed, timeout, tuple(in_the_way))


def _devices_of(cards: Collection[str], devices: Iterable[DeviceInfo]) -> tuple[DeviceInfo, ...]:
    found: dict[str, DeviceInfo] = {}
    for device in devices:
        if card_name(device) in cards:
            found.setdefault(card_name(device), device)
    return tuple(found.values())
