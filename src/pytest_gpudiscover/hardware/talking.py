"""Programs of the suite's own, which say a line and wait for one: nobody has to guess when they are done."""

from __future__ import annotations

import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Self

PATIENCE = 120.0
"""Seconds after which a program that should have said something will not."""
_GRACE = 10.0
"""Seconds in which a program whose input has ended gives back what it holds."""


class Program:
    """A program that is talked to, a line at a time. Its input ends with its `with` block, and it with that.

    Args:
        command: the program and its arguments.
        environment: its whole environment.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put("")

    @property
    def has_spoken(self) -> bool:
        """Whether there is a line that nobody has heard."""
        return not self._lines.empty()

    def hear(self) -> str:
        """Wait for its next line.

        Raises:
            AssertionError: it ends without a word, or says nothing in time.
        """
        try:
            line = self._lines.get(timeout=PATIENCE)
        except queue.Empty:
            line = ""
        assert line, f"{self._process.args!r} said nothing; its exit code is {self._process.poll()}"
        return line

    def say(self, line: str) -> None:
        """Say a line to it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def ask(self, line: str) -> str:
        """Say a line, and wait for its answer."""
        self.say(line)
        return self.hear()

    def end(self) -> None:
        """End its input, and wait until it is gone; what does not end by that is killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
