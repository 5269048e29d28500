"""Other processes that take leases, and cards to take."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest_gpudiscover
from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.leasing.arbitration import Wish
from pytest_gpudiscover.leasing.book import Book, Ticket, holder_here

_PROGRAM = Path(__file__).with_name("lease_program.py")
_SOURCES = Path(pytest_gpudiscover.__file__).parents[1]
GIB = 1 << 30


def cards(count: int) -> list[DeviceInfo]:
    """So many CUDA cards of 24 GiB."""
    return [
        DeviceInfo(
            id=f"GPU-{number}",
            library="CUDA",
            description="NVIDIA L4",
            pci_id=f"0000:{number:02x}:00.0",
            total_memory=24 * GIB,
            free_memory=23 * GIB,
        )
        for number in range(count)
    ]


def enter(
    book: Book,
    *cards: str,
    count: int = 1,
    memory: int | None = None,
    room: int = 24,
    purpose: str = "a test",
) -> Ticket:
    """Get in line for some of these cards."""
    return book.enter(
        Wish(alternatives=(cards,), count=count, memory=memory),
        holder_here(purpose),
        needs=f"{count} of {', '.join(cards)}",
        capacities=dict.fromkeys(cards, room),
        names={},
    )


def as_root() -> list[str]:
    """What to put before a command that only root may run."""
    return [] if os.geteuid() == 0 else ["sudo", "-n", "env", f"PYTHONPATH={_SOURCES}"]


class Lessee:
    """Another process, which does what it is told. At the end of the block it and its children are killed."""

    def __init__(self, directory: Path, uid: int | None = None) -> None:
        """Start it.

        Args:
            directory: of its book.
            uid: the user it is to be; only root can choose, or who may become root by `sudo -n`.
        """
        # Without site-packages, which it does not need, it starts in two thirds of the time.
        command = [sys.executable, "-S", str(_PROGRAM), str(directory)]
        if uid is not None:
            command = [*as_root(), *command, str(uid)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(_SOURCES)},
            start_new_session=True,
        )
        assert self.hears() == "ready"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def does(self, source: str) -> Any:
        """Let it do something, and wait for what it answers."""
        self.begins(source)
        return self.hears()

    def begins(self, source: str) -> None:
        """Let it do something, and do not wait."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(source) + "\n")
        self._process.stdin.flush()

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def ends(self, number: int | None = None) -> int:
        """Wait until it is gone, after a signal if there is to be one; what it ended with."""
        if number is not None:
            self._process.send_signal(number)
        return self._process.wait(timeout=60)

    def hears(self) -> Any:
        """Wait for the next line it says."""
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # One that became another user ends by itself when nothing more is said to it.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
