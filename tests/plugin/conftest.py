"""Simulated machines to run pytest on."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator

import pytest

from labs import Lab
from pytest_gpudiscover.simulation import FakeHost

_LATE = """
    choosing installations.ollama plugin.distributing plugin.holding plugin.leasing plugin.marking
    plugin.report_file plugin.reporting plugin.requiring probing.http probing.runners simulation.installation
    simulation.troubled
"""
# Imported only when needed. pytester forgets what a run in this process has imported: each would do it again,
# which takes longer than the rest of most.
for _name in ("fake_runner.triggers", "psutil", *(f"pytest_gpudiscover.{name}" for name in _LATE.split())):
    importlib.import_module(_name)


@pytest.fixture(autouse=True)
def _only_the_plugins_that_matter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs within these tests start in half the time without the others; tests/beside is where those are."""
    if "pytester" in request.fixturenames:
        request.getfixturevalue("pytester")  # it forgets the options of the run around it
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p gpudiscover -p xdist")


@pytest.fixture
def lab_of(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Lab]]:
    """Builds a machine of these cards, or of a host, and a directory to run pytest in."""

    built: list[Lab] = []

    def build(*cards: str | FakeHost) -> Lab:
        names = [card for card in cards if isinstance(card, str)]
        host = FakeHost.of(*names) if len(names) == len(cards) else cards[0]
        assert isinstance(host, FakeHost)
        built.append(Lab(pytester, host, monkeypatch))
        return built[-1]

    yield build
    for lab in built:
        lab.close()


@pytest.fixture
def lab(lab_of: Callable[..., Lab]) -> Lab:
    """A machine with two equal cards."""
    return lab_of("L4", "L4")
