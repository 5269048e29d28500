"""A suite with GPU tests on a simulated machine, run in a process of its own beside other plugins."""

from __future__ import annotations

from pathlib import Path

import pytest

from company import SUITE, Run
from pytest_gpudiscover.simulation import FakeHost


@pytest.fixture
def machine(tmp_path: Path) -> FakeHost:
    """A machine with two GPUs."""
    return FakeHost.of("L4", "L4").save(tmp_path / "host.json")


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, machine: FakeHost) -> Run:
    """Run the suite on that machine; every warning is an error."""
    pytester.makepyfile(test_suite=SUITE)
    monkeypatch.setenv("GPUDISCOVER_RUNNER", "fake")
    monkeypatch.setenv("GPUDISCOVER_HOST", str(machine.path))
    monkeypatch.setenv("GPUDISCOVER_LEASES", str(pytester.path / "leases"))
    return lambda *options: pytester.runpytest_subprocess("-Werror", *options, timeout=120)


@pytest.fixture
def run_beside(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the suite with two plugins alone, ours and the one that is named first."""

    def run_beside(neighbour: str, *options: str) -> pytest.RunResult:
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        return run("-p", "gpudiscover", "-p", neighbour, *options)

    return run_beside
