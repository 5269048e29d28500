"""The pytest plugin. Every run of pytest loads it: nothing here may cost anything until it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gpudiscover.plugin.fixtures import gpu_devices, gpu_discovery, gpu_engine, gpu_lease
from pytest_gpudiscover.plugin.options import SIGNATURE, add_options, given, left_empty, marker_name, value
from pytest_gpudiscover.plugin.simulating import (
    FakeGpuHosts,
    crashing_gpu_host,
    duplicate_gpu_host,
    fake_gpu_host,
    gpu_host,
    id_of_machine,
    integrated_gpu_host,
    slow_gpu_host,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from execnet import XSpec
    from xdist.workermanage import WorkerController  # type: ignore[import-untyped]

__all__ = [
    "FakeGpuHosts",
    "crashing_gpu_host",
    "duplicate_gpu_host",
    "fake_gpu_host",
    "gpu_devices",
    "gpu_discovery",
    "gpu_engine",
    "gpu_host",
    "gpu_lease",
    "integrated_gpu_host",
    "slow_gpu_host",
]

_DISCOVERING = frozenset({"gpu_devices", "gpu_discovery", "gpu_lease"})
"""The fixtures that discover as soon as a test asks for them."""
_OURS = _DISCOVERING | {"gpu_engine"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, and an ini key for each."""
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, refuse settings that make no sense, and give a worker its own device."""
    meaning = "skip the test, or with --gpudiscover-strict fail it, unless there are such GPUs"
    config.addinivalue_line("markers", f"{marker_name(config)}({SIGNATURE}): {meaning}")
    if given(config) or left_empty(config, "require"):
        from pytest_gpudiscover.plugin.settings import check

        check(config)
    if value(config, "hardware"):
        from pytest_gpudiscover.plugin.hardware import add_suite

        add_suite(config)
    if value(config, "workers") and hasattr(config, "workerinput"):
        from pytest_gpudiscover.plugin.workers import own_device

        own_device(config)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name the machines of `gpu_host` so that the ids of tests can be read."""
    return id_of_machine(val) if argname == "gpu_host" else None


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what is set of ours."""
    if not given(config):
        return []
    from pytest_gpudiscover.plugin.reporting import header

    return header(config)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Look for the GPUs that the run requires, before a test is collected."""
    if given(session.config).get("require"):
        from pytest_gpudiscover.plugin.requiring import insist

        insist(session)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Look after the tests that need GPUs, if there are any."""
    if _concerned(session.config, session.items, _OURS):
        from pytest_gpudiscover.plugin.marking import look_after

        look_after(session)
        if not session.config.option.collectonly:
            from pytest_gpudiscover.plugin.sharing import run_folder

            run_folder(session.config).join()


def pytest_report_collectionfinish(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    """Name the devices before the first test, if any test of this run asks for them."""
    unseen = config.option.collectonly or config.get_verbosity() < 0 or hasattr(config, "workerinput")
    if unseen or not _concerned(config, items, _DISCOVERING):
        return []
    from pytest_gpudiscover.errors import GpuDiscoverError
    from pytest_gpudiscover.explaining import in_one_line
    from pytest_gpudiscover.plugin.discovering import session_discovery

    try:
        devices = session_discovery(config).seen().devices
    except GpuDiscoverError:
        return []  # the tests that ask will say it, each with its own name
    return [f"gpudiscover: {in_one_line(devices)}"] if devices else []


def _concerned(config: pytest.Config, items: Iterable[pytest.Item], fixtures: frozenset[str]) -> bool:
    marker = marker_name(config)
    # Keywords are a cheap first look at every test: a directory, or a class, may be called as our marker is.
    return any(
        not fixtures.isdisjoint(getattr(item, "fixturenames", ()))
        or (marker in item.keywords and item.get_closest_marker(marker))
        for item in items
    )


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Start as many workers as there are devices, if that was asked for."""
    if not value(config, "workers"):
        return None
    from pytest_gpudiscover.plugin.workers import auto_workers

    return auto_workers(config)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config, specs: Sequence[XSpec]) -> None:
    """Gather what the tests of xdist's workers tell."""
    from pytest_gpudiscover.plugin.distributing import prepare

    prepare(config, specs)
    if value(config, "workers"):
        from pytest_gpudiscover.plugin.workers import check_workers

        check_workers(config, specs)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Tell a worker what it cannot see for itself."""
    from pytest_gpudiscover.plugin.distributing import send
    from pytest_gpudiscover.plugin.sharing import introduce

    send(node)
    introduce(node)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: WorkerController) -> None:
    """Take over what a worker has found out."""
    from pytest_gpudiscover.plugin.distributing import receive

    receive(node)
