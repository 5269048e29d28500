"""What was started for a simulated machine, and what it answered: as data for asserts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What a runner answered.

    Attributes:
        status: the HTTP status.
        devices: how many devices were listed.
        at: seconds, on the clock of `Call.started`; it is taken just before the answer is sent.
    """

    status: int
    devices: int
    at: float = field(compare=False)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One start of a fake runner.

    Attributes:
        pid: its process id; 0 in memory.
        argv: its command line.
        variant: the variant it was pointed at.
        phase: `enumerate`, `verify` or `refresh`.
        deep: whether it was asked for deep initialisation.
        masks: the masks in its environment.
        environment: the variables that decide what a runner shows, masks included, and no others.
        started: seconds, on a monotonic clock.
        faults: the faults that struck at this start, by name.
        answered: what it answered first; None when it never did.
    """

    pid: int
    argv: tuple[str, ...]
    variant: str
    phase: str
    deep: bool
    masks: Mapping[str, str]
    started: float
    environment: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    answered: Answered | None = None


class Started:
    """A start in memory, of which a `Call` is made when somebody asks for it.

    Args:
        make: makes it, as it was at the start.
    """

    def __init__(self, make: Callable[[], Call]) -> None:
        self._make = make
        self._call: Call | None = None
        self._answered: Answered | None = None

    @property
    def call(self) -> Call:
        """The start, with what it has answered until now."""
        if self._call is None:
            self._call = self._make()
        if self._answered and self._call.answered is None:
            self._call = replace(self._call, answered=self._answered)
        return self._call

    def answer(self, answered: Answered) -> None:
        """Say what it has answered; only its first answer counts."""
        self._answered = self._answered or answered


def recorded(lines: Iterable[Mapping[str, Any]]) -> list[Call]:
    """Join the lines of a record: each start, with the first answer of the same process behind it.

    A line of another kind, or an answer without its start, is left alone: records may grow.
    """
    calls: list[Call] = []
    newest: dict[int, int] = {}
    for line in lines:
        match line:
            case {"event": "answer", "pid": pid} if pid in newest:
                n = newest.pop(pid)
                calls[n] = replace(calls[n], answered=_answered(line))
            case {"argv": _, "pid": pid}:
                # A process id may come again: an answer belongs to the newest start.
                newest[pid] = len(calls)
                calls.append(_started(line))
    return calls


def _started(line: Mapping[str, Any]) -> Call:
    return Call(
        pid=line["pid"],
        argv=tuple(line["argv"]),
        variant=line["variant"],
        phase=line["phase"],
        deep=line["deep"],
        masks=line["masks"],
        started=line["started"],
        environment=line.get("environment", {}),
        faults=tuple(line.get("faults", ())),
    )


def _answered(line: Mapping[str, Any]) -> Answered:
    return Answered(status=line["status"], devices=line["devices"], at=line["answered"])


def most_at_once(calls: Iterable[Call]) -> int:
    """How many runners were at work at the same time, between their start and their answer, at the most.

    It never says more than there were. It may say less: how long a runner lived that never answered is not
    recorded, and only its start is counted.
    """
    intervals = [(call.started, call.answered.at if call.answered else call.started) for call in calls]
    return max(
        (sum(begin <= moment <= end for begin, end in intervals) for moment, _ in intervals), default=0
    )
