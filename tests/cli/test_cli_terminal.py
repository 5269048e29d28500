"""The command on a terminal: progress while runners work, the line while it waits, and Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_gpudiscover.leasing.arbitration import Wish
from pytest_gpudiscover.leasing.book import Book, Ticket, book_for, holder_here

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind"
)

ActOut = Callable[[dict[str, Any]], list[str]]

PATIENCE = 30  # seconds until a test that waits for an event gives up
CTRL_C = b"\x03"
CARD = {"name": "card", "description": "A Card", "total_memory": "8 GiB", "pci_id": "0000:01:00.0"}
ONE_CARD = {"gpu": [CARD], "variant": {"cuda_v13": {"library": "CUDA", "devices": ["card"]}}}
PROGRESS = "listing devices with cuda_v13"

# Its terminal must be the session's own, or Ctrl-C would reach nobody.
ADOPT = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
# A job of a shell that somebody else has the terminal of.
ADOPT_IN_BACKGROUND = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
job = os.fork()
if job:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(job, 0)[1]))
os.setpgid(0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
HANG = "import os, sys, time; life = os.open(sys.argv[1], os.O_WRONLY); os.write(life, b'!'); time.sleep(600)"

# Whoever is interrupted twice ends with another code.
COUNT_INTERRUPTS = """
import os, signal, sys
count = 0
def note(*_):
    global count
    count += 1
    os.write(1, b"interrupted")
signal.signal(signal.SIGINT, note)
os.write(1, b"started")
os.read(0, 1)
sys.exit(40 + count)
"""


class Terminal:
    """A command on a pseudo-terminal of its own; only the streams that are piped are elsewhere."""

    def __init__(self, arguments: list[str], environment: dict[str, str], adopt: str, **piped: int) -> None:
        self._ours, theirs = os.openpty()
        command = [sys.executable, "-c", adopt, sys.executable, "-m", "pytest_gpudiscover.cli", *arguments]
        self.process = subprocess.Popen(
            command,
            env=environment,
            start_new_session=True,
            stdin=theirs,
            stdout=piped.get("stdout", theirs),
            stderr=piped.get("stderr", theirs),
        )
        os.close(theirs)
        self._read = b""

    def press(self, key: bytes) -> None:
        """Press a key."""
        os.write(self._ours, key)

    def transcript(self) -> str:
        """Everything that was written to the terminal, read until nobody holds it any more."""
        with contextlib.suppress(OSError):  # Linux ends a terminal's output with EIO
            while self._reads_more():
                pass
        return self._read.decode()

    def shows(self, text: str) -> None:
        """Wait until something has been written to the terminal."""
        # A line that is written anew again and again must not keep a test going for ever.
        until = time.monotonic() + PATIENCE
        while text.encode() not in self._read:
            assert time.monotonic() < until, f"{text!r} never came: {self._read!r}"
            assert self._reads_more(), f"{text!r} never came: {self._read!r}"

    def _reads_more(self) -> bool:
        if not select.select([self._ours], [], [], PATIENCE)[0]:
            return False
        more = os.read(self._ours, 65536)
        self._read += more
        return more != b""

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                stream.close()
        os.close(self._ours)


@pytest.fixture
def on_terminal(clean_environment: dict[str, str]) -> Iterator[Callable[..., Terminal]]:
    """Start the command on a terminal."""
    started: list[Terminal] = []

    def start(
        *arguments: str, variables: dict[str, str] | None = None, adopt: str = ADOPT, **piped: int
    ) -> Terminal:
        started.append(Terminal(list(arguments), clean_environment | (variables or {}), adopt, **piped))
        return started[-1]

    yield start
    for terminal in started:
        terminal.close()


@pytest.fixture
def lifeline(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A named pipe that a runner holds open while it lives: its end is the runner's end."""
    path = tmp_path / "lifeline"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield path, reading
    os.close(reading)


def test_progress_is_shown_on_a_terminal_and_erased(
    on_terminal: Callable[..., Terminal], acting_out: ActOut
) -> None:
    slow = ONE_CARD | {"fault": [{"name": "slow_start", "seconds": 0.4}]}
    terminal = on_terminal(*acting_out(slow), stdout=subprocess.PIPE)
    text = terminal.transcript()
    assert PROGRESS in text
    assert "\x1b[2K" in text[text.rindex("devices with cuda_v13") :]


@pytest.mark.parametrize("option", ["--json", "--verbose"])
def test_no_progress_where_it_would_be_in_the_way(
    on_terminal: Callable[..., Terminal], acting_out: ActOut, option: str
) -> None:
    terminal = on_terminal(option, *acting_out(ONE_CARD))
    assert "with cuda_v13:" not in terminal.transcript()


def test_no_progress_on_a_terminal_that_cannot_erase(
    on_terminal: Callable[..., Terminal], acting_out: ActOut
) -> None:
    text = on_terminal(*acting_out(ONE_CARD), variables={"TERM": "dumb"}).transcript()
    assert "A Card" in text
    assert "devices with cuda_v13" not in text
    assert "\x1b" not in text


def test_no_progress_in_a_pipe_whatever_is_forced(
    on_terminal: Callable[..., Terminal], acting_out: ActOut
) -> None:
    terminal = on_terminal(*acting_out(ONE_CARD), variables={"FORCE_COLOR": "1"}, stderr=subprocess.PIPE)
    assert "A Card" in terminal.transcript()
    assert terminal.process.stderr is not None
    assert terminal.process.stderr.read() == b""


def test_a_terminal_gets_colours_unless_it_refuses_them(
    on_terminal: Callable[..., Terminal], acting_out: ActOut
) -> None:
    options = acting_out(ONE_CARD)
    assert "\x1b[36m" in on_terminal(*options).transcript()
    assert "\x1b[36m" not in on_terminal(*options, variables={"NO_COLOR": "1"}).transcript()


@pytest.mark.parametrize("option", ["list", "check", "--json"])
def test_ctrl_c_leaves_no_runner_and_no_traceback(
    on_terminal: Callable[..., Terminal], library_root: Path, lifeline: tuple[Path, int], option: str
) -> None:
    path, reading = lifeline
    runner = shlex.join([sys.executable, "-I", "-S", "-c", HANG, str(path)])
    terminal = on_terminal(option, "--runner", runner, "--library-root", str(library_root))
    assert select.select([reading], [], [], PATIENCE)[0], "the runner was never started"
    assert os.read(reading, 1) == b"!"
    terminal.press(CTRL_C)
    text = terminal.transcript()
    assert terminal.process.wait(PATIENCE) == 130
    assert "Traceback" not in text
    assert "gpudiscover: interrupted" in text
    # Nobody holds the other end: reading answers with the end of the file, and not with "try again".
    assert os.read(reading, 1) == b""


@pytest.fixture
def book(leases: Path) -> Book:
    """The book that the command uses."""
    return book_for("this-machine", leases)


@pytest.fixture
def held_by_us(book: Book) -> Iterator[Ticket]:
    """The only card of the machine, held by this process."""
    card = "pci 0000:01:00.0"
    wish = Wish(alternatives=((card,),), count=1)
    holder = holder_here("a purpose that is much too long for the line of a terminal")
    ticket = book.enter(wish, holder, needs="1 device", capacities={}, names={card: "CUDA A Card"})
    assert ticket.grant()
    yield ticket
    ticket.release()


def test_who_is_in_the_way_is_shown_in_one_line_that_is_erased(
    on_terminal: Callable[..., Terminal], acting_out: ActOut, held_by_us: Ticket
) -> None:
    script = "test -t 0 && test -t 1 && test -t 2 && echo our turn"
    terminal = on_terminal("run", *acting_out(ONE_CARD), "--", "sh", "-c", script)
    terminal.shows(f" by pid {os.getpid()} of ")
    held_by_us.release()
    text = terminal.transcript()
    before, _, line = text.partition("\rwaiting for ")
    assert "devices with cuda_v13" in before
    assert re.match(r"\d+ s: held since \d\d:\d\d:\d\d by pid ", line)
    assert line.endswith(f"\r{' ' * 79}\rour turn\r\n")
    assert "\n" not in line[: -len("\n")]
    assert terminal.process.wait(PATIENCE) == 0


def test_ctrl_c_ends_the_waiting_and_leaves_no_ticket(
    on_terminal: Callable[..., Terminal], acting_out: ActOut, held_by_us: Ticket, book: Book
) -> None:
    terminal = on_terminal("run", *acting_out(ONE_CARD), "--", "echo", "never")
    terminal.shows("waiting for ")
    assert len(book.entries()) == 2
    terminal.press(CTRL_C)
    text = terminal.transcript()
    assert terminal.process.wait(PATIENCE) == 130
    assert text.endswith(f"\r{' ' * 79}\rgpudiscover: interrupted\r\n")
    assert [entry.number for entry in book.entries()] == [held_by_us.number]


def test_a_job_in_the_background_does_not_write_over_what_is_on_the_terminal(
    on_terminal: Callable[..., Terminal], acting_out: ActOut, held_by_us: Ticket
) -> None:
    run = ["run", *acting_out(ONE_CARD), "--", "echo", "our turn"]
    terminal = on_terminal(*run, adopt=ADOPT_IN_BACKGROUND)
    terminal.shows("gpudiscover: waiting for 1 device for ")
    held_by_us.release()
    text = terminal.transcript()
    assert text.startswith("gpudiscover: waiting")
    assert text.endswith("\r\nour turn\r\n")
    assert terminal.process.wait(PATIENCE) == 0


def test_a_terminal_that_cannot_rewrite_its_line_gets_a_log(
    on_terminal: Callable[..., Terminal], acting_out: ActOut, held_by_us: Ticket
) -> None:
    terminal = on_terminal("run", *acting_out(ONE_CARD), "--", "echo", "our turn", variables={"TERM": "dumb"})
    terminal.shows("gpudiscover: waiting for 1 device for ")
    terminal.shows(": a purpose that is much too long for the line of a terminal (pid ")
    held_by_us.release()
    assert terminal.transcript().endswith("\r\nour turn\r\n")


def test_ctrl_c_reaches_the_command_once(on_terminal: Callable[..., Terminal], acting_out: ActOut) -> None:
    command = [sys.executable, "-I", "-S", "-c", COUNT_INTERRUPTS]
    terminal = on_terminal("run", *acting_out(ONE_CARD), "--", *command)
    terminal.shows("started")
    terminal.press(CTRL_C)
    terminal.shows("interrupted")
    terminal.press(b"\n")
    assert "Traceback" not in terminal.transcript()
    assert terminal.process.wait(PATIENCE) == 41
