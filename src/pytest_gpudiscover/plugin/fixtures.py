"""The fixtures that find and hold GPUs. Every run of pytest loads this module: their bodies are elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_gpudiscover.devices import DeviceInfo
    from pytest_gpudiscover.engine import Discovery
    from pytest_gpudiscover.leasing.leases import Lease
    from pytest_gpudiscover.reports import Report


@pytest.fixture(scope="session")
def gpu_engine(pytestconfig: pytest.Config) -> Discovery:
    """The session's `Discovery`, for asynchronous tests: `await gpu_engine.devices()`.

    Its first call discovers, later ones refresh the free memory. Where the run has discovered before, as
    always in a worker of pytest-xdist, the first call refreshes as well.
    """
    from pytest_gpudiscover.plugin.discovering import session_engine

    return session_engine(pytestconfig)


@pytest.fixture(scope="session")
def gpu_discovery(pytestconfig: pytest.Config) -> Report:
    """What the discovery found, whatever it says: devices, rejections with reasons, probes."""
    from pytest_gpudiscover.plugin.discovering import session_report

    return session_report(pytestconfig)


@pytest.fixture(scope="session")
def gpu_devices(pytestconfig: pytest.Config) -> tuple[DeviceInfo, ...]:
    """The usable devices, one or more; in a worker that owns one, that one.

    Without any the test is skipped, with the reasons; under `--gpudiscover-strict` it fails.
    """
    from pytest_gpudiscover.plugin.discovering import devices_or_refusal

    return devices_or_refusal(pytestconfig)


@pytest.fixture
def gpu_lease(request: pytest.FixtureRequest) -> Iterator[Lease]:
    """Devices that this test holds until it has ended: those its `gpu` marker asks for, or else one.

    `gpu_lease.devices`, `gpu_lease.env` (the masks that show just those) and `gpu_lease.torch_devices`.
    """
    from pytest_gpudiscover.plugin.leasing import leased

    with leased(request.node) as lease:
        yield lease
