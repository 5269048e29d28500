"""What stderr says while `gpudiscover run` waits for others."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.cells import set_cell_size

from pytest_gpudiscover.cli.holding import holding
from pytest_gpudiscover.cli.streams import at_terminal, complain
from pytest_gpudiscover.leasing.book import Entry, holder_here
from pytest_gpudiscover.leasing.wording import duration, in_the_way_in_words

Watcher = Callable[[float, Sequence[Entry]], None]
"""Told now and then for how many seconds it has been waited, and who is in the way."""

_EVERY = 60.0
"""Seconds after which a log is told once more what has not changed."""
_NOBODY = "nobody is in the way any more"
_WIDTH = 80
"""Columns of a terminal that does not tell."""


@contextmanager
def shown_waiting(needs: str) -> Iterator[Watcher]:
    """Show who is in the way: on a terminal in a line that disappears at the end, elsewhere in a log.

    Args:
        needs: what is waited for, in words.
    """
    if not _can_rewrite():
        yield _Log(needs)
        return
    line = _Line()
    try:
        yield line
    finally:
        line.erase()


class _Log:
    """A line when something has changed, and another one every minute."""

    def __init__(self, needs: str) -> None:
        self._needs = needs
        self._told: list[tuple[int, float | None]] | None = None
        self._at = 0.0

    def __call__(self, waited: float, in_the_way: Sequence[Entry]) -> None:
        now = [(entry.number, entry.since) for entry in in_the_way]
        if now == self._told and waited - self._at < _EVERY:
            return
        self._told, self._at = now, waited
        others = in_the_way_in_words(in_the_way, now=time.time(), host=_host())
        complain(f"waiting for {self._needs} for {duration(waited)}: {'; '.join(others) or _NOBODY}")


class _Line:
    """A line of a terminal that is written anew. The cursor stays visible: whoever waits may be killed."""

    def __init__(self) -> None:
        self._shown = False

    def __call__(self, waited: float, in_the_way: Sequence[Entry]) -> None:
        several = f" ({len(in_the_way)} in the way)" if len(in_the_way) > 1 else ""
        self._put(f"waiting for {duration(waited)}{several}: {_first_of(in_the_way)}")

    def erase(self) -> None:
        if self._shown:
            self._put("")

    def _put(self, text: str) -> None:
        if at_terminal():  # a stopped job may have gone on in the background
            self._shown = True  # first: an interrupt may come between any two lines
            sys.stderr.write(f"\r{set_cell_size(text, _width() - 1)}\r")
            sys.stderr.flush()


def _first_of(in_the_way: Sequence[Entry]) -> str:
    """What of the first one fits into a line: since when comes first, and what it is for may be cut off."""
    if not in_the_way:
        return _NOBODY
    first = holding(in_the_way[0], now=time.time(), host=_host())
    doing = "wanted" if in_the_way[0].since is None else "held"
    return f"{doing} since {first.since} by {first.who}, {first.purpose}"


def _host() -> str:
    return holder_here("").host


def _can_rewrite() -> bool:
    return at_terminal() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


def _width() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or _WIDTH
    except OSError:
        return _WIDTH
