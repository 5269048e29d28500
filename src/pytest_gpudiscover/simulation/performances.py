"""How runners act in memory: what keeps them waiting, and what is remembered of it.

A performance is asked at each seam between the engine and the world outside: where a runner starts, where its
answer arrives, and where it is gone. What happens there takes as long as the performance says.
"""

from __future__ import annotations

import asyncio
import enum
import random
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from pytest_gpudiscover.probing import ProbeRequest, ProbeResult
from pytest_gpudiscover.probing.processes import Exit
from pytest_gpudiscover.reports import Reason
from pytest_gpudiscover.simulation.calls import Answered, Call
from pytest_gpudiscover.text import count


class Seam(enum.StrEnum):
    """Where the engine waits for the world outside."""

    START = "start"
    ANSWER = "answer"
    END = "end"


class Event(NamedTuple):
    """Something that happened.

    Attributes:
        at: seconds, by the event loop's clock.
        runner: the number of the runner in the order of the starts, from 1; 0 when it concerns none.
        what: one word: `start`, `answer`, `death`, `end`, `deadline`, `found` or `rejected`.
        detail: the rest of the sentence.
    """

    at: float
    runner: int
    what: str
    detail: str

    def __str__(self) -> str:
        return f"{self.at:12.6f} {self.runner or '-':>4} {self.what:<8} {self.detail}".rstrip()


def as_text(trace: Iterable[Event]) -> str:
    """A trace as text, one event a line."""
    return "".join(f"{event}\n" for event in trace)


class Runner(Protocol):
    """A runner that acts in memory.

    Attributes:
        number: which one it is, in the order of the starts, from 1; 0 while nobody counts.
    """

    number: int

    @property
    def call(self) -> Call:
        """How it was started, and what it has answered."""

    @property
    def purpose(self) -> str:
        """What it was started for, in a few words."""

    @property
    def gpus(self) -> frozenset[str]:
        """The physical GPUs that it looks at, by their names in the host file."""

    def kill(self) -> None:
        """Let it be ended by a SIGKILL that is not the engine's."""


class Performance:
    """A performance in which nothing takes time, and of which nothing is remembered."""

    def delay(self, seam: Seam) -> float | None:  # noqa: ARG002
        """Seconds that the world outside takes; None when it answers at once."""
        return None

    def started(self, runner: Runner) -> None:
        """Learn that a runner has started."""

    def answers(self, runner: Runner, answered: Answered) -> None:
        """Learn that a runner is about to send an answer."""

    def died(self, runner: Runner, how: Exit) -> None:
        """Learn that a runner has ended by itself."""

    def gone(self, runner: Runner) -> None:
        """Learn that a runner, and everything it started, is gone."""

    def came_of(self, request: ProbeRequest, result: ProbeResult) -> None:
        """Learn what came of a probe."""


AT_ONCE = Performance()
"""What a discovery in memory takes part in unless it says otherwise."""

PACES = (0.0, 0.0, 0.001, 0.01, 0.05)
"""Seconds that one step of a delay takes, drawn for each seam: often none, so that much happens at once."""
STEPS = 4
"""A delay is less than so many steps; there are few, so that delays are often equal."""


class SeededPerformance(Performance):
    """A performance in which a seed decides how long everything takes, and of which everything is remembered.

    No runner is kept waiting for more than half a second, which is well below any deadline.

    Args:
        seed: the same seed and the same questions give the same delays. None: nothing takes time.

    Attributes:
        trace: what happened, in order.
        living: the runners that have started and are not gone, in the order of their starts.
    """

    def __init__(self, seed: int | None) -> None:
        self.trace: list[Event] = []
        self.living: list[Runner] = []
        self._started = 0
        self._awaited: list[tuple[int, asyncio.Future[None]]] = []
        self._chance = None if seed is None else random.Random(~seed)  # noqa: S311 - it is to be repeatable
        self._paces = {seam: self._chance.choice(PACES) for seam in Seam} if self._chance else {}

    def delay(self, seam: Seam) -> float | None:
        """So many steps of the seam's pace."""
        return self._paces[seam] * int(self._chance.random() * STEPS) if self._chance else None

    def started(self, runner: Runner) -> None:
        """Number a runner, and note its start."""
        self._started += 1
        runner.number = self._started
        self.living.append(runner)
        self.note("start", runner.purpose, runner)

    def answers(self, runner: Runner, answered: Answered) -> None:
        """Note an answer."""
        self.note("answer", f"{answered.status}, {count(answered.devices, 'device')}", runner)

    def died(self, runner: Runner, how: Exit) -> None:
        """Note a death."""
        self.note("death", how.signal or f"exit code {how.code}", runner)

    def gone(self, runner: Runner) -> None:
        """Note an end."""
        self.living.remove(runner)
        self.note("end", "", runner)

    def came_of(self, request: ProbeRequest, result: ProbeResult) -> None:
        """Note a deadline that was missed."""
        if result.failure and result.failure.reason is Reason.TIMEOUT:
            self.note("deadline", f"{request.phase} {request.variant.name or 'runner'}")

    def note(self, what: str, detail: str, runner: Runner | None = None) -> None:
        """Add an event to the trace."""
        now = asyncio.get_running_loop().time()
        self.trace.append(Event(now, runner.number if runner else 0, what, detail))
        for length, future in self._awaited:
            if len(self.trace) >= length and not future.done():
                future.set_result(None)

    async def more(self, count: int) -> None:
        """Wait until the trace has so many events more."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = len(self.trace) + count, future
        self._awaited.append(waiting)
        try:
            if count > 0:
                await future
        finally:
            self._awaited.remove(waiting)
