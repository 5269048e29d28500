"""Leases and the ends of processes: whatever ends one, what it held is free, and not before."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from lessees import Lessee, enter
from pytest_gpudiscover.leasing.book import Book
from pytest_gpudiscover.leasing.locks import LockFile

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows neither forks nor replaces a program")

HOLD = "ticket = enter('A'); answer = ticket.grant()"


def test_another_process_has_to_wait(book: Book) -> None:
    with Lessee(book.directory) as holder, Lessee(book.directory) as waiter:
        assert holder.does(HOLD) == ["A"]
        assert waiter.does(HOLD) == []
        (entry,) = enter(book, "A").in_the_way()[:1]
        assert (entry.holder.pid, entry.holder.purpose) == (holder.pid, "a test in another process")
        holder.does("ticket.release()")
        assert waiter.does("answer = ticket.grant()") == ["A"]


ENDS: dict[str, int | str] = {
    "SIGKILL": signal.SIGKILL,
    "SIGTERM": signal.SIGTERM,
    "SIGSEGV": signal.SIGSEGV,
    "os._exit": "os._exit(0)",
    "sys.exit": "sys.exit()",
}


@posix
@pytest.mark.parametrize("how", ENDS.values(), ids=ENDS)
def test_a_process_that_ends_in_any_way_holds_nothing_any_more(book: Book, how: int | str) -> None:
    with Lessee(book.directory) as holder:
        assert holder.does("ticket = enter('A', 'B', count=2); answer = ticket.grant()") == ["A", "B"]
        ours = enter(book, "A", "B")
        assert ours.grant() == ()
        if isinstance(how, str):
            holder.begins(how)
        holder.ends(how if isinstance(how, int) else None)
        assert ours.grant() == ("A",)
    assert [entry.number for entry in book.entries()] == [ours.number]
    assert len([*book.directory.glob("*.json")]) == 1
    ours.release()


@posix
def test_a_forked_child_that_lives_on_holds_nothing_of_a_killed_parent(book: Book) -> None:
    with Lessee(book.directory) as holder:
        assert holder.does(HOLD) == ["A"]
        child = holder.does(FORKED)
        holder.ends(signal.SIGKILL)
        assert is_alive(child)
        ours = enter(book, "A")
        assert ours.grant() == ("A",)
        ours.release()


FORKED = """
import signal
begun, begins = os.pipe()
answer = os.fork()
if not answer:
    os.write(begins, b".")
    while True:
        signal.pause()
os.read(begun, 1)
"""
"""Answers when the child is through with what every child does first."""


def is_alive(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    import psutil

    return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@posix
def test_a_forked_child_can_neither_take_nor_release_what_its_parent_holds(book: Book) -> None:
    with Lessee(book.directory) as holder:
        assert holder.does(HOLD) == ["A"]
        in_child = """
            try:
                ticket.grant()
            except Exception as error:
                said = type(error).__name__
            ticket.release()
            mine = enter('A')
            held = mine.grant()
            os.write(sending, repr((said, held)).encode())
        """
        told = holder.does(f"""
receiving, sending = os.pipe()
child = os.fork()
if not child:
    try:
        exec({in_child.replace(chr(10) + " " * 12, chr(10))!r})
    finally:
        os._exit(0)
os.waitpid(child, 0)
answer = os.read(receiving, 1000).decode()
""")
        assert told == "('BookError', ())"
        assert [entry.cards for entry in book.entries()] == [("A",)]


@posix
def test_a_thread_that_forks_while_others_ask_keeps_none_of_their_locks(book: Book) -> None:
    with Lessee(book.directory) as holder:
        holder.does("""
import threading, signal, warnings
warnings.simplefilter("ignore")
stop = threading.Event()
def take():
    while not stop.is_set():
        ticket = enter('A')
        ticket.grant()
        ticket.release()
thread = threading.Thread(target=take)
thread.start()
for _ in range(20):
    if not os.fork():
        while True:
            signal.pause()
stop.set()
thread.join()
""")
        holder.ends(signal.SIGKILL)
        ours = enter(book, "A")
        assert ours.grant() == ("A",)
        ours.release()


@posix
def test_a_program_that_is_started_does_not_inherit_the_lease(book: Book) -> None:
    with Lessee(book.directory) as holder:
        assert holder.does(HOLD) == ["A"]
        holder.does("import subprocess; child = subprocess.Popen(['sleep', '1000'], close_fds=False)")
        holder.ends(signal.SIGKILL)
        ours = enter(book, "A")
        assert ours.grant() == ("A",)
        ours.release()


@posix
def test_a_lease_that_was_passed_on_lasts_until_the_program_and_all_it_started_are_gone(book: Book) -> None:
    ours = None
    with Lessee(book.directory) as holder:
        assert holder.does(HOLD) == ["A"]
        # The shell answers when it has taken the process over. What it leaves behind lives on.
        script = "sleep 1000 & echo 0; read line; echo 0; exit 3"
        holder.begins(f"ticket.pass_on(); os.execvp('sh', ['sh', '-c', {script!r}])")
        assert holder.hears() == 0
        ours = enter(book, "A")
        assert ours.grant() == ()
        assert [entry.passed_on for entry in book.entries()] == [True, False]
        holder.begins("go on")
        assert holder.hears() == 0
        assert holder.ends() == 3
        assert ours.grant() == ()
    assert ours.grant() == ("A",)
    assert book.suspects() == {}
    ours.release()


@posix
def test_a_lease_that_was_passed_on_to_a_program_that_cannot_be_started_is_released(book: Book) -> None:
    with Lessee(book.directory) as holder:
        holder.does(HOLD)
        failed = holder.does("ticket.pass_on(); os.execvp('/nowhere', ['nowhere'])")
        assert failed["error"] == "FileNotFoundError"
        holder.does("ticket.release()")
        ours = enter(book, "A")
        assert ours.grant() == ("A",)
        ours.release()


@posix
def test_a_script_that_uses_the_low_descriptors_keeps_the_lease(book: Book) -> None:
    with Lessee(book.directory) as holder:
        holder.does(HOLD)
        closing = " ".join(f"{number}>&-" for number in range(3, 10))
        holder.begins(f"ticket.pass_on(); os.execvp('sh', ['sh', '-c', 'exec {closing}; echo 0; read line'])")
        assert holder.hears() == 0
        ours = enter(book, "A")
        assert ours.grant() == ()
        ours.release()


@posix
def test_those_who_look_at_a_dead_ticket_do_not_take_each_other_for_its_process(book: Book) -> None:
    with Lessee(book.directory) as holder:
        assert holder.does(HOLD) == ["A"]
        (file,) = book.directory.glob("*.json")
        holder.ends(signal.SIGKILL)
    with LockFile(lambda: os.open(file, os.O_RDONLY)) as other:
        assert other.lock(shared=True)
        assert book.entries() == []


def test_a_card_whose_holder_was_killed_is_suspect_until_it_is_cleared(book: Book) -> None:
    with Lessee(book.directory) as holder:
        holder.does("ticket = enter('A', 'B', 'C', count=2); ticket.grant()")
        holder.ends(signal.SIGKILL)
        suspects = book.suspects()
    assert [*suspects] == ["A", "B"]
    assert (suspects["A"].pid, suspects["A"].purpose) == (holder.pid, "a test in another process")
    book.clear("A")
    assert [*book.suspects()] == ["B"]
    book.clear("B")
    book.clear("never heard of")
    assert book.suspects() == {}


def test_a_card_is_suspect_again_when_its_next_holder_is_killed(book: Book) -> None:
    for _ in range(2):
        with Lessee(book.directory) as holder:
            holder.does(HOLD)
            holder.ends(signal.SIGKILL)
            assert [*book.suspects()] == ["A"]
            assert book.suspects()["A"].pid == holder.pid
            book.clear("A")


def test_neither_who_waited_nor_who_gave_it_back_makes_a_card_suspect(book: Book) -> None:
    ours = enter(book, "A")
    ours.grant()
    with Lessee(book.directory) as waiter:
        waiter.does("before = enter('B'); before.grant(); before.release()")
        assert waiter.does(HOLD) == []
        waiter.ends(signal.SIGKILL)
    assert book.suspects() == {}
    ours.release()


@posix
def test_an_interrupt_while_waiting_leaves_no_ticket(book: Book) -> None:
    ours = enter(book, "card 0")
    ours.grant()
    with Lessee(book.directory) as waiter:
        waiter.begins("""
from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.leasing.waiting import acquire
from pytest_gpudiscover.leasing.book import holder_here
from pytest_gpudiscover.masks import UserMasks
from pytest_gpudiscover.requirements import Requirement
try:
    acquire(
        book, Requirement(), [DeviceInfo(id="0", library="card")], share=False, timeout=None,
        masks=UserMasks.read({}, "linux"), holder=holder_here("waiter"),
        without=lambda: print(0, flush=True) or (),
    )
except KeyboardInterrupt:
    answer = "interrupted"
""")
        assert [waiter.hears(), waiter.hears()] == [0, 0]
        waiter.interrupt()
        while (heard := waiter.hears()) == 0:
            pass
        assert heard == "interrupted"
        assert len([*book.directory.glob("*.json")]) == 1
    ours.release()
