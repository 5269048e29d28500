"""The pytest plugin. Every run of pytest loads it: nothing here may cost anything until it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_gpudiscover.plugin.discovering import (
    chosen,
    gpu_devices,
    gpu_discovery,
    gpu_engine,
    session_discovery,
)
from pytest_gpudiscover.plugin.settings import Settings, add_options
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
    import pytest

__all__ = [
    "FakeGpuHosts",
    "crashing_gpu_host",
    "duplicate_gpu_host",
    "fake_gpu_host",
    "gpu_devices",
    "gpu_discovery",
    "gpu_engine",
    "gpu_host",
    "integrated_gpu_host",
    "slow_gpu_host",
]

_DISCOVERING_FIXTURES = frozenset({"gpu_devices", "gpu_discovery"})


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, and an ini key for each."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse settings that make no sense before anything runs."""
    settings = Settings.of(config)
    if settings.runner == "fake" or settings.library_root is not None or settings.host is not None:
        chosen(settings)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name the machines of `gpu_host` so that the ids of tests can be read."""
    return id_of_machine(val) if argname == "gpu_host" else None


def pytest_report_collectionfinish(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    """Name the devices before the first test, if any test of this run asks for them."""
    if config.option.collectonly or config.get_verbosity() < 0:
        return []
    if not any(_DISCOVERING_FIXTURES.intersection(getattr(item, "fixturenames", ())) for item in items):
        return []
    from pytest_gpudiscover.errors import GpuDiscoverError
    from pytest_gpudiscover.explaining import in_one_line

    try:
        devices = session_discovery(config).report().devices
    except GpuDiscoverError:
        return []  # the tests that ask will say it, each with its own name
    return [f"gpudiscover: {in_one_line(devices)}"] if devices else []
