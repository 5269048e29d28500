"""Two users of one machine, neither of them root: neither can hinder the other by accident."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lessees import Lessee, as_root

ALICE, BOB = 54321, 54322
HOLD = "ticket = enter('A'); answer = ticket.grant()"
DIE = "os.kill(os.getpid(), 9)"
TICKETS = "answer = len([name for name in os.listdir(book.directory) if name.endswith('.json')])"


@pytest.fixture(scope="module", autouse=True)
def _become_anybody() -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no such users")
    if (refused := as_root()) and subprocess.run([*refused, "true"], capture_output=True).returncode:
        pytest.skip("two users need a third: run the tests as root, or allow sudo without a password")


@pytest.fixture
def for_all() -> Iterator[Path]:
    """A directory like /tmp; those of pytest are for one user only."""
    directory = Path(tempfile.mkdtemp(prefix="two-users-"))
    directory.chmod(0o1777)
    yield directory
    if command := as_root():
        subprocess.run([*command, "rm", "-rf", str(directory)])
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def place(for_all: Path) -> Path:
    """Where a book may be made."""
    return for_all / "leases" / "machine"


def test_a_card_goes_from_one_user_to_the_other_and_back(place: Path) -> None:
    with Lessee(place, ALICE) as alice, Lessee(place, BOB) as bob:
        assert alice.does("os.umask(0o077)") is None
        assert alice.does(HOLD) == ["A"]
        assert bob.does(HOLD) == []
        who = bob.does("answer = ticket.in_the_way()[0].holder.user")
        assert who == alice.does(
            "from pytest_gpudiscover.leasing.book import holder_here; answer = holder_here('').user"
        )
        alice.does("ticket.release()")
        assert bob.does("answer = ticket.grant()") == ["A"]
        assert alice.does(HOLD) == []
        bob.does("ticket.release()")
        assert alice.does("answer = ticket.grant()") == ["A"]


def test_what_a_killed_user_held_goes_to_the_other_though_the_ticket_cannot_be_removed(place: Path) -> None:
    with Lessee(place, ALICE) as alice, Lessee(place, BOB) as bob, Lessee(place, BOB) as killed:
        # Who owns the directory may remove anything.
        assert alice.does("enter('B').release()") is None
        assert killed.does(HOLD) == ["A"]
        killed.begins(DIE)
        killed.ends()
        assert alice.does(HOLD) == ["A"]
        assert alice.does(TICKETS) == 1
        assert bob.does(HOLD) == []


def test_a_ticket_that_cannot_be_removed_makes_its_card_suspect_once(place: Path) -> None:
    with Lessee(place, BOB) as bob, Lessee(place, ALICE) as alice, Lessee(place, ALICE) as killed:
        assert bob.does("enter('B').release()") is None
        assert killed.does(HOLD) == ["A"]
        assert alice.does("enter('B').release()") is None
        killed.begins(DIE)
        killed.ends()
        with Lessee(place, 54323) as carol:
            assert carol.does("answer = [*book.suspects()]") == ["A"]
            assert carol.does(TICKETS) == 1
            assert carol.does("book.clear('A'); answer = [*book.suspects()]") == []
            assert carol.does("ticket = enter('A'); ticket.grant(); answer = [*book.suspects()]") == []
            assert carol.does(TICKETS) == 2
        assert alice.does("answer = [*book.suspects()]") == ["A"]
        assert alice.does("book.clear('A'); answer = [*book.suspects()]") == []
        assert alice.does(f"book.suspects(); {TICKETS}") == 1


def test_nobody_can_remove_the_ticket_of_somebody_else(place: Path) -> None:
    with Lessee(place, ALICE) as alice, Lessee(place, BOB) as bob, Lessee(place, 54323) as carol:
        alice.does("enter('B').release()")
        assert bob.does(HOLD) == ["A"]
        removed = carol.does("for name in os.listdir(book.directory): os.unlink(book.directory / name)")
        assert removed["error"] == "PermissionError"
        assert carol.does(HOLD) == []


def test_a_place_that_somebody_keeps_for_himself_is_named(place: Path) -> None:
    with Lessee(place, ALICE) as alice, Lessee(place, BOB) as bob:
        alice.does("os.mkdir(book.directory.parent)")
        for permissions in (0o755, 0o700, 0o000):
            alice.does(f"os.chmod(book.directory.parent, {permissions})")
            refused = bob.does(HOLD)
            assert (refused["error"], "Permission denied" in refused["text"]) == ("BookError", True)
            assert str(place.parent) in refused["text"]


def test_who_may_not_look_into_a_book_is_told_so(place: Path) -> None:
    with Lessee(place, ALICE) as alice, Lessee(place, BOB) as bob:
        alice.does("enter('A').release(); os.chmod(book.directory.parent, 0o700)")
        assert bob.does("answer = len(book.entries())")["error"] == "BookError"


def test_who_may_look_and_not_write_sees_who_holds(place: Path) -> None:
    with Lessee(place, ALICE) as alice, Lessee(place, BOB) as bob:
        alice.does(f"{HOLD}; os.chmod(book.directory, 0o755); os.chmod(book.directory / 'guard', 0o644)")
        assert bob.does("answer = [entry.cards for entry in book.entries()]") == [["A"]]
