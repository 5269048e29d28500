"""The book: where all processes of a machine write down who holds which GPUs and who waits for them.

Nothing runs beside the processes that hold and wait: what the dead left behind, the next one clears away.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pytest_gpudiscover.errors import BookError, UnmetLeaseError
from pytest_gpudiscover.leasing import pages, suspicion
from pytest_gpudiscover.leasing.arbitration import Wish, arbitrate
from pytest_gpudiscover.leasing.locks import LockFile
from pytest_gpudiscover.leasing.machines import (
    directory_of,
    handed_down,
    holder_here,
    inherited_tickets,
    machine_of,
)
from pytest_gpudiscover.leasing.tickets import Entry, Holder, dumps

__all__ = ["Book", "Entry", "Holder", "Ticket", "book_for", "holder_here", "machine_of"]

_SILENT = 30.0
"""Seconds after which somebody who waits and has stopped asking is passed over until he asks again."""


def book_for(machine: str, directory: Path | None = None) -> Book:
    """The book of a machine.

    Args:
        machine: as `machine_of` names it.
        directory: where the books are; None: where GPUDISCOVER_LEASES says, else in the same place for all
            users: `/tmp/gpudiscover-leases`, on Windows `gpudiscover-leases` in %PROGRAMDATA%.
    """
    place = directory_of(directory) / machine
    return Book(place, inherited_tickets(place))


class Book:
    """All leases of one machine.

    Attributes:
        directory: where it lies. It and the directory above it are made when needed, for all users.
        inherited: the numbers of the tickets that were left to the command this process belongs to: what
            those hold, its processes share out among each other.
    """

    def __init__(self, directory: Path, inherited: Collection[int] = ()) -> None:
        self.directory = directory
        self.inherited = frozenset(inherited)

    def is_ours(self, entry: Entry) -> bool:
        """Whether what a ticket holds is for us to share out."""
        return entry.passed_on and entry.number in self.inherited

    def entries(self) -> list[Entry]:
        """Whoever holds and whoever waits, in the order of their tickets; nothing is changed by looking.

        Raises:
            BookError: the directory cannot be read.
        """
        with pages.looked_at(self.directory) as page:
            return [ticket.entry for ticket in page.living()] if page else []

    def enter(
        self,
        wish: Wish,
        holder: Holder,
        *,
        needs: str,
        capacities: Mapping[str, int],
        names: Mapping[str, str],
    ) -> Ticket:
        """Get in line.

        Args:
            wish: what is wanted.
            holder: who wants it.
            needs: the same as the wish, in words.
            capacities: by card, the bytes that shares may take together.
            names: by card, what to call it in a sentence.

        Raises:
            BookError: the directory cannot be used.
        """
        with pages.opened(self.directory) as page:
            entry = Entry(
                number=page.next_number(),
                holder=holder,
                asked=time.time(),
                wish=wish,
                needs=needs,
                names=names,
                capacities=capacities,
            )
            name, file = page.add(entry)
            return Ticket(self, entry, name, file)

    def suspects(self) -> dict[str, Holder]:
        """The cards whose last holder died without giving them back, and who that was.

        Raises:
            BookError: the directory cannot be used.
        """
        with pages.opened(self.directory) as page:
            page.swept()
            return suspicion.noted(page.folder)

    def clear(self, card: str) -> None:
        """Take a card off the suspects: it was found to be well.

        Raises:
            BookError: the directory cannot be used.
        """
        with pages.opened(self.directory) as page:
            page.swept()
            suspicion.clear(page.folder, card)


class Ticket:
    """A place in the line, and later the cards themselves, for as long as this process lives.

    A forked child has no part in it: there nothing can be granted, and `release` does nothing.

    Attributes:
        before: how many waited for the same cards with an earlier number, when `grant` last looked.
    """

    def __init__(self, book: Book, entry: Entry, name: str, file: LockFile) -> None:
        self._book = book
        self._entry = entry
        self._wish = entry.wish
        self._name = name
        self._file = file
        self.before = 0

    @property
    def number(self) -> int:
        """Tickets are served in the order of their numbers."""
        return self._entry.number

    def grant(self, without: Collection[str] = ()) -> tuple[str, ...]:
        """Take the cards, if it is our turn.

        Args:
            without: cards that will not do, whatever the wish says: they were found to be broken.

        Returns:
            the cards, which are ours from now on; empty while we have to wait.

        Raises:
            UnmetLeaseError: without those the wish can never be granted.
            BookError: the directory cannot be used, or somebody has removed this ticket from it, or it is not
                this process's.
        """
        if self._file.closed:
            raise BookError(
                str(self._book.directory), "a ticket was asked that is given back, or the parent's"
            )
        if self._entry.cards:
            return self._entry.cards
        wish = self._narrowed(without)
        with pages.opened(self._book.directory) as page:
            tickets = page.swept()
            if self._name not in {ticket.name for ticket in tickets}:
                raise BookError(str(self._book.directory), "somebody has removed a ticket that is in use")
            if wish != self._entry.wish:
                self._note(replace(self._entry, wish=wish))
            cards = self._turn(tickets)
            if cards:
                self._note(replace(self._entry, cards=cards, since=time.time()))
            else:
                self._file.touch()
        return cards

    def in_the_way(self) -> list[Entry]:
        """Who holds what this ticket waits for, and then who waits for it with an earlier number.

        Raises:
            BookError: the directory cannot be read.
        """
        wanted = {*self._entry.wish.cards}
        others = [
            entry
            for entry in self._book.entries()
            if entry.number != self.number and not self._book.is_ours(entry)
        ]
        holding = [entry for entry in others if wanted & {*entry.cards}]
        before = [entry for entry in others if not entry.cards and entry.number < self.number]
        return holding + [entry for entry in before if wanted & {*entry.wish.cards}]

    def release(self) -> None:
        """Give the cards back, or leave the line; nothing happens when that was done before.

        It never fails: what cannot be removed is emptied, and holds nothing.
        """
        if self._file.closed:
            return
        removed = self._remove()
        if not removed:
            with suppress(OSError):
                self._file.write(b"")
        self._file.close()
        if not removed:
            # Windows removes no file that is open.
            self._remove()

    def pass_on(self) -> dict[str, str]:
        """Leave the cards to the program that replaces this one, and to all that it starts.

        They are free when the last of those is gone. For POSIX; elsewhere no program replaces another.

        Returns:
            what its environment must have in addition, so that those can lease the cards from each other.

        Raises:
            BookError: it cannot be written down.
        """
        with pages.opened(self._book.directory):
            self._note(replace(self._entry, passed_on=True))
        self._file.pass_on()
        return handed_down(self._book.directory, self._book.inherited | {self.number})

    def _narrowed(self, without: Collection[str]) -> Wish:
        """The wish without some cards.

        Raises:
            UnmetLeaseError: nothing is left that could be granted.
        """
        kept = tuple(
            tuple(card for card in alternative if card not in without)
            for alternative in self._wish.alternatives
        )
        wish = replace(self._wish, alternatives=kept)
        if not wish.can_be_met():
            lost = [self._entry.names.get(card, card) for card in self._wish.cards if card in without]
            raise UnmetLeaseError(self._entry.needs, (f"no longer to be used: {', '.join(lost) or 'none'}",))
        return wish

    def _turn(self, tickets: Sequence[pages.Living]) -> tuple[str, ...]:
        """What arbitration gives this ticket among those of others."""
        silent_since = time.time() - _SILENT
        others = [ticket for ticket in tickets if ticket.name != self._name]
        holding = [
            ticket.entry for ticket in others if ticket.entry.cards and not self._book.is_ours(ticket.entry)
        ]
        # Somebody who was stopped takes nothing: what he waits for would lie idle.
        waiting = [
            ticket.entry
            for ticket in others
            if not ticket.entry.cards and ticket.entry.number < self.number and ticket.heard >= silent_since
        ]
        wanted = {*self._entry.wish.cards}
        self.before = sum(not wanted.isdisjoint(entry.wish.cards) for entry in waiting)
        capacities = _largest([ticket.entry for ticket in tickets])
        standings = [entry.standing for entry in (*holding, *waiting, self._entry)]
        return arbitrate(standings, capacities).get(self.number, ())

    def _note(self, entry: Entry) -> None:
        self._file.write(dumps(entry))
        self._entry = entry

    def _remove(self) -> bool:
        try:
            pages.remove(self._book.directory, self._name)
        except OSError:
            return False
        return True


def _largest(entries: Sequence[Entry]) -> dict[str, int]:
    """By card, the capacity that the run which saw most of it free had found.

    One that looked while others used the card must not count their bytes twice.
    """
    largest: dict[str, int] = {}
    for entry in entries:
        for card, size in entry.capacities.items():
            largest[card] = max(size, largest.get(card, 0))
    return largest
