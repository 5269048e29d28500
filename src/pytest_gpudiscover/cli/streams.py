"""What `gpudiscover` writes to stdout and stderr, whatever becomes of whoever reads it."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO

from pytest_gpudiscover.text import printable

COULD_NOT_RUN = 2

_LINE_LIMIT = 1000


def printed(text: str, status: int) -> int:
    """Print on stdout, and keep the exit code when nobody reads any more.

    Returns:
        the exit code: `status`, or 2 when stdout failed in any other way.
    """
    if sys.stdout is None:  # started with a closed stdout
        return status
    try:
        _tolerant(sys.stdout).write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout)
    except OSError as error:
        _discard(sys.stdout)
        complain(f"stdout cannot be written: {error.strerror}")
        return COULD_NOT_RUN
    return status


def _tolerant(stream: TextIO) -> TextIO:
    """Let a stream escape the characters that its encoding lacks, instead of failing at them."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    return stream


def _discard(stream: TextIO) -> None:
    """Send what a stream still holds nowhere: Python would try to write it once more at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def complain(text: str) -> None:
    """Say on stderr, in one line, what is wrong."""
    if sys.stderr is not None:
        sys.stderr.write(f"gpudiscover: {printable(text, _LINE_LIMIT)}\n")


def at_terminal() -> bool:
    """Whether stderr is a terminal that is ours to draw on: a job in the background has none."""
    if sys.stderr is None or not sys.stderr.isatty():
        return False
    if sys.platform != "win32":
        with contextlib.suppress(OSError):  # it is no session's terminal: nobody else is at it
            return os.tcgetpgrp(sys.stderr.fileno()) == os.getpgrp()
    return True
