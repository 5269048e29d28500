"""A runner as a process: what the prober needs to know of it, whatever started it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How a process ended by itself: by a code, or by a signal (its name, `SIGSEGV`)."""

    code: int | None = None
    signal: str | None = None


class LaunchError(Exception):
    """The operating system refused to start the runner.

    Attributes:
        detail: a sentence that says what was started and what the system said.
        exhausted: whether something ran out (descriptors, processes, memory), so that it may work later.
    """

    def __init__(self, detail: str, *, exhausted: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.exhausted = exhausted


class RunnerProcess(Protocol):
    """One started runner."""

    @property
    def pid(self) -> int:
        """The process id of the runner itself."""

    @property
    def exit(self) -> Exit | None:
        """How it ended, when it has ended by itself; None while it runs, and when we ended it."""

    @property
    def stdout(self) -> bytes:
        """The beginning of what it wrote to stdout so far: all of it, or a byte more than any answer has."""

    @property
    def stderr(self) -> str:
        """The tail of what it wrote to stderr so far, decoded, control characters replaced."""

    async def wait(self) -> Exit:
        """Wait until it ends by itself."""

    async def end(self) -> Exit | None:
        """Kill it and everything it started, and reap them; may be called again.

        Returns:
            How it had ended by itself, if it had: the status is then not that of our own kill.
        """


class Launcher(Protocol):
    """Starts runners, as an asynchronous context manager: none of them outlives the `async with` block."""

    async def __aenter__(self) -> Self:
        """Make ready to start runners."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every runner that still lives."""

    async def launch(self, command: Sequence[str], environment: Mapping[str, str]) -> RunnerProcess:
        """Start a runner.

        Raises:
            LaunchError: the system refused.
        """
