"""What a machine must have (`--gpudiscover-require`), or no test runs and the run fails."""

from __future__ import annotations

import platform
import sys

import pytest

from pytest_gpudiscover.errors import GpuDiscoverError
from pytest_gpudiscover.explaining import reasons_against
from pytest_gpudiscover.plugin.discovering import session_discovery
from pytest_gpudiscover.plugin.distributing import answers_for_its_host
from pytest_gpudiscover.plugin.options import value
from pytest_gpudiscover.plugin.refusing import Unmet
from pytest_gpudiscover.plugin.reporting import reporting
from pytest_gpudiscover.plugin.settings import Settings


def insist(session: pytest.Session) -> None:
    """Discover, and let no test run where something that is required is not there.

    Raises:
        pytest.Session.Failed: so it is, here; a remote worker lets its tests fail, and says why.
    """
    config = session.config
    if not answers_for_its_host(config) or config.option.collectonly or config.option.setupplan:
        return
    if not (reasons := _reasons(config)):
        return
    reasons[0] = f"--gpudiscover-require {value(config, 'require')}: {reasons[0]}"
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(_Failing(f"{'; '.join(reasons)} (on {platform.node()})"))
        return
    reporting(config).unmet = reasons
    _tell(config, reasons)
    raise session.Failed(reasons[0])


def _tell(config: pytest.Config, reasons: list[str]) -> None:
    # At once, and in no summary: that may be switched off, and a red run must say why it is.
    terminal: pytest.TerminalReporter | None = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is None:
        sys.stderr.write(f"ERROR: gpudiscover: {'; '.join(reasons)}\n")
        return
    terminal.section("the GPUs that this run requires are not there", red=True)
    for reason in reasons:
        terminal.write_line(reason, red=True)


def _reasons(config: pytest.Config) -> list[str]:
    """Why what is required is not there, each a line; none when it is."""
    try:
        return reasons_against(Settings.of(config).require, session_discovery(config).seen())
    except GpuDiscoverError as error:
        return [f"GPU discovery cannot run: {error}"]


class _Failing:
    """Lets every test of a remote worker fail, whatever it needs: its host is not what the run requires."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        raise Unmet(self._reason)
