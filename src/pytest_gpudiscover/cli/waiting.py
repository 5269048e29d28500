"""What stderr says while `gpudiscover run` waits for others."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from rich.cells import set_cell_size

from pytest_gpudiscover.cli.streams import complain
from pytest_gpudiscover.leasing.book import Entry, holder_here
from pytest_gpudiscover.leasing.wording import duration, in_the_way_in_words
from pytest_gpudiscover.text import printable

Observer = Callable[[float, Sequence[Entry]], None]
"""Told now and then for how many seconds it has been waited, and who is in the way."""

_EVERY = 60.0
"""Seconds after which a log is told once more what has not changed."""
_PURPOSE_LIMIT = 30
"""Characters of a command or a test where everything must go into one line."""
_WIDTH = 80
"""Columns of a terminal that does not tell."""


@contextmanager
def shown_waiting(needs: str) -> Iterator[Observer]:
    """Show who is in the way: on a terminal in a line that disappears at the end, elsewhere in a log.

    Args:
        needs: what is waited for, in words.
    """
    if not _can_rewrite():
        yield _Log(needs)
        return
    try:
        yield _show
    finally:
        _rewrite("")


class _Log:
    """A line when something has changed, and another one every minute."""

    def __init__(self, needs: str) -> None:
        self._needs = needs
        self._told: list[tuple[int, float | None]] = []
        self._at = 0.0

    def __call__(self, waited: float, in_the_way: Sequence[Entry]) -> None:
        now = [(entry.number, entry.since) for entry in in_the_way]
        if now == self._told and waited - self._at < _EVERY:
            return
        self._told, self._at = now, waited
        complain(f"waiting for {self._needs} for {duration(waited)}: {_in_words(in_the_way)}")


def _show(waited: float, in_the_way: Sequence[Entry]) -> None:
    more = f", first of {len(in_the_way)}" if len(in_the_way) > 1 else ""
    _rewrite(
        f"waiting for {duration(waited)}{more}: {_in_words([_shortened(entry) for entry in in_the_way])}"
    )


def _shortened(entry: Entry) -> Entry:
    purpose = printable(entry.holder.purpose, _PURPOSE_LIMIT)
    return replace(entry, holder=replace(entry.holder, purpose=purpose))


def _in_words(in_the_way: Sequence[Entry]) -> str:
    words = in_the_way_in_words(in_the_way, now=time.time(), host=holder_here("").host)
    return "; ".join(words) or "nobody is in the way any more"


def _can_rewrite() -> bool:
    dumb = os.environ.get("TERM", "").lower() in ("dumb", "unknown")
    return sys.stderr is not None and sys.stderr.isatty() and not dumb


def _rewrite(text: str) -> None:
    """Put text in place of the line's. The cursor stays visible: whoever waits may be stopped or killed."""
    sys.stderr.write(f"\r{set_cell_size(text, _width() - 1)}\r")
    sys.stderr.flush()


def _width() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or _WIDTH
    except OSError:
        return _WIDTH
