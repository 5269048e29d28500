"""The session's discovery: one for all processes of a run on one host, made when somebody asks first."""

from __future__ import annotations

import contextlib
import json
import platform
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_gpudiscover.archive import Snapshot, dumps, loads
from pytest_gpudiscover.blocking import run_in_thread
from pytest_gpudiscover.devices import DeviceID, DeviceInfo
from pytest_gpudiscover.engine import Discovery
from pytest_gpudiscover.errors import GpuDiscoverError, HostFileError, UsageError
from pytest_gpudiscover.explaining import why_none, why_not
from pytest_gpudiscover.leasing.cards import card_name
from pytest_gpudiscover.leasing.reach import within_reach
from pytest_gpudiscover.masks import UserMasks
from pytest_gpudiscover.plugin.refusing import Unmet, refuse
from pytest_gpudiscover.plugin.settings import Settings
from pytest_gpudiscover.plugin.sharing import RunFolder, run_folder
from pytest_gpudiscover.reports import Phase, Reason, Rejection, Report
from pytest_gpudiscover.requirements import Requirement
from pytest_gpudiscover.surroundings import Surroundings

if TYPE_CHECKING:
    from pytest_gpudiscover.installations import Installation


class SessionDiscovery:
    """The session's one engine, what it found, and what became of that in the meantime.

    Attributes:
        settings: those of the session.
        installation: what is discovered with.
        surroundings: those before this package masked the process: the engine always probes under them.
        engine: what discovers.
        folder: what the processes of the run share.
        own: the devices that this process was given for its life; None where it was given none.
    """

    def __init__(self, settings: Settings, folder: RunFolder) -> None:
        self.settings = settings
        self.installation = chosen(settings)
        self.surroundings = Surroundings.current()
        self.engine = _engine(settings, self.installation, self.surroundings)
        self.folder = folder
        self.own: tuple[DeviceInfo, ...] | None = None
        self._outcome: Report | GpuDiscoverError | None = None

    @property
    def masks(self) -> UserMasks:
        """The masks that the user had set."""
        return UserMasks.read(self.surroundings.environment, self.surroundings.system)

    def known(self) -> Report | None:
        """What was discovered; None when nothing was, so far."""
        return self._outcome if isinstance(self._outcome, Report) else None

    def report(self) -> Report:
        """What the run's one discovery on this host found; what came of it, also an error, is remembered.

        Raises:
            InstallationError: discovery cannot run.
        """
        if self._outcome is None:
            self._outcome = self._discovered()
        if isinstance(self._outcome, GpuDiscoverError):
            raise self._outcome
        return self._outcome

    def seen(self) -> Report:
        """The report as this process may see it now.

        Devices in quarantine are rejected with their reason, and so are those that may lie outside the masks
        of the run; in a process that was given devices for its life there are no others.

        Raises:
            InstallationError: discovery cannot run.
        """
        report, quarantined = within_reach(self.report()), self.quarantined()
        mine = report.devices if self.own is None else self.own
        usable = tuple(device for device in mine if device.device_id not in quarantined)
        return replace(report, devices=usable, rejected=(*report.rejected, *quarantined.values()))

    def unmet(self, requirement: Requirement) -> str | None:
        """Say why this process has not what somebody needs; None when it has.

        Raises:
            InstallationError: discovery cannot run.
        """
        reason = why_not(requirement, self.seen())
        if reason and self.own is not None and len(self.own) < len(self.report().devices):
            reason += "; this worker has what it was given for its life (gpudiscover_workers = own)"
        return reason or None

    def quarantined(self) -> dict[DeviceID, Rejection]:
        """The devices that the run has found lost since its discovery, and why."""
        entries = self.folder.quarantined()
        return {
            device.device_id: Rejection.of(
                device, Phase.VERIFY, Reason(entries[card]["reason"]), entries[card]["detail"]
            )
            for device in self.report().devices
            if entries and (card := card_name(device)) in entries
        }

    def quarantine(self, device: DeviceInfo, reason: Reason, detail: str) -> None:
        """Use a device no more, in any process of the run on this host."""
        self.folder.quarantine(card_name(device), {"reason": str(reason), "detail": detail})

    def verify(self, device: DeviceInfo) -> Rejection | None:
        """Verify a device again, in a process of its own; None when it is well."""
        return run_in_thread(lambda: self.engine.verify(device))

    def free_memory(self, devices: Iterable[DeviceInfo]) -> dict[DeviceID, int]:
        """Bytes of free memory now; a device that cannot be asked is missing."""
        return run_in_thread(lambda: self.engine.free_memory(devices))

    def _discovered(self) -> Report | GpuDiscoverError:
        try:
            snapshot = loads(self.folder.once(self._key(), self._archive))
            if self.engine.snapshot() is None:
                self.engine.resume(snapshot)
        except GpuDiscoverError as error:
            return error  # nothing was started: every process finds that out for itself
        return snapshot.report

    def _archive(self) -> str:
        # An asynchronous test may have used the engine before.
        return dumps(self.engine.snapshot() or run_in_thread(self._bootstrap))

    async def _bootstrap(self) -> Snapshot:
        await self.engine.devices(rescan=True)
        snapshot = self.engine.snapshot()
        assert snapshot is not None
        return snapshot

    def _key(self) -> str:
        """What the answer depends on: a worker may have been given masks of its own, or another host."""
        settings = (
            self.settings.runner,
            self.settings.library_root,
            self.settings.host,
            self.settings.timeout,
        )
        return json.dumps([settings, dict(self.masks.in_force), platform.node()])


_DISCOVERY = pytest.StashKey[SessionDiscovery]()


def chosen(settings: Settings) -> Installation:
    """The installation that the settings mean.

    Raises:
        pytest.UsageError: they contradict each other, or the host file makes no sense.
    """
    from pytest_gpudiscover.choosing import chosen_installation

    try:
        return chosen_installation(settings.runner, library_root=settings.library_root, host=settings.host)
    except (HostFileError, UsageError) as error:
        raise pytest.UsageError(f"gpudiscover: {error}") from error


def _engine(settings: Settings, installation: Installation, surroundings: Surroundings) -> Discovery:
    if settings.timeout is None:
        return Discovery(installation, surroundings=surroundings)
    return Discovery(
        installation,
        enumerate_timeout=settings.timeout,
        verify_timeout=settings.timeout,
        surroundings=surroundings,
    )


def session_discovery(config: pytest.Config) -> SessionDiscovery:
    """The session's one engine, made when somebody asks for it first.

    Raises:
        pytest.UsageError: the settings make no sense.
    """
    if _DISCOVERY not in config.stash:
        config.stash[_DISCOVERY] = SessionDiscovery(Settings.of(config), run_folder(config))
    return config.stash[_DISCOVERY]


def known_report(config: pytest.Config) -> Report | None:
    """What this process has discovered; None when it has not, so far."""
    return config.stash[_DISCOVERY].known() if _DISCOVERY in config.stash else None


def session_report(config: pytest.Config) -> Report:
    """What the run's discovery found; where it cannot run, the test fails, strict or not."""
    try:
        return session_discovery(config).report()
    except GpuDiscoverError as error:
        problem = f"GPU discovery cannot run: {error}"
    raise Unmet(problem)


def session_engine(config: pytest.Config) -> Discovery:
    """The session's engine; in an xdist worker it goes on from the run's discovery."""
    session = session_discovery(config)
    if hasattr(config, "workerinput"):
        # An error is for whoever awaits the engine.
        with contextlib.suppress(GpuDiscoverError):
            session.report()
    return session.engine


def devices_or_refusal(config: pytest.Config) -> tuple[DeviceInfo, ...]:
    """The devices that this process may use; without any the test is refused."""
    session_report(config)
    seen = session_discovery(config).seen()
    return seen.devices or refuse(config, why_none(seen))
