"""What every test of this repository shares."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from lifelines import Lifeline

# `pytest --hypothesis-profile=NAME` chooses one; docs/property-testing.md says when to use which.
# A busy machine draws slowly, and takes long: neither is a failure.
_patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("dev", _patient, max_examples=30)
# Nothing random in CI, and no database: a failure there is a failure here.
settings.register_profile("ci", _patient, max_examples=100, derandomize=True, print_blob=True)
settings.register_profile("thorough", _patient, max_examples=2000, print_blob=True)
# A mutant is killed or it is not: by which example, and by the least of its kind, is nobody's question.
_quick = settings(_patient, max_examples=20, derandomize=True, phases=[Phase.explicit, Phase.generate])
settings.register_profile("mutation", _quick)
# The examples of "ci", none of them made smaller: `tox run -e sabotage` asks which law notices, not by what.
_no_smaller = settings(_patient, derandomize=True, phases=[Phase.explicit, Phase.generate])
settings.register_profile("sabotage", _no_smaller, max_examples=100)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


# Shells let what they start in the background ignore Ctrl-C, and programs hand that on to theirs.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_masks_or_proxies_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests say themselves what is set: a machine with GPUs, or behind a proxy, gives the same verdicts."""
    ours = ("GPUDISCOVER_", "FAKE_RUNNER_", "OLLAMA_")
    for name in [*os.environ]:
        masks = name.endswith("_VISIBLE_DEVICES") or name.lower().endswith("_proxy")
        if masks or (name.startswith(ours) and name != "GPUDISCOVER_TESTS_REQUIRE"):
            monkeypatch.delenv(name)


@pytest.fixture
def lifeline(tmp_path: Path) -> Iterator[Lifeline]:
    """A lifeline for one test."""
    line = Lifeline(tmp_path / "lifeline")
    yield line
    line.close()


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Two for each core under `-n auto`: many a test waits for a process, or for a deadline to pass."""
    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else 2 * (os.cpu_count() or 1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where GPUDISCOVER_TESTS_REQUIRE is set, as in CI, a skipped test has failed."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("GPUDISCOVER_TESTS_REQUIRE"):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be skipped: {report.longreprtext}"
    return report
