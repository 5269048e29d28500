"""How a test hears from a process that it did not start itself: without looking again and again."""

from __future__ import annotations

import contextlib
import os
import select
from pathlib import Path

PATIENCE = 20
"""Seconds until a test that waits for an event gives up."""


class Lifeline:
    """A pipe held open by a runner and everything it started: it ends when the last of them has."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def word(self) -> str:
        """Wait for what a runner says."""
        while True:
            assert_readable(self._descriptor)
            with contextlib.suppress(BlockingIOError):  # the end of one was replaced by the begin of another
                return os.read(self._descriptor, 4096).decode()

    @property
    def held(self) -> bool:
        """Whether anybody still lives."""
        try:
            while os.read(self._descriptor, 4096):
                pass
        except BlockingIOError:
            return True
        return False

    def let_go(self) -> bool:
        """Wait until nobody lives."""
        while select.select([self._descriptor], [], [], PATIENCE)[0]:
            with contextlib.suppress(BlockingIOError):
                if not os.read(self._descriptor, 4096):
                    return True
        return False

    def close(self) -> None:
        """Stop listening."""
        os.close(self._descriptor)


def assert_readable(descriptor: int) -> None:
    """Wait until there is something to read."""
    assert select.select([descriptor], [], [], PATIENCE)[0]
