"""The log on stderr: as much of it as the user asked for, and without that none of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from pytest_gpudiscover.probing.output import TRACE
from pytest_gpudiscover.text import printable

_LIMIT = 10_000
"""Characters of one message: runners can write a lot."""


@contextmanager
def log_on_stderr(verbosity: int) -> Iterator[None]:
    """Set the log up, and put everything back at the end.

    Args:
        verbosity: 0: nothing at all; 1: down to debug; 2 and more: down to trace.
    """
    root, ours = logging.getLogger(), logging.getLogger("pytest_gpudiscover")
    # A root logger without any handler prints warnings by itself ("last resort").
    handler = _handler() if verbosity else logging.NullHandler()
    before = ours.level
    if verbosity:
        ours.setLevel(logging.DEBUG if verbosity == 1 else TRACE)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        ours.setLevel(before)


def _handler() -> logging.Handler:
    logging.addLevelName(TRACE, "TRACE")
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("%(relativeCreated)6d ms %(levelname)-7s %(name)s: %(message)s"))
    return handler


class _OneLine(logging.Formatter):
    """Whatever a runner wrote stays on its line, and sends nothing to the terminal but text."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.message = printable(record.message, _LIMIT)
        return super().formatMessage(record)
