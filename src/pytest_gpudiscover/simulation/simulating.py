"""Whole discoveries in memory, under virtual time: the same seed does the same, every time and everywhere.

Nothing is waited for, also not for a runner that hangs. The seed decides how long each runner takes to start,
to answer and to go, and which of the things that happen at the same moment comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.engine import Discovery
from pytest_gpudiscover.refresh import ActiveRunner
from pytest_gpudiscover.reports import Report
from pytest_gpudiscover.simulation.hosts import FakeHost, apart
from pytest_gpudiscover.simulation.in_memory import InMemoryInstallation
from pytest_gpudiscover.simulation.performances import Event, Runner, SeededPerformance, as_text
from pytest_gpudiscover.simulation.virtual_time import run
from pytest_gpudiscover.surroundings import Surroundings
from pytest_gpudiscover.text import GIB

AVAILABLE_MEMORY = 16 * GIB
"""The system's available memory on a simulated machine, in bytes."""
_SHOWN = 20
"""How many of the last events an error shows."""


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """What a simulation leaves behind.

    Attributes:
        seed: what it was simulated with.
        value: what the script has returned.
        report: of the last call of `devices`.
        trace: what happened, in order.
        host: the machine, as the script has left it.
    """

    seed: int | None
    value: Any
    report: Report
    trace: tuple[Event, ...]
    host: FakeHost

    @property
    def text(self) -> str:
        """The trace as text, one event a line: byte for byte the same for the same seed."""
        return as_text(self.trace)


class Simulation:
    """What a script has at hand.

    Attributes:
        host: the machine; its `plug`, `fill`, `inject` and so on take effect at once.
        discovery: a discovery of it.
    """

    def __init__(self, host: FakeHost, discovery: Discovery, performance: SeededPerformance) -> None:
        self.host = host
        self.discovery = discovery
        self._performance = performance

    @property
    def runners(self) -> tuple[Runner, ...]:
        """The runners that live right now, in the order of their starts; `kill` kills one."""
        return tuple(self._performance.living)

    @property
    def trace(self) -> tuple[Event, ...]:
        """What has happened until now."""
        return tuple(self._performance.trace)

    async def more(self, events: int) -> None:
        """Wait until so many things more have happened, of those that a trace tells."""
        await self._performance.more(events)


Script = Callable[[Simulation], Coroutine[Any, Any, Any]]


def simulate(
    host: FakeHost,
    *,
    seed: int | None = 0,
    script: Script | None = None,
    variant: str | None = None,
    without_variants: Sequence[str] = (),
    surroundings: Surroundings | None = None,
    **options: Any,
) -> Simulated:
    """Discover a machine in memory, under virtual time.

    Args:
        host: the machine. It is left alone: what the script does to it happens to a copy.
        seed: decides how long everything takes, and the order of what happens at the same moment. None:
            nothing takes time, and the order is that in which things were begun.
        script: a coroutine function that does with the machine what is to be looked at; None: one discovery.
        variant: ask this variant only.
        without_variants: leave these out.
        surroundings: None: Linux, with an empty environment and 16 GiB of available memory.
        options: those of `Discovery`; deadlines are in virtual seconds.

    Returns:
        what has happened.

    Raises:
        StandstillError: the script will never end, or has left something running that will not.
        Exception: whatever the script raises, with the seed and the last events as a note.
    """
    performance = SeededPerformance(seed)
    here = apart(host)
    discovery = TracedDiscovery(
        InMemoryInstallation(here, variant, without_variants, performance),
        performance,
        surroundings=surroundings or simulated_surroundings(),
        **{"enumerate_timeout": 30.0, **options},
    )
    try:
        value = run((script or _discover)(Simulation(here, discovery, performance)), seed=seed)
    except BaseException as error:
        error.add_note(
            f"simulated with seed={seed}; the last events:\n{as_text(performance.trace[-_SHOWN:])}"
        )
        raise
    return Simulated(
        seed=seed, value=value, report=discovery.report, trace=tuple(performance.trace), host=here
    )


def simulated_surroundings(environment: Mapping[str, str] | None = None) -> Surroundings:
    """Surroundings that are the same on every machine."""
    return Surroundings(environment=environment or {}, available_memory=lambda: AVAILABLE_MEMORY)


async def _discover(simulation: Simulation) -> tuple[DeviceInfo, ...]:
    return await simulation.discovery.devices()


class TracedDiscovery(Discovery):
    """A discovery whose results are part of the trace."""

    def __init__(
        self, installation: InMemoryInstallation, performance: SeededPerformance, **options: Any
    ) -> None:
        super().__init__(installation, **options)
        self._performance = performance

    async def devices(
        self, *, rescan: bool = False, runners: Iterable[ActiveRunner | None] = ()
    ) -> tuple[DeviceInfo, ...]:
        """Discover, and note what came of it."""
        devices = await super().devices(rescan=rescan, runners=runners)
        for rejection in self.report.rejected:
            whose = f"{rejection.library} {rejection.id}" if rejection.device else "everything"
            said = f"{rejection.phase} {rejection.variant or 'runner'} {whose}: {rejection.reason}"
            self._performance.note("rejected", said)
        for device in devices:
            stale = " (stale)" if device.stale else ""
            which = f"{device.variant or 'runner'} {device.library} {device.id}"
            self._performance.note("found", f"{which}, {device.free_memory} bytes free{stale}")
        return devices
