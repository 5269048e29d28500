"""The marker: one that makes no sense ends the run; where it cannot be met, the test is skipped or fails."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Any

import pytest

from pytest_gpudiscover.errors import GpuDiscoverError, RequirementError
from pytest_gpudiscover.plugin.asked import Asked
from pytest_gpudiscover.plugin.discovering import session_discovery
from pytest_gpudiscover.plugin.distributing import REFUSED
from pytest_gpudiscover.plugin.options import SIGNATURE
from pytest_gpudiscover.plugin.refusing import Unmet, refuse
from pytest_gpudiscover.plugin.reporting import LEARNED, learned, note, reporting
from pytest_gpudiscover.plugin.settings import Settings

_ASKED = pytest.StashKey[Asked | None]()
_NAME = "gpudiscover-selection"


def requirement_of(item: pytest.Item) -> Asked | None:
    """What a test's marker asks for; None when it has none.

    The nearest marker decides alone: a parameter's, the function's, its class's, its module's. Of several
    on one of those it is the one applied last.

    Raises:
        RequirementError: its arguments make no sense.
    """
    if _ASKED not in item.stash:
        mark = _nearest(item, Settings.of(item.config).marker)
        item.stash[_ASKED] = Asked.by(mark) if mark else None
    return item.stash[_ASKED]


def _nearest(item: pytest.Item, name: str) -> pytest.Mark | None:
    found = list(item.iter_markers_with_node(name))
    return [mark for node, mark in found if node is found[0][0]][-1] if found else None


def look_after(session: pytest.Session) -> None:
    """Read the markers of the tests that were collected, and select when those tests run.

    Raises:
        pytest.UsageError: a marker makes no sense.
        pytest.Session.Failed: the same in an xdist worker, whose controller tells it.
    """
    _refuse(session, _problems(session.items))
    option = session.config.option
    if not option.collectonly and not option.setupplan:
        watch(session.config)


def watch(config: pytest.Config) -> None:
    """Select tests, and note with their reports what they need and had. Once is enough, more does no harm."""
    if not config.pluginmanager.has_plugin(_NAME):
        config.pluginmanager.register(_Selection(), _NAME)
    if not hasattr(config, "workerinput"):
        reporting(config)


def _problems(items: Iterable[pytest.Item]) -> dict[str, list[str]]:
    """What is wrong with markers, each with the ids of the tests it is wrong on."""
    problems: dict[str, list[str]] = {}
    for item in items:
        try:
            _prepare(item)
        except RequirementError as error:
            problems.setdefault(str(error), []).append(item.nodeid)
    return problems


def _prepare(item: pytest.Item) -> None:
    asked = requirement_of(item)
    if asked is None or not asked.exclusive:
        return
    names: list[str] | None = getattr(item, "fixturenames", None)
    if names is None:
        raise RequirementError("exclusive: expected a test that can use fixtures, got another kind of item")
    if "gpu_lease" not in names:
        # First of all, so that no other fixture uses a GPU before; a new list, since tests share theirs.
        item.fixturenames = ["gpu_lease", *names]  # type: ignore[attr-defined]


def _refuse(session: pytest.Session, problems: dict[str, list[str]]) -> None:
    if not problems:
        return
    name = Settings.of(session.config).marker
    lines = [f"{_ids(ids)}: @pytest.mark.{name}: {problem}" for problem, ids in problems.items()]
    lines.append(
        f"gpudiscover: expected @pytest.mark.{name}({SIGNATURE}). "
        "Where this marker is not ours, give ours another name with gpudiscover_marker in the ini file."
    )
    if (output := getattr(session.config, "workeroutput", None)) is None:
        raise pytest.UsageError(*lines)
    # A usage error in a worker looks like a crash of it, so the controller raises it in its stead.
    output[REFUSED] = lines
    raise session.Failed(lines[0])


def _ids(ids: Sequence[str]) -> str:
    return ids[0] if len(ids) == 1 else f"{ids[0]} and {len(ids) - 1} more"


class _Selection:
    """Per-test hooks, registered only when a test of this run is concerned."""

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        # pytest's own skip and xfail marks come before this hook, as tryfirst; every fixture comes after it.
        if (asked := requirement_of(item)) is None:
            return
        try:
            reason = session_discovery(item.config).unmet(asked.requirement)
        except GpuDiscoverError as error:
            raise Unmet(f"GPU discovery cannot run: {error}") from error
        if reason:
            refuse(item.config, reason, in_hook_of=item)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if call.excinfo is not None and call.excinfo.errisinstance(Unmet) and not report.failed:
            # No xfail mark expects that the machine has lost its GPU.
            report.outcome = "failed"
            del report.wasxfail
        asked = requirement_of(item)
        note(report, str(asked.requirement) if asked else None)
        return report

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[LEARNED] = learned(session.config)
