"""Asking one runner: the interface between the engine and whatever answers it.

The engine knows this module only. `probing.runners` answers with real processes, the simulation with a host
in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol

from pytest_gpudiscover.reports import Phase, Reason
from pytest_gpudiscover.variants import Variant
from pytest_gpudiscover.wire import Answer

NOTHING: Mapping[str, str] = MappingProxyType({})


class ProbeRequest(NamedTuple):
    """One question to one runner.

    Attributes:
        phase: what the answer is for.
        variant: the variant to point the runner at.
        timeout: seconds, from spawn to the end of the answer.
        mask: the masks among `environment`, by variable: what the report shows.
        environment: the runner's whole environment.
    """

    phase: Phase
    variant: Variant
    timeout: float
    mask: Mapping[str, str] = NOTHING
    environment: Mapping[str, str] = NOTHING


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


class ProbeResult(NamedTuple):
    """What came of a probe. Times are those of the running event loop's clock, in seconds.

    Attributes:
        started: when the runner was spawned.
        ended: when it and everything it started were gone.
        answer: what the runner answered, when the probe succeeded.
        failure: why it did not; exactly one of `answer` and `failure` is None.
        ready: when its answer began; None when it never did.
        exit_code: its own exit code, when it ended by itself.
        signal: the name of the signal that ended it, when that was not ours.
        stderr: the tail of what it wrote to stderr, free of control characters.
    """

    started: float
    ended: float
    answer: Answer | None = None
    failure: Failure | None = None
    ready: float | None = None
    exit_code: int | None = None
    signal: str | None = None
    stderr: str = ""


class Prober(Protocol):
    """Whatever answers probes. Several may run at once; the engine sees to how many."""

    async def probe(self, request: ProbeRequest) -> ProbeResult:
        """Ask once. Never raises for what a runner does; leaves nothing running, also when cancelled."""
