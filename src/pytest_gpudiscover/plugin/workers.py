"""Workers of pytest-xdist: as many as there are devices, and one device each for their lives."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.errors import InstallationError, LeaseError, LeaseTimeoutError
from pytest_gpudiscover.explaining import in_one_line
from pytest_gpudiscover.leasing.cards import card_name
from pytest_gpudiscover.leasing.leases import Lease
from pytest_gpudiscover.leasing.reach import everything_listed, within_reach
from pytest_gpudiscover.leasing.showing import lease_env
from pytest_gpudiscover.plugin.discovering import SessionDiscovery, session_discovery
from pytest_gpudiscover.plugin.leasing import OWN, obtained
from pytest_gpudiscover.plugin.marking import requirement_of
from pytest_gpudiscover.plugin.settings import Settings
from pytest_gpudiscover.plugin.sharing import NEIGHBOURS
from pytest_gpudiscover.requirements import Requirement
from pytest_gpudiscover.text import count

if TYPE_CHECKING:
    from execnet import XSpec


def auto_workers(config: pytest.Config) -> int | None:
    """How many workers `-n auto` means; None when that is not for us to say."""
    if Settings.of(config).workers == "share" or os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
        return None
    session = session_discovery(config)
    try:
        return max(1, len(_cards(_eligible(session, within_reach(session.report()).devices))))
    except InstallationError:
        return 1  # the tests say it, each with its own name


def _is_here(spec: XSpec) -> bool:
    """Whether a worker sees what its controller sees."""
    return bool(spec.popen) and not spec.via and not spec.env


def check_workers(config: pytest.Config, specs: Sequence[XSpec]) -> None:
    """Refuse more workers than this host has devices, if each is to own one.

    Raises:
        pytest.UsageError: there are more.
    """
    if Settings.of(config).workers != "own":
        return
    with contextlib.suppress(InstallationError):
        if problem := _surplus(session_discovery(config), sum(map(_is_here, specs))):
            raise pytest.UsageError(problem)


def _surplus(session: SessionDiscovery, workers: int) -> str | None:
    """Say so when there are more workers than devices; a host without any can have as many as it likes."""
    devices = _eligible(session, within_reach(session.report()).devices)
    if not 0 < len(_cards(devices)) < workers:
        return None
    return (
        f"gpudiscover_workers = own gives each worker a device for itself: got {count(workers, 'worker')} on "
        f"{platform.node()}, which has {in_one_line(devices)}; -n auto starts one worker for each"
    )


def _eligible(session: SessionDiscovery, devices: Iterable[DeviceInfo]) -> tuple[DeviceInfo, ...]:
    """The devices that workers are counted by and given: those of a kind that the run requires."""
    required = session.settings.require or (Requirement(),)
    return tuple(
        device for device in devices if not all(requirement.shortcomings(device) for requirement in required)
    )


def _cards(devices: Iterable[DeviceInfo]) -> set[str]:
    return {card_name(device) for device in devices}


def own_device(config: pytest.Config) -> None:
    """Give an xdist worker a device for its life, and show nothing else to this process.

    A worker that gets none though its host has some ends the run: it must not share one. Where the host has
    none, or has lost what it had, the tests say so, one by one.
    """
    if Settings.of(config).workers != "own":
        return
    worker: dict[str, Any] = config.workerinput  # type: ignore[attr-defined]
    session = session_discovery(config)
    try:
        reason = _surplus(session, worker.get(NEIGHBOURS, 1))
        if reason is None:
            _give(config, session, _taken(config, session, worker))
    except InstallationError:
        return  # the tests say it, each with its own name
    except LeaseError as error:
        reason = str(error)
    if reason is not None:
        stop = _Stop(f"gpudiscover: worker {worker['workerid']} gets no device: {reason}")
        config.pluginmanager.register(stop)


def _taken(config: pytest.Config, session: SessionDiscovery, worker: Mapping[str, Any]) -> Lease | None:
    """Wait for a device that is well; None where none is left.

    Raises:
        LeaseError: others hold all there is.
    """
    who = f"worker {worker['workerid']} of pytest-xdist"
    while devices := _eligible(session, session.seen().devices):
        # Where devices were lost, those that are left may have owners already, who keep them.
        enough = len(_cards(devices)) >= worker.get(NEIGHBOURS, 1)
        timeout = session.settings.lease_timeout if enough else 0.0
        try:
            lease = obtained(config, Requirement(), devices, share=False, who=who, timeout=timeout)
        except LeaseTimeoutError:
            if enough:
                raise
            return None
        if lease is not None:
            return lease
    return None


def _give(config: pytest.Config, session: SessionDiscovery, lease: Lease | None) -> None:
    if lease is None:
        session.own = ()
        os.environ.update(lease_env((), everything_listed(session.report()), session.masks))
        return
    config.add_cleanup(lease.release)
    lease.activate()
    session.own = lease.devices
    config.stash[OWN] = lease
    config.pluginmanager.register(_Owner(lease))


class _Owner:
    """Lends a worker's device to each of its GPU tests, whether or not they name `gpu_lease`.

    So their reports tell what they ran on, and the device is verified when one of them has failed.
    """

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        # After the last fixture's end, and no later: a worker that takes five more seconds, say for its
        # summary, is interrupted by execnet, and is not even unconfigured.
        self._lease.release()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            names = getattr(item, "fixturenames", None)
            if names is None or "gpu_lease" in names:
                continue
            if "gpu_devices" in names or requirement_of(item):
                item.fixturenames = ["gpu_lease", *names]  # type: ignore[attr-defined]


class _Stop:
    """Ends a worker before it collects tests, and the run with it."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        # A worker that raises while it is configured is replaced, again and again; this ends the run.
        session.shouldfail = self._reason
        raise session.Failed(self._reason)
