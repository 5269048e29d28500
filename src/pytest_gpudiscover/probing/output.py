"""What a runner writes: all of it is taken, the tail of it is kept, none of it can harm a terminal.

Each line goes to the log of this module at the trace level and nowhere else: a runner's words may hold
secrets.
"""

from __future__ import annotations

import logging

from pytest_gpudiscover.probing.responses import MAX_ANSWER

TRACE = 5
"""The log level below DEBUG: environments, answers, runner output."""
TAIL_SIZE = 4096  # bytes
ANSWER_SIZE = MAX_ANSWER + 1
"""Bytes of stdout that are kept of a runner that may answer there: one more than is read of any answer."""

_log = logging.getLogger(__name__)


def printable(text: str) -> str:
    """Replace by U+FFFD what a terminal might obey: control, formatting and unassigned characters.

    Line breaks (as newlines) and tabs stay.
    """
    text = text.replace("\r\n", "\n")
    return "".join(
        character if character.isprintable() or character in "\n\t" else "\N{REPLACEMENT CHARACTER}"
        for character in text
    )


def decoded(data: bytes, *, cut: bool = False) -> str:
    """Decode UTF-8 as far as it is, and make it printable.

    Args:
        data: bytes of any kind.
        cut: whether the start is missing, so that it may begin inside a character.
    """
    if cut:
        start = 0
        while start < min(3, len(data)) and data[start] & 0xC0 == 0x80:
            start += 1
        data = data[start:]
    return printable(data.decode("utf-8", errors="replace"))


class Output:
    """One stream of one runner, as far as it was read.

    Args:
        name: says in the log which stream of which runner this is.
        keeps: how much of its beginning is kept, in bytes.
    """

    def __init__(self, name: str, *, keeps: int = 0) -> None:
        self._name = name
        self._room = keeps
        self._beginning: list[bytes] = []
        self._tail = b""
        self._cut = False
        self._line = b""

    @property
    def beginning(self) -> bytes:
        """As much of its beginning as is kept."""
        return b"".join(self._beginning)

    @property
    def tail(self) -> str:
        """The last 4 KiB, decoded and printable."""
        return decoded(self._tail, cut=self._cut)

    def add(self, data: bytes) -> None:
        """Take what was read."""
        if self._room:
            self._beginning.append(data[: self._room])
            self._room -= len(self._beginning[-1])
        self._cut = self._cut or len(self._tail) + len(data) > TAIL_SIZE
        self._tail = (self._tail + data[-TAIL_SIZE:])[-TAIL_SIZE:]
        if _log.isEnabledFor(TRACE):
            self._trace(data)

    def end(self) -> None:
        """Log the last line, which may lack its newline."""
        if self._line and _log.isEnabledFor(TRACE):
            self._log_line(self._line)
        self._line = b""

    def _trace(self, data: bytes) -> None:
        *lines, self._line = (self._line + data).split(b"\n")
        if len(self._line) > TAIL_SIZE:  # a flood without newlines must not be hoarded
            lines.append(self._line)
            self._line = b""
        for line in lines:
            self._log_line(line)

    def _log_line(self, line: bytes) -> None:
        _log.log(TRACE, "%s: %s", self._name, decoded(line))
