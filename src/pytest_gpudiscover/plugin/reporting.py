"""What is told of a run: its header, the properties of tests, the summary at its end, the report file."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.explaining import in_one_line
from pytest_gpudiscover.leasing.cards import card_name
from pytest_gpudiscover.plugin import report_file
from pytest_gpudiscover.plugin.discovering import known_report, session_discovery
from pytest_gpudiscover.plugin.ledger import Ledger
from pytest_gpudiscover.plugin.options import given
from pytest_gpudiscover.plugin.settings import Settings
from pytest_gpudiscover.plugin.summary import name_of, table, troubles
from pytest_gpudiscover.text import printable

SCHEMA = 1
"""The version of the report file; it grows only when an existing key changes its meaning."""
LEARNED = "gpudiscover_learned"
"""The key of an xdist worker's output for what it has discovered, and knows to be lost."""

_NAME = "gpudiscover-reporting"


def header(config: pytest.Config) -> list[str]:
    """What is set of ours, and the devices where this process knows them already."""
    said = [
        key if key in ("strict", "hardware") else f"{key.replace('_', '-')} {printable(text, 120)}"
        for key, text in given(config).items()
    ]
    devices = session_discovery(config).seen().devices if known_report(config) else ()
    named = [f"gpudiscover: {in_one_line(devices)}"] if devices else []
    return [f"gpudiscover: {', '.join(said)}", *named]


def note(report: pytest.TestReport, needs: str | None) -> None:
    """Put with a test's report what it needs and where it ran, and as properties the devices that it held."""
    had: dict[str, Any] | None = getattr(report, "gpudiscover", None)
    if had is None and needs is None:
        return
    facts = {"host": platform.node()} | ({"needs": needs} if needs else {}) | (had or {})
    report.gpudiscover = facts  # type: ignore[attr-defined]
    if facts.get("devices"):
        report.user_properties += _properties(facts)


def _properties(facts: dict[str, Any]) -> Iterator[tuple[str, object]]:
    devices = facts["devices"]
    yield "gpu_devices", ", ".join(f"{device['library']} {device['id']}" for device in devices)
    yield "gpu_names", ", ".join(name_of(device) for device in devices)
    for key in ("waited", "held"):
        if facts.get(key) is not None:
            yield f"gpu_{key}", round(facts[key], 3)


def learned(config: pytest.Config) -> dict[str, Any]:
    """What this process has discovered, and knows to be lost since, as both stand in the report file."""
    if (report := known_report(config)) is None:
        return {}
    host = {"host": platform.node()}
    quarantined = session_discovery(config).quarantined().values()
    return {
        "discovery": host | report.to_json(),
        "lost": [
            host | _lost(rejection.device, rejection.detail) for rejection in quarantined if rejection.device
        ],
    }


def _lost(device: DeviceInfo, detail: str) -> dict[str, Any]:
    return {
        "library": device.library,
        "id": device.id,
        "description": device.description,
        "card": card_name(device),
        "detail": detail,
    }


def reporting(config: pytest.Config) -> Reporting:
    """The run's one `Reporting`, registered when somebody asks for it first."""
    if not config.pluginmanager.has_plugin(_NAME):
        config.pluginmanager.register(Reporting(config), _NAME)
    found = config.pluginmanager.get_plugin(_NAME)
    assert isinstance(found, Reporting)
    return found


class Reporting:
    """Gathers what the tests' reports tell, in a plain run or in the controller of xdist's workers.

    Attributes:
        unmet: why no test ran (`--gpudiscover-require`), a line each; empty when they did.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.unmet: list[str] = []
        self._config = config
        self._ledger = Ledger()
        self._discoveries: list[dict[str, Any]] = []
        self._failure = ""

    def learn(self, known: dict[str, Any]) -> None:
        """Add what a process knows at its end. Workers of one host share one discovery: it counts once."""
        if known and known["discovery"] not in self._discoveries:
            self._discoveries.append(known["discovery"])
        self._ledger.lost += known.get("lost", [])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather what one phase of a test tells."""
        worker = getattr(getattr(report, "node", None), "gateway", None)
        facts = getattr(report, "gpudiscover", None)
        entry = self._ledger.entry(report.nodeid, worker.id if worker else "", str(report.when), facts)
        if entry is None:
            return
        if outcome := self._outcome(report):
            entry["outcome"] = outcome
        if report.skipped and isinstance(report.longrepr, tuple):
            entry["reason"] = report.longrepr[2].removeprefix("Skipped: ")

    def _outcome(self, report: pytest.TestReport) -> str:
        """What pytest calls it: `error` before and after the test itself, and "" where all is well there."""
        status = self._config.hook.pytest_report_teststatus(report=report, config=self._config)
        return str(status[0]) if status else report.outcome  # with -p no:terminal hardly anybody knows

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the report file."""
        self.learn(learned(self._config))
        path = Settings.of(self._config).report
        if path is None or self._config.option.collectonly:
            return
        try:
            report_file.write(Path(path), self._document(int(session.exitstatus)))
        except OSError as error:
            self._failure = f"the report could not be written: {error}"
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED

    def _document(self, exit_status: int) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "exit_status": exit_status,
            "settings": given(self._config),
            "unmet": self.unmet,
            "discoveries": self._discoveries,
            "tests": self._ledger.tests,
            "devices": [use.to_json() for use in self._ledger.devices()],
            "quarantined": self._ledger.quarantined(),
        }

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what the devices did, and what is wrong; with -q only what is wrong."""
        width = self._config.get_terminal_writer().fullwidth
        rows = list(table(self._ledger, width)) if self._config.get_verbosity() >= 0 else []
        wrong = [*troubles(self._ledger), *([self._failure] if self._failure else [])]
        if rows or wrong:
            terminalreporter.section("GPU leases")
        for row in rows:
            terminalreporter.write_line(row)
        for line in wrong:
            terminalreporter.write_line(line, red=True)
