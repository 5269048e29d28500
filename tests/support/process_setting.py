"""A setting for lives with real processes and real time: what is killed there is really killed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from pytest_gpudiscover import Discovery
from pytest_gpudiscover.simulation import FakeHost
from pytest_gpudiscover.simulation.lives import Killable
from pytest_gpudiscover.simulation.simulating import simulated_surroundings

AMPLE = 60.0
"""Seconds that nothing needs, on however slow a machine."""
A_MOMENT = 0.005
"""Seconds between two looks at what runners have done meanwhile."""


@dataclass(frozen=True)
class Process:
    """A living runner."""

    pid: int

    def kill(self) -> None:
        """Kill it, if it still is what it was."""
        try:
            process = psutil.Process(self.pid)
            if "--ollama-engine" in process.cmdline():
                process.kill()
        except psutil.NoSuchProcess:
            return


class ProcessSetting:
    """A machine in a file, and runners of it that are processes."""

    def __init__(self, directory: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._host = FakeHost({"gpu": [], "variant": {}}).save(directory / "host.json")
        self._loop.set_exception_handler(lambda _, context: self._uncaught.append(str(context)))
        self._uncaught: list[str] = []
        self._descriptors = psutil.Process().num_fds()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Its clock is the real one."""
        return self._loop

    @property
    def host(self) -> FakeHost:
        """It lies in a file."""
        return self._host

    @property
    def offences(self) -> Sequence[str]:
        """What nobody was there to catch."""
        return self._uncaught

    def disturbed(self, *, disturbed: bool) -> None:
        """Nobody sees to it here who lives beside whom."""

    def discovery(self) -> Discovery:
        """A new discovery of the machine."""
        # Real ones have /dev, PATH and so on; runners need no more than to be started.
        environment = {"PATH": os.environ.get("PATH", "")}
        return Discovery(
            self._host.installation(),
            surroundings=simulated_surroundings(environment),
            enumerate_timeout=AMPLE,
            verify_timeout=AMPLE,
            refresh_timeout=AMPLE,
        )

    def runners(self) -> Sequence[Killable]:
        """Those of all that were started that still live."""
        return [Process(call.pid) for call in self._host.calls if psutil.pid_exists(call.pid)]

    def remains(self) -> list[str]:
        """Processes, tasks and descriptors."""
        children = psutil.Process().children(recursive=True)
        more = psutil.Process().num_fds() - self._descriptors
        return [
            *(f"{child} still lives" for child in children),
            *(f"{task.get_name()} has not ended" for task in asyncio.all_tasks(self._loop)),
            *([f"{more} more descriptors are open"] if more else []),
        ]

    def pass_time(self, seconds: float) -> None:
        """Let real time pass."""
        self._loop.run_until_complete(asyncio.sleep(seconds))

    def let_happen(self, count: int, over: Callable[[], bool]) -> None:
        """Let everything go on until so many starts and answers more are recorded, or it is over."""
        enough = self._recorded() + count
        while not over() and self._recorded() < enough:
            self.pass_time(A_MOMENT)

    def close(self) -> None:
        """Cancel what has not ended."""
        for task in (left := asyncio.all_tasks(self._loop)):
            task.cancel()
        if left:
            self._loop.run_until_complete(asyncio.wait(left))
        self._loop.close()

    def _recorded(self) -> int:
        return sum(1 + (call.answered is not None) for call in self._host.calls)
