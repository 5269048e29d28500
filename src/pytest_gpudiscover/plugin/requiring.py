"""What a machine must have (`--gpudiscover-require`), or no test runs and the run fails."""

from __future__ import annotations

import platform
import sys

import pytest

from pytest_gpudiscover.errors import GpuDiscoverError, RequirementError
from pytest_gpudiscover.explaining import why_not_all
from pytest_gpudiscover.plugin.discovering import session_discovery
from pytest_gpudiscover.plugin.distributing import answers_for_its_host
from pytest_gpudiscover.plugin.refusing import Unmet
from pytest_gpudiscover.plugin.reporting import reporting
from pytest_gpudiscover.plugin.settings import Settings
from pytest_gpudiscover.requirements import Requirement


def requirements(config: pytest.Config) -> list[Requirement]:
    """What must be there.

    Raises:
        pytest.UsageError: it cannot be read.
    """
    try:
        return [Requirement.parse(text) for text in Settings.of(config).require]
    except RequirementError as error:
        raise pytest.UsageError(f"gpudiscover_require: {error}") from error


def insist(session: pytest.Session) -> None:
    """Discover, and let no test run where something that is required is not there.

    Raises:
        pytest.Session.Failed: so it is, here; a remote worker lets its tests fail, and says why.
    """
    config = session.config
    if not answers_for_its_host(config) or config.option.collectonly or config.option.setupplan:
        return
    if not (lacking := _lacking(config)):
        return
    reason = f"--gpudiscover-require {','.join(Settings.of(config).require)}: {lacking}"
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(_Failing(f"{reason} (on {platform.node()})"))
        return
    reporting(config).unmet = reason
    if not config.pluginmanager.has_plugin("terminalreporter"):
        sys.stderr.write(f"ERROR: gpudiscover: {reason}\n")
    raise session.Failed(reason)


def _lacking(config: pytest.Config) -> str:
    try:
        return why_not_all(requirements(config), session_discovery(config).report())
    except GpuDiscoverError as error:
        return f"GPU discovery cannot run: {error}"


class _Failing:
    """Lets every test of a remote worker fail, whatever it needs: its host is not what the run requires."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        raise Unmet(self._reason)
