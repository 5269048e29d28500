"""The discovery engine: what is known between calls, one call at a time."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace

from pytest_gpudiscover.archive import Snapshot
from pytest_gpudiscover.bootstrap import Bootstrapped, bootstrap, verify
from pytest_gpudiscover.calls import Call, Settings
from pytest_gpudiscover.devices import DeviceID, DeviceInfo
from pytest_gpudiscover.environment import changed
from pytest_gpudiscover.errors import InstallationError
from pytest_gpudiscover.installations import Installation, Located
from pytest_gpudiscover.masks import VARIABLES, UserMasks
from pytest_gpudiscover.recording import Observer, Recording
from pytest_gpudiscover.refresh import ActiveRunner, refresh, refreshed
from pytest_gpudiscover.refreshing import needs_available_memory, with_available_memory
from pytest_gpudiscover.reports import Rejection, Report
from pytest_gpudiscover.selection import POLICIES, Policy
from pytest_gpudiscover.surroundings import Surroundings

logger = logging.getLogger(__name__)

DEFAULT_MAX_PARALLEL = 8
_RETRY = 0.01
"""Seconds until a call that has to wait for another one tries again."""


class Discovery:
    """Finds the usable GPUs of a machine, and keeps their free memory up to date.

    The first call of `devices` bootstraps, later ones refresh. Where another process has bootstrapped,
    `resume` takes the place of the bootstrap. Calls are serialised, whichever event loop or thread they come
    from.

    Args:
        installation: what to discover with.
        enumerate_timeout: seconds for each enumerate probe; None: 30, on Windows 90.
        verify_timeout: seconds for each verify probe.
        refresh_timeout: seconds for each runner in use, and for all refresh probes together.
        max_parallel: how many runners may live at once; None: 8.
        overlap: the overlap policy, `newest_covering` or `ollama`.
        surroundings: the environment and platform to discover in; None: those of this process, when it
            bootstraps or resumes. The masks in it give way to those of a snapshot that is resumed.
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
        self._resumed_masks: Mapping[str, str] | None = None
        self._report = Report()

    @property
    def report(self) -> Report:
        """What the last call of `devices` found, or was resumed since; an empty report before the first.

        `verify` and `free_memory` leave it as it is: they return all that they find.
        """
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

    async def verify(self, device: DeviceInfo) -> Rejection | None:
        """Verify one device again, alone and with deep initialisation, as the bootstrap did.

        Args:
            device: one of this discovery's devices, or one that its verification rejected.

        Returns:
            None when it is well, also when its library is one that is trusted (Metal). Else why it is not: of
            the phase `verify`. `not_started` and `port_taken` say that the machine could not start a runner,
            and nothing of the device.

        Raises:
            RuntimeError: nothing was discovered before.
        """
        async with self._turns.take(), self._asking() as (state, call):
            return await verify(call, device, state.found.listed)

    async def free_memory(self, devices: Iterable[DeviceInfo]) -> dict[DeviceID, int]:
        """Ask how much memory of some devices is free, with one probe for each of their variants.

        As in a refresh, an integrated CUDA device has the system's available memory, and on Apple silicon the
        figures stay what they were. `refresh_timeout` bounds all probes together.

        Returns:
            bytes, by device. One that is missing could not be asked, or no longer answers.

        Raises:
            RuntimeError: nothing was discovered before.
        """
        asked = tuple({device.device_id: device for device in devices}.values())
        async with self._turns.take(), self._asking() as (state, call):
            found = _with_system_memory(await refreshed(call, state.found, asked), state.surroundings)
        return {device.device_id: device.free_memory for device in found if not device.stale}

    def snapshot(self) -> Snapshot | None:
        """What the last bootstrap found, to be handed to another process; None before the first good one.

        What refreshes have found since is not in it. Of a discovery that was resumed, it is what was resumed.
        """
        return self._state.snapshot if self._state else None

    def resume(self, snapshot: Snapshot) -> None:
        """Go on from what another process has found on this machine, as if it had been found here.

        Whatever was known before is forgotten. The user's masks are from now on those of the snapshot, also
        for a rescan: this process may have masked itself meanwhile. All else that its runners inherit is as
        `surroundings` or, without those, this process has it now.

        Args:
            snapshot: of a discovery with an equal installation.

        Raises:
            InstallationError: this process cannot discover: no runner, or no library root.
            RuntimeError: a call is under way.
        """
        with self._turns.take_now():
            surroundings = self._surroundings(snapshot.report.masks)
            masks = UserMasks.read(surroundings.environment, surroundings.system)
            self._state = _State.of(self._locate(surroundings), surroundings, masks, snapshot)
            self._resumed_masks = snapshot.report.masks
            self._report = snapshot.report

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[tuple[_State, Call]]:
        """What a question beside `devices` needs; what is recorded of it reaches the log and the observer."""
        state = self._state
        if state is None:
            raise RuntimeError("nothing was discovered yet: await devices(), or resume() a snapshot, before")
        recording = Recording(state.masks.in_force, self._observer)
        async with self._call(state.located, state.surroundings, state.masks, recording) as call:
            yield state, call

    def _surroundings(self, masks: Mapping[str, str] | None) -> Surroundings:
        """What to discover in, under these masks of the user; None: under those that are there."""
        surroundings = self._given_surroundings or Surroundings.current()
        if masks is None:
            return surroundings
        every = {name: masks.get(name) for name in VARIABLES}
        environment = changed(surroundings.environment, every, system=surroundings.system)
        return replace(surroundings, environment=environment)

    async def _bootstrap(self) -> tuple[DeviceInfo, ...]:
        surroundings = self._surroundings(self._resumed_masks)
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
        finally:
            self._report = recording.report(devices)
        snapshot = Snapshot(report=self._report, listed=found.listed)
        self._state = _State.of(located, surroundings, masks, snapshot)
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


@dataclass(kw_only=True)
class _State:
    """What is remembered between calls.

    Attributes:
        located: the installation, as it was found at the bootstrap.
        surroundings: those of the bootstrap.
        masks: the user's among them.
        found: the devices, with what refreshes have found since.
        snapshot: what the bootstrap found.
    """

    located: Located
    surroundings: Surroundings
    masks: UserMasks
    found: Bootstrapped
    snapshot: Snapshot

    @classmethod
    def of(cls, located: Located, surroundings: Surroundings, masks: UserMasks, snapshot: Snapshot) -> _State:
        return cls(
            located=located,
            surroundings=surroundings,
            masks=masks,
            found=Bootstrapped(devices=snapshot.report.devices, listed=snapshot.listed),
            snapshot=snapshot,
        )


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

    @contextmanager
    def take_now(self) -> Iterator[None]:
        if not self._lock.acquire(blocking=False):
            raise RuntimeError("a call of this discovery is under way: resume() before it, or after it")
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
