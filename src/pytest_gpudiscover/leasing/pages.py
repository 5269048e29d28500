"""What lies in the book's directory, while it is locked.

Each ticket is a file that its process keeps locked for as long as it lives. The *guard* is locked by whoever
reads or changes several tickets at once, for a millisecond; it holds the last number given out.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytest_gpudiscover.errors import BookError
from pytest_gpudiscover.leasing import suspicion
from pytest_gpudiscover.leasing.folder import Folder
from pytest_gpudiscover.leasing.locks import LockFile
from pytest_gpudiscover.leasing.tickets import Entry, dumps, loads

_GUARD = "guard"
_TICKET = re.compile(r"[0-9]{8,18}-[0-9a-f]{8}\.json", re.ASCII)
_NUMBER = re.compile(rb"[0-9]{1,18}")
_HIGHEST = 10**18 - 1
"""No file with a longer number is a ticket, whoever put it here."""
_FOR_ALL = 0o1777
"""Everybody adds his files, and removes nobody else's: as in /tmp."""
_PATIENCE = 10.0
"""Seconds for which the guard may be locked by others."""
_ATTEMPTS = 20
"""How often to look at what somebody else is just making or removing, 10 ms apart."""
_PASSING = (FileNotFoundError, FileExistsError, PermissionError)


@dataclass(frozen=True, kw_only=True)
class Living:
    """A ticket whose process lives.

    Attributes:
        name: of its file.
        entry: what the file says.
        heard: when its process last asked or got something, in seconds since the epoch.
    """

    name: str
    entry: Entry
    heard: float


class Page:
    """The directory, locked; see `opened` and `looked_at`."""

    def __init__(self, folder: Folder, guard: LockFile) -> None:
        self.folder = folder
        self._guard = guard

    def living(self) -> list[Living]:
        """The tickets of living processes, in order. Whatever else lies here is passed over."""
        found = (self._read(name) for name in self._tickets())
        return [ticket for ticket in found if isinstance(ticket, Living)]

    def swept(self) -> list[Living]:
        """The same, after the tickets of the dead are cleared away, and the cards they held noted."""
        living = []
        for name in self._tickets():
            ticket = self._read(name)
            if isinstance(ticket, Living):
                living.append(ticket)
            elif ticket is not None:
                self._clear_away(name, ticket)
        return living

    def next_number(self) -> int:
        """Give out a number that is higher than any before it.

        Raises:
            OSError: there is none, since somebody has put a file with the highest one here.
        """
        last = _NUMBER.fullmatch(self._guard.read())
        numbers = [int(last.group())] if last else []
        number = 1 + max([0, *numbers, *map(_number, self._tickets())])
        if number > _HIGHEST:
            raise OSError(errno.EOVERFLOW, f"somebody has taken {_HIGHEST}, the highest number of a ticket")
        self._guard.write(b"%d" % number)
        return number

    def add(self, entry: Entry) -> tuple[str, LockFile]:
        """Write a new ticket, locked by this process.

        Returns:
            its file's name, and the file.
        """
        # A name that was never used: who removes it later removes no other.
        name = f"{entry.number:08d}-{os.urandom(4).hex()}.json"
        file = LockFile(lambda: self.folder.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL))
        try:
            file.lock()
            file.permit(0o644)
            file.write(dumps(entry))
        except BaseException:
            file.close()
            self.folder.remove(name)
            raise
        return name, file

    def _tickets(self) -> list[str]:
        return sorted(filter(_TICKET.fullmatch, self.folder.names()), key=lambda name: (_number(name), name))

    def _read(self, name: str) -> Living | _Dead | None:
        """Read a ticket; None for what somebody else has put there, and for what is gone by now."""
        try:
            with LockFile(lambda: self.folder.open(name, os.O_RDONLY)) as file:
                # Shared, so that two who look at once do not take each other for the process.
                dead = file.lock(shared=True)
                if file.removed():  # given back since it was opened: nobody died
                    return None
                entry = _understood(name, file.read())
                if dead:
                    return _Dead(entry=entry)
                return Living(name=name, entry=entry, heard=file.changed()) if entry else None
        except OSError:
            return None

    def _clear_away(self, name: str, ticket: _Dead) -> None:
        """Remove a dead ticket. In the directory of all users only its owner can; it does no harm."""
        try:
            if ticket.entry and ticket.entry.cards and not ticket.entry.passed_on:
                suspicion.note(self.folder, ticket.entry)
            self.folder.remove(name)
        except OSError:
            return


@dataclass(frozen=True, kw_only=True)
class _Dead:
    """A ticket whose process is gone; `entry` is None when it was not even written."""

    entry: Entry | None


def _number(name: str) -> int:
    return int(name.partition("-")[0])


def _understood(name: str, content: bytes) -> Entry | None:
    try:
        return loads(_number(name), content)
    except ValueError:
        return None


@contextmanager
def opened(directory: Path) -> Iterator[Page]:
    """Open the book to change it; nobody else does meanwhile. It is made when needed.

    Raises:
        BookError: it cannot be used.
    """
    try:
        folder, guard = _ready(directory)
        with folder, guard:
            yield Page(folder, guard)
    except OSError as error:
        raise _unusable(directory, error) from error


@contextmanager
def looked_at(directory: Path) -> Iterator[Page | None]:
    """Open the book to read in it; nobody changes it meanwhile. None when there is none.

    Raises:
        BookError: it cannot be read.
    """
    try:
        with ExitStack() as stack:
            try:
                above = stack.enter_context(Folder(directory.parent))
                folder = stack.enter_context(Folder(directory, within=above))
                guard = stack.enter_context(LockFile(lambda: folder.open(_GUARD, os.O_RDONLY)))
            except FileNotFoundError:
                yield None
                return
            _lock(guard, shared=True)
            yield Page(folder, guard)
    except OSError as error:
        raise _unusable(directory, error) from error


def remove(directory: Path, name: str) -> None:
    """Remove a file of ours, which needs no lock.

    Raises:
        OSError: it cannot be removed, or is gone.
    """
    with Folder(directory.parent) as above, Folder(directory, within=above) as folder:
        folder.remove(name)


def _ready(directory: Path) -> tuple[Folder, LockFile]:
    for _ in range(_ATTEMPTS - 1):
        try:
            return _attempt(directory)
        except _PASSING:
            time.sleep(0.01)
    return _attempt(directory)


def _attempt(directory: Path) -> tuple[Folder, LockFile]:
    with Folder.made(directory.parent, _FOR_ALL) as above:
        folder = Folder.made(directory, _FOR_ALL, within=above)
    try:
        guard = _opened_guard(folder)
        _lock(guard, shared=False)
    except BaseException:
        folder.close()
        raise
    return folder, guard


def _opened_guard(folder: Folder) -> LockFile:
    try:
        # Not created where it exists: in such a directory the kernel refuses that for the files of others.
        return LockFile(lambda: folder.open(_GUARD, os.O_RDWR))
    except FileNotFoundError:
        guard = LockFile(lambda: folder.open(_GUARD, os.O_RDWR | os.O_CREAT | os.O_EXCL))
        guard.permit(0o666)
        return guard


def _lock(guard: LockFile, *, shared: bool) -> None:
    """Lock the guard, for which nobody needs long.

    Raises:
        OSError: somebody does, or it was removed meanwhile.
    """
    deadline = time.monotonic() + _PATIENCE
    while not guard.lock(shared=shared):
        if time.monotonic() > deadline:
            raise OSError(errno.EBUSY, f"a process that was stopped, or hangs, locks it for {_PATIENCE:g} s")
        time.sleep(0.001)
    if guard.removed():
        raise FileNotFoundError(errno.ENOENT, "somebody removes it again and again")


def _unusable(directory: Path, error: OSError) -> BookError:
    problem = error.strerror or str(error)
    return BookError(str(directory), f"{error.filename}: {problem}" if error.filename else problem)
