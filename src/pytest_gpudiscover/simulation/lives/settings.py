"""Where a life takes place: in memory, under virtual time; tests have one with real processes beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from pytest_gpudiscover.engine import Discovery
from pytest_gpudiscover.simulation.hosts import FakeHost
from pytest_gpudiscover.simulation.in_memory import InMemoryInstallation
from pytest_gpudiscover.simulation.performances import Event, Runner, SeededPerformance
from pytest_gpudiscover.simulation.simulating import TracedDiscovery, simulated_surroundings
from pytest_gpudiscover.simulation.virtual_time import VirtualTimeLoop


class Killable(Protocol):
    """A living runner."""

    def kill(self) -> None:
        """End it as somebody else would."""


class Setting(Protocol):
    """What a world is made of."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop in which everything happens; it runs only while a step is taken."""

    @property
    def host(self) -> FakeHost:
        """The machine, on which there is nothing at first."""

    @property
    def offences(self) -> Sequence[str]:
        """The laws that were seen broken between two steps, in words."""

    def disturbed(self, *, disturbed: bool) -> None:
        """Learn whether the machine was changed since a call that is under way began."""

    def discovery(self) -> Discovery:
        """A new discovery of the machine."""

    def runners(self) -> Sequence[Killable]:
        """The runners that live right now, in the order of their starts."""

    def remains(self) -> list[str]:
        """What should be gone when no call is under way and is not, in words."""

    def pass_time(self, seconds: float) -> None:
        """Let everything go on for so long."""

    def let_happen(self, count: int, over: Callable[[], bool]) -> None:
        """Let everything go on until runners have done so many things more, or it is over."""

    def close(self) -> None:
        """Leave nothing behind."""


class VirtualSetting:
    """In memory, under virtual time.

    Args:
        seed: decides how long everything takes, and the order of what happens at the same moment.
        max_parallel: how many runners may live at once.
    """

    def __init__(self, seed: int | None, max_parallel: int = 8) -> None:
        self._loop = VirtualTimeLoop(seed)
        self._host = FakeHost({"gpu": [], "variant": {}})
        self._performance = WatchedPerformance(seed, max_parallel)
        self._max_parallel = max_parallel

    @property
    def loop(self) -> VirtualTimeLoop:
        """Its clock jumps."""
        return self._loop

    @property
    def host(self) -> FakeHost:
        """It lies in memory."""
        return self._host

    @property
    def offences(self) -> Sequence[str]:
        """What was seen at the starts, and what nobody was there to catch."""
        uncaught = [f"nobody was there to catch {error!r}" for error in self.loop.complaints]
        return [*self._performance.offences, *uncaught]

    @property
    def trace(self) -> list[Event]:
        """What has happened."""
        return self._performance.trace

    def disturbed(self, *, disturbed: bool) -> None:
        """Have the performance know it."""
        self._performance.disturbed = disturbed

    def discovery(self) -> Discovery:
        """A new discovery of the machine, with patience for slow runners."""
        return TracedDiscovery(
            InMemoryInstallation(self.host, performance=self._performance),
            self._performance,
            surroundings=simulated_surroundings(),
            enumerate_timeout=30.0,
            refresh_timeout=20.0,
            max_parallel=self._max_parallel,
        )

    def runners(self) -> Sequence[Runner]:
        """Those on the stage."""
        return tuple(self._performance.living)

    def remains(self) -> list[str]:
        """Runners and tasks."""
        return [
            *(f"runner {runner.number} still lives" for runner in self._performance.living),
            *(f"{task.get_name()} has not ended" for task in self.loop.tasks()),
        ]

    def pass_time(self, seconds: float) -> None:
        """Let the clock jump from timer to timer until then."""
        moment = self.loop.create_future()
        self.loop.call_later(seconds, moment.set_result, None)
        self.loop.run_until_complete(moment)

    def let_happen(self, count: int, over: Callable[[], bool]) -> None:
        """Let everything go on until the trace has so many lines more, or it is over."""
        enough = len(self.trace) + count
        self._loop.run_until(lambda: over() or len(self.trace) >= enough)

    def close(self) -> None:
        """Cancel what has not ended."""
        self.loop.wind_up()
        self.loop.close()


class WatchedPerformance(SeededPerformance):
    """A performance that sees to it, at each start, who else is on the stage.

    Attributes:
        offences: what it saw that must not be.
        disturbed: whether numbers may mean other GPUs than they did when the engine learned them.
    """

    def __init__(self, seed: int | None, max_parallel: int) -> None:
        super().__init__(seed)
        self._max_parallel = max_parallel
        self.offences: list[str] = []
        self.disturbed = False

    def started(self, runner: Runner) -> None:
        """Hold a start against the laws of who may live beside whom."""
        super().started(runner)
        others = [other for other in self.living if other is not runner]
        if len(others) >= self._max_parallel:
            self._offend(runner, f"with {len(others)} others, where {self._max_parallel} may live at once")
        if others and {runner.call.phase, *(other.call.phase for other in others)} != {"verify"}:
            self._offend(runner, "beside another, while devices are enumerated or refreshed")
        for other in others:
            shared = runner.gpus & other.gpus
            if shared and runner.call.deep and other.call.deep and not self.disturbed:
                self._offend(
                    runner, f"on {', '.join(sorted(shared))}, which runner {other.number} initialises"
                )

    def _offend(self, runner: Runner, how: str) -> None:
        self.offences.append(f"runner {runner.number} ({runner.call.phase}) was started {how}")
