"""Leases under load: real xdist workers of two runs at once, on one simulated machine, killed at random.

What the workers do, and the oracle that knows nothing of leases, is in stress_suite.py. For the figures:
`pytest tests/plugin/test_stress.py --log-cli-level=INFO`.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from machines import equal_cards
from pytest_gpudiscover.leasing.book import Entry, book_for, machine_of
from pytest_gpudiscover.simulation import FakeHost

log = logging.getLogger(__name__)

SUITE = Path(__file__).with_name("stress_suite.py")
PLUGINS = ("-p", "xdist.plugin", "-p", "pytest_gpudiscover.plugin")
PATIENCE = 30
"""Seconds that a test may wait for its lease; none comes near it unless something is stuck."""


@dataclass(frozen=True)
class Outcome:
    """What became of one test: passed, or the message of its failure."""

    test: str
    failure: str | None


class Place:
    """A simulated machine with three cards, and what the runs on it leave for us to look at."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.host = FakeHost({**equal_cards(3).document}).save(directory / "host.json")
        (directory / "workers").mkdir()
        self.cards = [device.id for device in self.host.discover().devices]
        for card in self.cards:
            for name in (card, *(f"{card}.{share}" for share in range(3))):
                (directory / name).touch()
        (directory / "test_stress_suite.py").write_bytes(SUITE.read_bytes())
        (directory / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")

    def start(
        self, run: str, tests: int, workers: int, *, mask: str | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a run of so many tests."""
        variables = {
            "GPUDISCOVER_RUNNER": "fake",
            "GPUDISCOVER_HOST": str(self.host.path),
            "GPUDISCOVER_LEASES": str(self.directory / "leases"),
            "GPUDISCOVER_LEASE_TIMEOUT": str(PATIENCE),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_ADDOPTS": "",
            "STRESS_PLACE": str(self.directory),
            "STRESS_RUN": run,
            "STRESS_TESTS": str(tests),
        } | ({} if mask is None else {"CUDA_VISIBLE_DEVICES": mask})
        options = [f"-n{workers}", "--max-worker-restart=100", f"--junitxml={self.directory / run}.xml"]
        command = [sys.executable, "-m", "pytest", "-q", *PLUGINS, "-p", "no:cacheprovider", *options]
        with (self.directory / f"{run}.txt").open("wb") as output:
            return subprocess.Popen(
                command, cwd=self.directory, env=os.environ | variables, stdout=output, stderr=output
            )

    def outcomes(self, run: str) -> list[Outcome]:
        """What became of the tests of a run that has ended."""
        cases = ET.parse(self.directory / f"{run}.xml").iter("testcase")
        found = []
        for case in cases:
            problems = [problem.get("message", "") for problem in case if problem.tag in ("failure", "error")]
            found.append(Outcome(case.get("name", ""), problems[0] if problems else None))
        return found

    def noted(self, book: str) -> list[dict[str, Any]]:
        """What the workers have written down."""
        path = self.directory / f"{book}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def entries(self) -> list[Entry]:
        """Who holds a lease or waits for one."""
        return book_for(machine_of(self.host.installation()), self.directory / "leases").entries()

    def figures(self) -> str:
        """What the runs did, in a line."""
        leases, kills = self.noted("leases"), self.noted("kills")
        kinds = ", ".join(
            f"{count} {kind}" for kind, count in Counter(lease["kind"] for lease in leases).items()
        )
        longest = max(lease["waited"] for lease in leases)
        return (
            f"{len(leases)} leases ({kinds}), {len(kills)} workers killed, the longest wait {longest:.2f} s"
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A simulated machine with three cards of 8 GiB."""
    return Place(tmp_path)


def ended(place: Place, *runs: subprocess.Popen[bytes]) -> None:
    """Wait for the runs; whatever happens, none outlives this."""
    try:
        for run in runs:
            run.wait(timeout=120)
    finally:
        for run in runs:
            run.kill()
            run.wait()
    said = [path.read_text() for path in place.directory.glob("*.txt")]
    assert {run.returncode for run in runs} <= {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}, said


def test_no_device_is_held_twice_by_two_runs_whose_workers_are_killed_at_random(
    place: Place,
) -> None:
    tests, names = 260, ("left", "right")
    ended(place, *(place.start(name, tests, workers=4) for name in names))
    outcomes = {name: place.outcomes(name) for name in names}
    log.info(place.figures())
    assert place.noted("twice") == []
    # A test whose worker dies after it has passed has both outcomes.
    assert [len({outcome.test for outcome in found}) for found in outcomes.values()] == [tests, tests]
    failures = [outcome.failure for found in outcomes.values() for outcome in found if outcome.failure]
    assert [failure for failure in failures if " crashed while running " not in failure] == []
    assert 0 < len(failures) <= len(place.noted("kills"))
    assert len(place.noted("leases")) >= 500
    assert place.entries() == []


def test_a_run_under_a_narrower_mask_never_leaves_it(place: Place) -> None:
    narrow = place.cards[1:]
    ended(
        place,
        place.start("wide", 60, workers=2),
        place.start("narrow", 60, workers=2, mask=",".join(narrow)),
    )
    held = {run: Counter[str]() for run in ("wide", "narrow")}
    for lease in place.noted("leases"):
        held[lease["run"]].update(lease["devices"])
    assert sorted(held["narrow"]) == sorted(narrow)
    assert sorted(held["wide"]) == sorted(place.cards)
    assert place.noted("twice") == []
