"""A book that others have spoilt, or that cannot be used, or is full: clear words, and nothing lost."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from lessees import Lessee, enter
from pytest_gpudiscover.errors import BookError
from pytest_gpudiscover.leasing import pages
from pytest_gpudiscover.leasing.book import Book
from pytest_gpudiscover.leasing.locks import LockFile

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files or permissions")

if sys.platform != "win32":
    import fcntl


def mode(path: Path) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(path.lstat().st_mode)


@posix
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_everybody_may_use_the_book_whatever_the_umask_of_who_made_it(book: Book, umask: int) -> None:
    earlier = os.umask(umask)
    try:
        ticket = enter(book, "A")
        ticket.grant()
        book.suspects()
    finally:
        os.umask(earlier)
    (file,) = book.directory.glob("*.json")
    assert mode(book.directory.parent) == mode(book.directory) == 0o1777
    assert mode(book.directory / "guard") == 0o666
    assert mode(file) == 0o644
    assert mode(book.directory / "suspects") == 0o777
    ticket.release()


@posix
def test_the_permissions_of_a_directory_that_is_there_are_left_as_they_are(book: Book) -> None:
    book.directory.mkdir(parents=True)
    book.directory.parent.chmod(0o2770)
    enter(book, "A").release()
    assert mode(book.directory.parent) == 0o2770


def test_the_place_of_the_books_is_not_made_with_all_that_is_above_it(tmp_path: Path) -> None:
    with pytest.raises(BookError, match="No such file or directory") as raised:
        enter(Book(tmp_path / "typo" / "leases" / "machine"), "A")
    assert str(tmp_path / "typo" / "leases") in str(raised.value)
    assert "GPUDISCOVER_LEASES" in str(raised.value)
    assert [*tmp_path.iterdir()] == []


def test_a_file_in_the_place_of_the_book_is_named(book: Book) -> None:
    book.directory.parent.write_text("")
    with pytest.raises(BookError, match="leases: is no directory"):
        enter(book, "A")
    with pytest.raises(BookError, match="leases: is no directory"):
        book.entries()


@posix
@pytest.mark.parametrize("above", [True, False])
def test_a_symbolic_link_in_the_place_of_the_book_is_not_followed(
    book: Book, tmp_path: Path, above: bool
) -> None:
    (tmp_path / "elsewhere").mkdir()
    if not above:
        book.directory.parent.mkdir()
    link = book.directory.parent if above else book.directory
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BookError, match="is a symbolic link"):
        enter(book, "A")
    assert [*(tmp_path / "elsewhere").iterdir()] == []


@posix
def test_a_symbolic_link_in_the_place_of_the_guard_is_not_followed(book: Book, tmp_path: Path) -> None:
    book.directory.mkdir(parents=True)
    (tmp_path / "precious").write_text("precious")
    (book.directory / "guard").symlink_to(tmp_path / "precious")
    with pytest.raises(BookError, match="guard"):
        enter(book, "A")
    assert (tmp_path / "precious").read_text() == "precious"


@posix
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["fifo", "directory"])
def test_a_guard_that_is_no_file_is_refused_and_not_waited_for(book: Book, make: object) -> None:
    book.directory.mkdir(parents=True)
    assert callable(make)
    make(book.directory / "guard")
    with pytest.raises(BookError, match=r"no regular file|Is a directory"):
        enter(book, "A")


GARBAGE = {
    "nothing": lambda file, _: file.write_bytes(b""),
    "half a ticket": lambda file, whole: file.write_bytes(whole[: len(whole) // 2]),
    "noise": lambda file, _: file.write_bytes(os.urandom(3000)),
    "deep nesting": lambda file, _: file.write_bytes(b"[" * 200_000),
    "too much": lambda file, whole: file.write_bytes(whole + b" " * (2 << 20) + b"x"),
    "a dead link": lambda file, _: file.symlink_to("nowhere"),
    "a link to a secret": lambda file, _: file.symlink_to("/etc/passwd"),
    "a directory": lambda file, _: file.mkdir(),
    "a fifo": lambda file, _: os.mkfifo(file),
    "a socket": lambda file, _: bind(file),
}


def bind(path: Path) -> None:
    """Leave a socket there."""
    import socket

    with socket.socket(socket.AF_UNIX) as bound, pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parent)
        bound.bind(path.name)


@posix
@pytest.mark.parametrize("leave", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize("name", ["00000001-0123abcd.json", "00009999-0123abcd.json", "x.json", "suspects"])
def test_what_others_left_in_the_book_hinders_nobody(book: Book, leave: object, name: str) -> None:
    book.directory.mkdir(parents=True)
    assert callable(leave)
    model = enter(book, "A")
    model.grant()
    (file,) = book.directory.glob("*.json")
    whole = file.read_bytes()
    model.release()
    leave(book.directory / name, whole)

    first, second = enter(book, "A"), enter(book, "A")
    assert first.grant() == ("A",)
    assert second.grant() == ()
    assert [entry.number for entry in book.entries()] == [first.number, second.number]
    first.release()
    assert second.grant() == ("A",)
    second.release()


@pytest.mark.parametrize("digits", [19, 40])
def test_a_number_that_no_ticket_can_have_is_passed_over(book: Book, digits: int) -> None:
    book.directory.mkdir(parents=True)
    (book.directory / f"{'9' * digits}-00000000.json").touch()
    ticket = enter(book, "A")
    assert (ticket.number, ticket.grant()) == (1, ("A",))
    ticket.release()


def test_somebody_who_took_the_highest_number_is_named_as_the_cause(book: Book) -> None:
    book.directory.mkdir(parents=True)
    (book.directory / f"{'9' * 18}-00000000.json").touch()
    with pytest.raises(BookError, match=r"somebody has taken 9{18}, the highest number"):
        enter(book, "A")


def test_a_living_ticket_that_cannot_be_read_holds_nothing(book: Book) -> None:
    ours, theirs = enter(book, "A"), enter(book, "A")
    file = next(book.directory.glob(f"{theirs.number:08d}-*.json"))
    theirs.grant()
    file.write_bytes(b"{}")
    assert ours.grant() == ("A",)
    assert file.exists()
    for ticket in (ours, theirs):
        ticket.release()


@posix
def test_suspects_that_others_spoilt_are_no_suspects(book: Book) -> None:
    with Lessee(book.directory) as holder:
        holder.does("enter('A').grant(); ticket = enter('A'); answer = ticket.grant()")
        holder.ends(9)
    assert [*book.suspects()] == ["A"]
    (note,) = (book.directory / "suspects").iterdir()
    for nonsense in (
        b"",
        b"{}",
        b'{"card": 1}',
        b'{"card": "A", "ticket": 1, "cleared": false, "holder": {}}',
    ):
        note.write_bytes(nonsense)
        assert book.suspects() == {}
        book.clear("A")


@posix
def test_when_a_suspect_cannot_be_noted_its_ticket_stays_until_it_can(book: Book) -> None:
    book.directory.mkdir(parents=True)
    (book.directory / "suspects").write_text("in the way")
    with Lessee(book.directory) as holder:
        holder.does("ticket = enter('A'); answer = ticket.grant()")
        holder.ends(9)
    ours = enter(book, "A")
    assert ours.grant() == ("A",)
    (book.directory / "suspects").unlink()
    assert [*book.suspects()] == ["A"]
    assert len([*book.directory.glob("*.json")]) == 1
    ours.release()


@posix
def test_a_full_disk_is_said_and_nothing_is_left_or_lost(book: Book) -> None:
    holder = enter(book, "A")
    holder.grant()
    with Lessee(book.directory) as other:
        full = other.does("""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (64, resource.RLIM_INFINITY))
ticket = enter('A')
""")
        assert full["error"] == "BookError"
        assert [entry.number for entry in book.entries()] == [holder.number]
        assert len([*book.directory.glob("*.json")]) == 1
        other.does("resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))")
        assert other.does("ticket = enter('A'); answer = ticket.grant()") == []
        holder.release()
        assert other.does("answer = ticket.grant()") == ["A"]


@posix
def test_a_grant_that_cannot_be_written_down_is_none(book: Book) -> None:
    with Lessee(book.directory) as other:
        other.does("""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
ticket = enter('A')
resource.setrlimit(resource.RLIMIT_FSIZE, (300, -1))
""")
        full = other.does("ticket.grant()")
        assert (full["error"], "No space left" in full["text"]) == ("BookError", True)
        ours = enter(book, "A")
        assert ours.grant() == ("A",)
        other.does("ticket.release()")
        assert len([*book.directory.glob("*.json")]) == 1
        ours.release()


@posix
def test_a_file_system_without_locks_is_named(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(BookError, match="No locks available"):
        enter(book, "A")


def test_a_guard_that_somebody_locks_for_ever_is_not_waited_for(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_PATIENCE", 0.02)
    ticket = enter(book, "A")
    with LockFile(lambda: os.open(book.directory / "guard", os.O_RDWR)) as guard:
        assert guard.lock()
        with pytest.raises(BookError, match="a process that was stopped, or hangs"):
            ticket.grant()
        with pytest.raises(BookError, match="a process that was stopped, or hangs"):
            book.entries()
        ticket.release()
    assert book.entries() == []


def test_a_guard_that_was_removed_while_somebody_waited_for_it_guards_nothing(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(book, "A").release()
    old = book.directory / "guard"
    lock = LockFile.lock

    def removed_meanwhile(file: LockFile, *, shared: bool = False) -> bool:
        locked = lock(file, shared=shared)
        monkeypatch.setattr(LockFile, "lock", lock)
        old.unlink()
        return locked

    monkeypatch.setattr(LockFile, "lock", removed_meanwhile)
    ticket = enter(book, "A")
    assert old.exists()
    ticket.release()
