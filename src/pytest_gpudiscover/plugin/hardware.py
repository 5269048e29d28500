"""What a run collects that was asked for the hardware suite (`--gpudiscover-hardware`)."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import pytest

from pytest_gpudiscover.plugin.settings import Settings

SUITE = Path(__file__).parent.parent / "hardware"


def add_suite(config: pytest.Config) -> None:
    """Collect the suite: alone, or after the paths that the command line names.

    Raises:
        pytest.UsageError: the suite cannot run like this.
    """
    settings = Settings.of(config)
    if not settings.hardware:
        return
    if settings.runner == "fake":
        raise pytest.UsageError("gpudiscover_hardware: expected a runner that asks real GPUs, got 'fake'")
    if config.getoption("dist", default="no") != "no":
        raise pytest.UsageError(
            "gpudiscover_hardware: its tests measure the same GPUs, and would disturb each other in several"
            " workers: expected -n0"
        )
    if "s" not in config.option.reportchars:
        config.option.reportchars += "s"  # what was skipped, and why, is what this run is to tell
    named = config.args if config.args_source is pytest.Config.ArgsSource.ARGS else []
    config.args = [*named, *map(str, _places(config))]


def _places(config: pytest.Config) -> list[Path]:
    """The suite's directory, or each of its files where the project calls its own otherwise."""
    usual = any(fnmatch("test_memory.py", pattern) for pattern in config.getini("python_files"))
    return [SUITE] if usual else sorted(SUITE.glob("test_*.py"))
