"""What suites in pytest runs of their own share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_gpudiscover.simulation import FakeHost

if TYPE_CHECKING:
    import pytest


def on(host: FakeHost, directory: Path) -> list[str]:
    """The options that give a run this machine."""
    saved = host.save(directory / "machine.json")
    return ["--gpudiscover-runner=fake", f"--gpudiscover-host={saved.path}"]


def with_ini(pytester: pytest.Pytester, *lines: str) -> None:
    """Give the runs of a test an ini file with these lines."""
    pytester.makeini("\n".join(["[pytest]", *lines]))


def pytest_alone(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    """Run pytest in a process of its own, with warnings as errors, in the plugin as well."""
    return pytester.run(sys.executable, "-W", "error", "-m", "pytest", "-p", "no:cacheprovider", *options)
