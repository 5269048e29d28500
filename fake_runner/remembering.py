"""What faults remember from one start to the next: a file of JSON lines beside the host file.

Only hosts with a fault that counts have one. Each start that concerns such a fault adds one line, an object
of marks by the key of their fault. Reading, deciding and adding happen under a lock, so that to their faults
runners that start at once are one after the other. Whoever deletes the file begins anew.
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from fake_runner import plain_json
from fake_runner.tables import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from fake_runner.triggers import Mark

SUFFIX = ".state"


class Memory:
    """The open file, locked.

    Attributes:
        earlier: by the key of a fault, the marks of earlier starts, in order.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        self.earlier: dict[str, list[Mark]] = {}
        for line in _contents(file).splitlines():
            marks = plain_json.loads(line.decode())
            assert isinstance(marks, dict)
            for key, mark in marks.items():
                self.earlier.setdefault(key, []).append(mark)

    def add(self, marks: dict[str, Mark]) -> None:
        """Remember a start."""
        if marks:
            os.write(self._file, plain_json.dumps(marks) + b"\n")


@contextmanager
def memory(host_file: str) -> Iterator[Memory]:
    """Open the memory of a host file; nobody else has it until this block ends.

    Raises:
        HostError: it cannot be opened, or somebody else has written into it.
    """
    path = host_file + SUFFIX
    try:
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    except OSError as error:
        raise HostError(path, f"cannot be opened, and a fault must count there: {error.strerror}") from error
    try:
        _lock(file)
        yield _memory(file, path)
    finally:
        os.close(file)


def _memory(file: int, path: str) -> Memory:
    try:
        return Memory(file)
    except (ValueError, AssertionError) as error:
        raise HostError(path, f"is not what a fault wrote there: {error}; delete it to count anew") from error


def _lock(file: int) -> None:
    """Wait for the file; closing it lets go. On Windows, without this lock, two starts may count as one."""
    try:
        import fcntl
    except ImportError:
        return
    fcntl.flock(file, fcntl.LOCK_EX)


def _contents(file: int) -> bytes:
    parts = []
    while part := os.read(file, 2**20):
        parts.append(part)
    return b"".join(parts)
