"""The discovery engine: what is known between calls, one call at a time."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace

from pytest_gpudiscover.bootstrap import Bootstrapped, bootstrap
from pytest_gpudiscover.calls import Call, Settings
from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.errors import InstallationError
from pytest_gpudiscover.installations import Installation, Located
from pytest_gpudiscover.masks import UserMasks
from pytest_gpudiscover.recording import Observer, Recording
from pytest_gpudiscover.refresh import ActiveRunner, refresh
from pytest_gpudiscover.refreshing import needs_available_memory, with_available_memory
from pytest_gpudiscover.reports import Report
from pytest_gpudiscover.selection import POLICIES, Policy
from pytest_gpudiscover.surroundings import Surroundings

logger = logging.getLogger(__name__)

DEFAULT_MAX_PARALLEL = 8
_RETRY = 0.01
"""Seconds until a call that has to wait for another one tries again."""


class Discovery:
    """Finds the usable GPUs of a machine, and keeps their free memory up to date.

    The first call of `devices` bootstraps, later ones refresh. Calls are serialised, whichever event loop or
    thread they come from.

    Args:
        installation: what to discover with.
        enumerate_timeout: seconds for each enumerate probe; None: 30, on Windows 90.
        verify_timeout: seconds for each verify probe.
        refresh_timeout: seconds for each runner in use, and for all refresh probes together.
        max_parallel: how many runners may live at once; None: 8.
        overlap: the overlap policy, `newest_covering` or `ollama`.
        surroundings: the environment and platform to discover in; None: those of this process, when it
            bootstraps.
        observer: told whenever a probe starts or ends.

    Raises:
        ValueError: a timeout or `max_parallel` is not positive, or there is no such policy.
    """

    def __init__(
        self,
        installation: Installation,
        *,
        enumerate_timeout: float | None = None,
        verify_timeout: float = 30.0,
        refresh_timeout: float = 3.0,
        max_parallel: int | None = None,
        overlap: Policy = "newest_covering",
        surroundings: Surroundings | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._installation = installation
        self._settings = Settings(
            enumerate_timeout=_default_enumerate_timeout()
            if enumerate_timeout is None
            else enumerate_timeout,
            verify_timeout=verify_timeout,
            refresh_timeout=refresh_timeout,
            max_parallel=DEFAULT_MAX_PARALLEL if max_parallel is None else max_parallel,
            overlap=overlap,
        )
        _check(self._settings)
        self._given_surroundings = surroundings
        self._observer = observer
        self._turns = _Turns()
        self._state: _State | None = None
        self._report = Report()

    @property
    def report(self) -> Report:
        """What the last call found; an empty report before the first."""
        return self._report

    async def devices(
        self, *, rescan: bool = False, runners: Iterable[ActiveRunner | None] = ()
    ) -> tuple[DeviceInfo, ...]:
        """Find the usable devices, or refresh their free memory.

        Args:
            rescan: bootstrap anew.
            runners: runners in use, asked before any is started for a refresh.

        Returns:
            the devices, as values that no later call changes.

        Raises:
            InstallationError: discovery cannot run: no runner, or no library root.
        """
        async with self._turns.take():
            if self._state is None or rescan:
                return await self._bootstrap()
            return await self._refresh(self._state, runners)

    async def _bootstrap(self) -> tuple[DeviceInfo, ...]:
        surroundings = self._given_surroundings or Surroundings.current()
        masks = UserMasks.read(surroundings.environment, surroundings.system)
        recording = Recording(masks.in_force, self._observer)
        devices: tuple[DeviceInfo, ...] = ()
        try:
            located = self._locate(surroundings)
            if masks.in_force:
                shown = ", ".join(f"{name}={value!r}" for name, value in masks.in_force.items())
                logger.warning("masks are set, devices they hide are not seen: %s", shown)
            async with self._call(located, surroundings, masks, recording) as call:
                found = await bootstrap(call)
            devices = _with_system_memory(found.devices, surroundings)
            self._state = _State(located, surroundings, masks, replace(found, devices=devices))
        finally:
            self._report = recording.report(devices)
        return devices

    def _locate(self, surroundings: Surroundings) -> Located:
        try:
            return self._installation.locate(surroundings)
        except InstallationError as error:
            logger.error("discovery cannot run: %s", error)  # noqa: TRY400 - the trace says no more
            raise

    async def _refresh(self, state: _State, runners: Iterable[ActiveRunner | None]) -> tuple[DeviceInfo, ...]:
        recording = Recording(state.masks.in_force, self._observer)
        devices = state.found.devices
        try:
            async with self._call(state.located, state.surroundings, state.masks, recording) as call:
                devices = await refresh(call, state.found, runners)
            devices = _with_system_memory(devices, state.surroundings)
            state.found = replace(state.found, devices=devices)
        finally:
            self._report = recording.report(devices)
        return devices

    @asynccontextmanager
    async def _call(
        self, located: Located, surroundings: Surroundings, masks: UserMasks, recording: Recording
    ) -> AsyncIterator[Call]:
        async with self._installation.prober(located, surroundings) as prober:
            yield Call(
                prober=prober,
                located=located,
                surroundings=surroundings,
                masks=masks,
                settings=self._settings,
                recording=recording,
            )


class _State:
    """What is remembered between calls."""

    def __init__(
        self, located: Located, surroundings: Surroundings, masks: UserMasks, found: Bootstrapped
    ) -> None:
        self.located = located
        self.surroundings = surroundings
        self.masks = masks
        self.found = found


class _Turns:
    """One call at a time, also across event loops and threads.

    An asyncio lock belongs to one event loop for good. This one is only ever tried, so that no loop blocks.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        while not self._lock.acquire(blocking=False):  # noqa: ASYNC110 - no event reaches across loops
            await asyncio.sleep(_RETRY)
        try:
            yield
        finally:
            self._lock.release()


def _default_enumerate_timeout() -> float:
    return 90.0 if sys.platform == "win32" else 30.0


def _check(settings: Settings) -> None:
    for name in ("enumerate_timeout", "verify_timeout", "refresh_timeout", "max_parallel"):
        value = getattr(settings, name)
        if not value > 0:
            raise ValueError(f"{name} must be positive, got {value!r}")
    if settings.overlap not in POLICIES:
        raise ValueError(f"overlap must be one of {', '.join(POLICIES)}, got {settings.overlap!r}")


def _with_system_memory(
    devices: tuple[DeviceInfo, ...], surroundings: Surroundings
) -> tuple[DeviceInfo, ...]:
    """Correct integrated CUDA devices; the system's memory is read only when there is one."""
    if not any(needs_available_memory(device) for device in devices):
        return devices
    try:
        return with_available_memory(devices, surroundings.available_memory())
    except OSError as error:
        logger.debug(
            "the system's memory is not readable, integrated devices keep their own figures: %s", error
        )
        return devices
