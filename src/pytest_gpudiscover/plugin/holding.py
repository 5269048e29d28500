"""What one test holds, from its first line until after its last, and what its reports tell of that."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from typing import Any

import pytest

from pytest_gpudiscover.devices import DeviceID, DeviceInfo
from pytest_gpudiscover.leasing.cards import card_name
from pytest_gpudiscover.leasing.leases import Lease
from pytest_gpudiscover.plugin import health
from pytest_gpudiscover.plugin.discovering import SessionDiscovery

_NAME = "gpudiscover-holding"


class Holding:
    """What one test holds.

    Args:
        session: the session's discovery.
        lease: the devices.
        test: the test's id.
        waited: seconds it took to get them.
    """

    def __init__(self, session: SessionDiscovery, lease: Lease, test: str, waited: float) -> None:
        self._session = session
        self._lease = lease
        self._test = test
        self._since = time.monotonic()
        self._free: Mapping[DeviceID, int] = {}
        self._ran = self._failed = False
        self._told: dict[str, Any] = {"devices": list(map(_named, lease.devices)), "waited": waited}

    def begin(self) -> None:
        """Note how much memory is free, if anybody wants to know."""
        # What others take of a card that is shared cannot be told from what this test leaves behind.
        if self._session.settings.memory != "off" and self._lease.memory is None:
            self._free = self._session.free_memory(self._lease.devices)

    def note(self, call: pytest.CallInfo[None]) -> None:
        """Note how a phase of the test ended."""
        raised = call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception)
        self._ran = self._ran or raised or call.when == "call"
        self._failed = self._failed or raised

    def end(self) -> None:
        """See what the test left behind, and give the devices back; where it was interrupted, just that."""
        try:
            if self._failed and self._session.settings.recheck == "failed":
                self._recheck()
            if self._ran and self._free:
                self._look_at_memory()
        finally:
            self._told["held"] = time.monotonic() - self._since
            self._lease.release()

    def told(self) -> dict[str, Any]:
        """What is known so far, fit for JSON: see docs/plugin.md."""
        return dict(self._told)

    def _recheck(self) -> None:
        for device in self._lease.devices:
            if rejection := health.lost(self._session, device, f"{self._test} failed"):
                entry = _named(device) | {"detail": rejection.detail}
                self._told.setdefault("quarantined", []).append(entry)

    def _look_at_memory(self) -> None:
        left = health.memory_left(self._session, self._free, self._lease.devices)
        if left:
            self._told["memory_left"] = [
                _named(device) | {"bytes": left[device.device_id]}
                for device in self._lease.devices
                if device.device_id in left
            ]


def _named(device: DeviceInfo) -> dict[str, Any]:
    return {
        "library": device.library,
        "id": device.id,
        "description": device.description,
        "card": card_name(device),
    }


_HOLDING = pytest.StashKey[Holding]()


def hold(item: pytest.Item, holding: Holding) -> None:
    """Tell with the reports of a test what it holds."""
    watch(item.config)
    item.stash[_HOLDING] = holding


def watch(config: pytest.Config) -> None:
    """Follow the tests of this run. Once is enough, more does no harm."""
    if not config.pluginmanager.has_plugin(_NAME):
        config.pluginmanager.register(_Watching(), _NAME)


class _Watching:
    """Per-test hooks, registered only when a test holds something."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        holding = item.stash.get(_HOLDING, None)
        if holding is not None:
            holding.note(call)
            report.gpudiscover = holding.told()  # type: ignore[attr-defined]
            if call.when == "teardown":
                del item.stash[_HOLDING]  # a plugin may run the test again
        return report
