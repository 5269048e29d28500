"""What a run collects that was asked for the hardware suite, and which runs refuse."""

from __future__ import annotations

import pytest

from pytest_gpudiscover.plugin.hardware import SUITE
from suites import with_ini


@pytest.fixture(autouse=True)
def _project(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_mine="def test_mine(): pass")


def files(pytester: pytest.Pytester, *options: str) -> list[str]:
    """The files of the tests that a run would run, as far as this machine has no GPU."""
    result = pytester.runpytest_inprocess("--collect-only", "-q", *options)
    assert result.ret == pytest.ExitCode.OK
    return sorted({line.partition("::")[0] for line in result.outlines if "::" in line})


def test_the_suite_is_all_that_runs(pytester: pytest.Pytester) -> None:
    found = files(pytester, "--gpudiscover-hardware")
    assert set(found) == {path.name for path in SUITE.glob("test_*.py")}


def test_paths_that_are_named_are_run_as_well(pytester: pytest.Pytester) -> None:
    assert {"test_mine.py", "test_masks.py"} <= set(files(pytester, "--gpudiscover-hardware", "test_mine.py"))


@pytest.mark.parametrize(("word", "hers"), [("true", False), ("off", True)])
def test_the_ini_file_can_say_so_and_the_environment_otherwise(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, word: str, hers: bool
) -> None:
    with_ini(pytester, "gpudiscover_hardware = true")
    monkeypatch.setenv("GPUDISCOVER_HARDWARE", word)
    assert (files(pytester) == ["test_mine.py"]) == hers


def test_what_a_project_calls_its_files_does_not_matter(pytester: pytest.Pytester) -> None:
    with_ini(pytester, "python_files = check_*.py", "testpaths = .")
    result = pytester.runpytest_inprocess("--collect-only", "-q", "--gpudiscover-hardware")
    result.stdout.fnmatch_lines(["*::test_two_processes_never_hold_the_same_card"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-n2"], "would disturb each other in several workers: expected -n0"),
        (["--gpudiscover-runner=fake"], "expected a runner that asks real GPUs, got 'fake'"),
    ],
)
def test_what_the_suite_cannot_do_is_a_usage_error(
    pytester: pytest.Pytester, options: list[str], said: str
) -> None:
    result = pytester.runpytest_inprocess("--gpudiscover-hardware", *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: gpudiscover_hardware: *{said}"])
