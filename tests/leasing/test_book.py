"""The book, as several tickets of one process see it: each has locks of its own, like another process."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from lessees import enter
from pytest_gpudiscover.errors import BookError, UnmetLeaseError
from pytest_gpudiscover.leasing import pages
from pytest_gpudiscover.leasing.book import Book, Ticket
from pytest_gpudiscover.leasing.locks import LockFile


def tickets(book: Book) -> list[Path]:
    """The files of all tickets."""
    return sorted(book.directory.glob("*.json"))


def test_a_card_goes_to_one_and_then_to_the_other(book: Book) -> None:
    first, second = enter(book, "A"), enter(book, "A")
    assert first.grant() == ("A",)
    assert second.grant() == ()
    first.release()
    assert second.grant() == ("A",)
    second.release()


def test_what_is_granted_stays_granted(book: Book) -> None:
    ticket = enter(book, "A", "B")
    assert ticket.grant() == ticket.grant() == ("A",)
    ticket.release()


def test_who_came_first_is_served_first_whoever_asks_first(book: Book) -> None:
    holder, first, second = (enter(book, "A") for _ in range(3))
    assert holder.grant()
    holder.release()
    assert second.grant() == ()
    assert first.grant() == ("A",)
    for ticket in (first, second):
        ticket.release()


def test_everybody_can_read_who_holds_and_who_waits(book: Book) -> None:
    before = time.time()
    holder = enter(book, "A", "B", memory=8, purpose="test_holder")
    holder.grant()
    waiter = enter(book, "B", "A", count=2, purpose="test_waiter")
    waiter.grant()
    holds, waits = book.entries()

    assert (holds.number, holds.cards, holds.wish.memory) == (holder.number, ("A",), 8)
    assert before <= holds.asked <= (holds.since or 0) <= time.time()
    assert (holds.holder.purpose, holds.holder.pid) == ("test_holder", os.getpid())
    assert (waits.number, waits.cards, waits.since) == (waiter.number, (), None)
    assert waits.needs == "2 of B, A"
    holder.release()
    waiter.release()
    assert book.entries() == []


def test_those_in_the_way_are_the_holders_and_then_those_before(book: Book) -> None:
    before = enter(book, "B", "A", count=2)
    elsewhere = enter(book, "C", "D", count=2)
    holder, stranger = enter(book, "A"), enter(book, "C")
    assert holder.grant() == ()
    assert before.grant()
    assert elsewhere.grant()
    waiting, later = enter(book, "A"), enter(book, "A")

    assert [entry.number for entry in waiting.in_the_way()] == [before.number, holder.number]
    for ticket in (before, elsewhere, holder, stranger, waiting, later):
        ticket.release()


def test_looking_makes_nothing(book: Book) -> None:
    assert book.entries() == []
    assert not book.directory.parent.exists()
    book.directory.mkdir(parents=True)
    assert book.entries() == []
    assert list(book.directory.iterdir()) == []


def test_releasing_twice_is_releasing_once(book: Book) -> None:
    ticket = enter(book, "A")
    ticket.grant()
    ticket.release()
    other = enter(book, "A")
    assert other.grant()
    ticket.release()
    assert [entry.number for entry in book.entries()] == [other.number]
    other.release()
    assert tickets(book) == []


def test_a_ticket_that_was_given_back_is_not_granted(book: Book) -> None:
    ticket = enter(book, "A")
    ticket.grant()
    ticket.release()
    with pytest.raises(BookError, match="given back"):
        ticket.grant()


def test_a_ticket_that_nobody_refers_to_holds_nothing(book: Book) -> None:
    enter(book, "A").grant()
    other = enter(book, "A")
    assert other.grant() == ("A",)
    other.release()


def test_shares_fit_what_the_run_has_seen_that_saw_most_of_the_card_free(book: Book) -> None:
    early = enter(book, "A", memory=16, room=24)
    early.grant()
    # This run discovered while the first one used the card, and saw 8 free of 24.
    late, later = (enter(book, "A", memory=4, room=8) for _ in range(2))
    assert late.grant()
    assert later.grant()
    too_late = enter(book, "A", memory=4, room=8)
    assert too_late.grant() == ()
    for ticket in (early, late, later, too_late):
        ticket.release()


def test_a_card_that_will_not_do_is_passed_over(book: Book) -> None:
    ticket = enter(book, "A", "B")
    assert ticket.grant(without={"A"}) == ("B",)
    ticket.release()


def test_others_get_the_card_that_somebody_can_no_longer_use(book: Book) -> None:
    holder = enter(book, "B")
    holder.grant()
    picky, other = enter(book, "A", "B"), enter(book, "A")
    assert picky.grant(without={"A"}) == ()
    assert other.grant() == ("A",)
    for ticket in (holder, picky, other):
        ticket.release()


def test_a_card_may_come_back(book: Book) -> None:
    holder = enter(book, "B")
    holder.grant()
    ticket = enter(book, "A", "B")
    assert ticket.grant(without={"A"}) == ()
    assert ticket.grant() == ("A",)
    for each in (holder, ticket):
        each.release()


def test_when_the_last_card_that_would_do_is_lost_nobody_waits_for_it(book: Book) -> None:
    ticket = enter(book, "A", "B", count=2)
    with pytest.raises(UnmetLeaseError, match=r"2 of A, B cannot be held here: no longer to be used: B"):
        ticket.grant(without={"B", "C"})
    ticket.release()


def fall_silent(book: Book, ticket: Ticket, seconds: float) -> None:
    """Let it look as if this ticket had last asked so long ago."""
    (file,) = book.directory.glob(f"{ticket.number:08d}-*.json")
    os.utime(file, (time.time() - seconds,) * 2)


def test_who_waits_and_no_longer_asks_is_passed_over_until_he_asks(book: Book) -> None:
    holder, stopped, other = enter(book, "A"), enter(book, "A", "B", count=2), enter(book, "B")
    assert holder.grant()
    assert stopped.grant() == ()
    assert other.grant() == ()
    fall_silent(book, stopped, 60)
    assert other.grant() == ("B",)
    other.release()
    other = enter(book, "B")
    assert stopped.grant() == ()
    assert other.grant() == ()
    for ticket in (holder, stopped, other):
        ticket.release()


def test_who_holds_and_is_silent_holds_on(book: Book) -> None:
    holder, other = enter(book, "A"), enter(book, "A")
    holder.grant()
    fall_silent(book, holder, 100_000)
    assert other.grant() == ()
    assert [entry.number for entry in book.entries()] == [holder.number, other.number]
    for ticket in (holder, other):
        ticket.release()


def test_a_ticket_that_somebody_removed_is_not_waited_for(book: Book) -> None:
    ticket = enter(book, "A")
    for file in tickets(book):
        file.unlink()
    with pytest.raises(BookError, match="somebody has removed"):
        ticket.grant()
    ticket.release()


def test_after_the_book_was_thrown_away_a_release_touches_nothing_of_the_new_one(book: Book) -> None:
    old = enter(book, "A")
    for file in [*book.directory.iterdir()]:
        file.unlink()
    book.directory.rmdir()
    new = enter(book, "A")
    assert new.number == old.number
    old.release()
    assert new.grant() == ("A",)
    new.release()


def test_a_ticket_that_cannot_be_removed_holds_nothing_and_suspects_nobody(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = enter(book, "A")
    ticket.grant()
    with monkeypatch.context() as patch:

        def refuse(directory: Path, name: str) -> None:
            raise PermissionError(13, "Permission denied")

        patch.setattr(pages, "remove", refuse)
        ticket.release()
    assert len(tickets(book)) == 1
    assert book.entries() == []
    assert book.suspects() == {}
    assert tickets(book) == []


def test_who_gives_a_card_back_while_somebody_looks_is_not_taken_for_dead(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = enter(book, "A")
    ticket.grant()
    lock = LockFile.lock

    def released_meanwhile(file: LockFile, *, shared: bool = False) -> bool:
        if shared:
            ticket.release()
        return lock(file, shared=shared)

    monkeypatch.setattr(LockFile, "lock", released_meanwhile)
    assert book.suspects() == {}


def test_numbers_go_on_where_they_were(book: Book) -> None:
    numbers = []
    for _ in range(3):
        ticket = enter(book, "A")
        numbers.append(ticket.number)
        ticket.release()
    assert numbers == [1, 2, 3]


@pytest.mark.parametrize("nonsense", [b"", b"x", b"-5", b"1e9", b"9" * 5000, b"9" * 50, b"\xff"])
def test_numbers_go_on_behind_those_that_wait_when_the_last_one_is_lost(book: Book, nonsense: bytes) -> None:
    waiting = [enter(book, "A") for _ in range(3)]
    (book.directory / "guard").write_bytes(nonsense)
    late = enter(book, "A")
    assert late.number == 4
    for ticket in (*waiting, late):
        ticket.release()


def test_threads_of_one_process_hold_nothing_together(book: Book) -> None:
    holding: set[str] = set()
    clashes: list[str] = []

    def take(number: int) -> None:
        for _ in range(5):
            ticket = enter(book, "A", "B", "C", count=1 + number % 2)
            while not (cards := ticket.grant()):
                time.sleep(0.001)
            clashes.extend(holding & {*cards})
            holding.update(cards)
            holding.difference_update(cards)
            ticket.release()

    threads = [threading.Thread(target=take, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clashes == []
    assert book.entries() == []


def test_whoever_reads_the_files_himself_finds_plain_json(book: Book) -> None:
    ticket = enter(book, "A", purpose="test_x")
    (file,) = tickets(book)
    assert json.loads(file.read_text(encoding="utf-8"))["holder"]["purpose"] == "test_x"
    ticket.release()


@pytest.mark.skipif(sys.platform == "win32", reason="no program replaces another there")
def test_a_command_shares_out_what_was_left_to_it_and_nobody_else_gets_a_part(book: Book) -> None:
    outer = enter(book, "A")
    outer.grant()
    inside = Book(book.directory, inherited=[outer.number])
    early = enter(inside, "A")
    assert early.grant() == ()  # the outer one still holds it for itself
    early.release()
    outer.pass_on()
    first, second, stranger = enter(inside, "A"), enter(inside, "A"), enter(book, "A")
    assert first.grant() == ("A",)
    assert (second.grant(), stranger.grant()) == ((), ())
    assert [entry.number for entry in second.in_the_way()] == [first.number]
    first.release()
    assert (second.grant(), stranger.grant()) == (("A",), ())
    for ticket in (second, stranger, outer):
        ticket.release()
