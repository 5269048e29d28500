"""The fixtures of the hardware suite, and what it tells at its end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.errors import GpuDiscoverError
from pytest_gpudiscover.explaining import why_none
from pytest_gpudiscover.hardware.machine import Machine
from pytest_gpudiscover.hardware.timing import timings
from pytest_gpudiscover.plugin.discovering import session_discovery
from pytest_gpudiscover.plugin.refusing import refuse

_MACHINE = pytest.StashKey[Machine]()


@pytest.fixture(scope="session")
def machine(pytestconfig: pytest.Config) -> Machine:
    """This machine; where discovery cannot run, the test fails."""
    if _MACHINE not in pytestconfig.stash:
        pytestconfig.stash[_MACHINE] = Machine(pytestconfig)
    return pytestconfig.stash[_MACHINE]


@pytest.fixture
def device(machine: Machine, request: pytest.FixtureRequest) -> DeviceInfo:
    """Each usable device in turn; without any the test is skipped, and under strict fails."""
    found: DeviceInfo | None = request.param
    return found or refuse(request.config, why_none(machine.report))


@pytest.fixture
def held_device(machine: Machine, device: DeviceInfo) -> Iterator[DeviceInfo]:
    """Each usable device in turn, of which the test holds the lease."""
    with machine.held(device):
        yield device


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each device: a discovery is worth it, since the suite is about nothing else."""
    if "device" not in metafunc.fixturenames:
        return
    devices = _devices(metafunc.config)
    ids = [f"{device.library}-{device.id}" for device in devices] or ["none"]
    metafunc.parametrize("device", devices or [None], indirect=True, ids=ids)


def _devices(config: pytest.Config) -> tuple[DeviceInfo, ...]:
    try:
        return session_discovery(config).seen().devices
    except GpuDiscoverError:
        return ()  # the tests say it, each with its own name


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show what tests have measured, and how long each probe took."""
    machine = config.stash.get(_MACHINE, None)
    if machine is None:
        return
    if machine.notes:
        terminalreporter.section("measured")
    for note in machine.notes:
        terminalreporter.write_line(note)
    terminalreporter.section("the probes of this run's discovery")
    for line in timings(machine.report):
        terminalreporter.write_line(line)
