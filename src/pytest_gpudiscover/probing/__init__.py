"""Asking one runner: the interface between the engine and whatever answers it.

The engine knows this module only. `probing.runners` answers with real processes, the simulation with a host
in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pytest_gpudiscover.reports import Phase, Reason
from pytest_gpudiscover.variants import Variant
from pytest_gpudiscover.wire import Answer


@dataclass(frozen=True, kw_only=True)
class ProbeRequest:
    """One question to one runner.

    Attributes:
        phase: what the answer is for.
        variant: the variant to point the runner at.
        mask: the masks among `environment`, by variable: what the report shows.
        environment: the runner's whole environment.
        timeout: seconds, from spawn to the end of the answer.
    """

    phase: Phase
    variant: Variant
    mask: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout: float


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a probe brought no answer.

    Attributes:
        reason: one word of the closed list.
        detail: a sentence.
        exhausted: whether the system had run out of something, so that it may work with fewer probes at once.
    """

    reason: Reason
    detail: str
    exhausted: bool = False


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """What came of a probe. Times are those of the running event loop's clock, in seconds.

    Attributes:
        answer: what the runner answered, when the probe succeeded.
        failure: why it did not; exactly one of `answer` and `failure` is None.
        started: when the runner was spawned.
        ready: when its answer began; None when it never did.
        ended: when it and everything it started were gone.
        exit_code: its own exit code, when it ended by itself.
        signal: the name of the signal that ended it, when that was not ours.
        stderr: the tail of what it wrote to stderr, free of control characters.
    """

    answer: Answer | None = None
    failure: Failure | None = None
    started: float
    ready: float | None = None
    ended: float
    exit_code: int | None = None
    signal: str | None = None
    stderr: str = ""


class Prober(Protocol):
    """Whatever answers probes. Several may run at once; the engine sees to how many."""

    async def probe(self, request: ProbeRequest) -> ProbeResult:
        """Ask once. Never raises for what a runner does; leaves nothing running, also when cancelled."""
