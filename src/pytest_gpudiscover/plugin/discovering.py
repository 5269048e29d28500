"""The session's discovery, and the fixtures that show it. Nothing is discovered before one is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_gpudiscover.devices import DeviceInfo
    from pytest_gpudiscover.engine import Discovery
    from pytest_gpudiscover.installations import Installation
    from pytest_gpudiscover.plugin.settings import Settings
    from pytest_gpudiscover.reports import Report
    from pytest_gpudiscover.requirements import Requirement


class SessionDiscovery:
    """The session's one engine, and its first report.

    Attributes:
        settings: those of the session.
        engine: what discovers.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.engine = _engine(settings)
        self._outcome: Report | Exception | None = None

    def report(self) -> Report:
        """Discover on the first call; what came of that, also an error, is remembered.

        Raises:
            InstallationError: discovery cannot run.
        """
        if self._outcome is None:
            self._outcome = self._discover()
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    def known(self) -> Report | None:
        """What was discovered; None when nothing was, so far."""
        return None if isinstance(self._outcome, Exception) else self._outcome

    def unmet(self, requirement: Requirement) -> str | None:
        """Say why a requirement is not met; None when it is.

        Raises:
            InstallationError: discovery cannot run.
        """
        from pytest_gpudiscover.explaining import why_not

        return why_not(requirement, self.report()) or None

    def _discover(self) -> Report | Exception:
        from pytest_gpudiscover.blocking import run_in_thread
        from pytest_gpudiscover.errors import GpuDiscoverError

        try:
            # Anew, should an asynchronous test have used the engine before: a refresh tells no rejections.
            run_in_thread(lambda: self.engine.devices(rescan=True))
        except GpuDiscoverError as error:
            return error
        return self.engine.report


_DISCOVERY = pytest.StashKey[SessionDiscovery]()


def chosen(settings: Settings) -> Installation:
    """The installation that the settings mean.

    Raises:
        pytest.UsageError: they contradict each other, or the host file makes no sense.
    """
    from pytest_gpudiscover.choosing import chosen_installation
    from pytest_gpudiscover.errors import HostFileError, UsageError

    try:
        return chosen_installation(settings.runner, library_root=settings.library_root, host=settings.host)
    except (HostFileError, UsageError) as error:
        raise pytest.UsageError(f"gpudiscover: {error}") from error


def _engine(settings: Settings) -> Discovery:
    from pytest_gpudiscover.engine import Discovery

    installation = chosen(settings)
    if settings.timeout is None:
        return Discovery(installation)
    return Discovery(installation, enumerate_timeout=settings.timeout, verify_timeout=settings.timeout)


def session_discovery(config: pytest.Config) -> SessionDiscovery:
    """The session's one engine, made when somebody asks for it first.

    Raises:
        pytest.UsageError: the settings make no sense.
    """
    if _DISCOVERY not in config.stash:
        from pytest_gpudiscover.plugin.settings import Settings

        config.stash[_DISCOVERY] = SessionDiscovery(Settings.of(config))
    return config.stash[_DISCOVERY]


def known_report(config: pytest.Config) -> Report | None:
    """What this process has discovered; None when it has not, so far."""
    return config.stash[_DISCOVERY].known() if _DISCOVERY in config.stash else None


@pytest.fixture(scope="session")
def gpu_engine(pytestconfig: pytest.Config) -> Discovery:
    """The session's `Discovery`, for asynchronous tests: `await gpu_engine.devices()`.

    Nothing is discovered until then. Its first call discovers, later ones refresh the free memory.
    """
    return session_discovery(pytestconfig).engine


@pytest.fixture(scope="session")
def gpu_discovery(pytestconfig: pytest.Config) -> Report:
    """What the discovery found, whatever it says: devices, rejections with reasons, probes."""
    from pytest_gpudiscover.errors import GpuDiscoverError

    try:
        return session_discovery(pytestconfig).report()
    except GpuDiscoverError as error:
        problem = f"GPU discovery cannot run: {error}"
    pytest.fail(problem, pytrace=False)


@pytest.fixture(scope="session")
def gpu_devices(gpu_discovery: Report, pytestconfig: pytest.Config) -> tuple[DeviceInfo, ...]:
    """The usable devices, one or more.

    Without any the test is skipped, with the reasons; under `--gpudiscover-strict` it fails.
    """
    if gpu_discovery.devices:
        return gpu_discovery.devices
    from pytest_gpudiscover.explaining import why_none

    reason = why_none(gpu_discovery)
    if session_discovery(pytestconfig).settings.strict:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
