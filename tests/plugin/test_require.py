"""What a machine must have, or no test runs and the run fails."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_gpudiscover.simulation import FakeHost
from suites import on, pytest_alone, with_ini

MISSING = "*--gpudiscover-require 2xCUDA>=16GiB: needed: 2 CUDA devices of 16.0 GiB or more; usable: 1 of 2 *"


@pytest.fixture(autouse=True)
def _suite(pytester: pytest.Pytester) -> None:
    with_ini(pytester)
    pytester.makepyfile(test_it="open('collected', 'w').close()\ndef test_it(): open('run', 'w').close()\n")


@pytest.fixture
def host() -> FakeHost:
    """A machine with a card of 24 GB and one of 8."""
    return FakeHost.of("L4", "GTX 1060")


@pytest.fixture
def machine(host: FakeHost, tmp_path: Path) -> list[str]:
    """Options that give a run this machine."""
    return on(host, tmp_path)


def collected(pytester: pytest.Pytester) -> bool:
    return (pytester.path / "collected").exists()


@pytest.mark.parametrize("way", ["option", "ini", "environment"])
def test_a_run_without_what_it_requires_fails_with_the_reasons_before_anything_is_collected(
    pytester: pytest.Pytester, machine: list[str], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "ini":
        with_ini(pytester, "gpudiscover_require = 2xCUDA>=16GiB")
    if way == "environment":
        monkeypatch.setenv("GPUDISCOVER_REQUIRE", "2xCUDA>=16GiB")
    result = pytester.runpytest(
        *machine, *(["--gpudiscover-require=2xCUDA>=16GiB"] if way == "option" else [])
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["=* the GPUs that this run requires are not there =*", MISSING, "* no tests ran *"]
    )
    result.stdout.fnmatch_lines(["CUDA GPU-* (NVIDIA GeForce GTX 1060*): it has 6.0 GiB"])
    assert not collected(pytester)


def test_a_run_with_what_it_requires_runs(pytester: pytest.Pytester, machine: list[str]) -> None:
    result = pytester.runpytest("--gpudiscover-require=1xCUDA>=16GiB, 1", *machine)
    result.assert_outcomes(passed=1)
    assert "are not there" not in result.stdout.str()


def test_of_several_requirements_each_needs_devices_of_its_own(
    pytester: pytest.Pytester, machine: list[str]
) -> None:
    pytester.runpytest("--gpudiscover-require=CUDA,CUDA", *machine).assert_outcomes(passed=1)
    result = pytester.runpytest("--gpudiscover-require=CUDA,2xCUDA", *machine)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_collapsed_mask_is_said_to_be_the_cause(
    pytester: pytest.Pytester, machine: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    result = pytester.runpytest("--gpudiscover-require=2xCUDA", *machine)
    result.stdout.fnmatch_lines(['*CUDA_VISIBLE_DEVICES="" is the cause*'])


def test_a_card_that_a_mask_hides_is_not_there_though_vulkan_lists_it(
    pytester: pytest.Pytester, machine: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    result = pytester.runpytest("--gpudiscover-require=1", *machine)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_discovery_that_cannot_run_is_a_reason_too(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("--gpudiscover-require=1", "--gpudiscover-runner=/no/such/runner")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["--gpudiscover-require 1: GPU discovery cannot run: /no/such/runner: *"])


@pytest.mark.parametrize("options", [["-q"], ["-qq"], ["--no-header"], ["--no-summary"], ["-n2"]], ids=str)
def test_the_reasons_are_readable_once_however_a_run_is_told(
    pytester: pytest.Pytester, machine: list[str], options: list[str]
) -> None:
    result = pytester.runpytest("--gpudiscover-require=2xCUDA>=16GiB", *options, *machine)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([MISSING])
    assert result.stdout.str().count("needed:") == 1
    assert "INTERNALERROR" not in result.stdout.str()
    assert not (pytester.path / "run").exists()


def test_without_a_terminal_the_reasons_go_to_stderr(pytester: pytest.Pytester, machine: list[str]) -> None:
    result = pytest_alone(pytester, "--gpudiscover-require=2xCUDA>=16GiB", "-p", "no:terminal", *machine)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stderr.fnmatch_lines(["ERROR: gpudiscover: " + MISSING[1:]])


@pytest.mark.parametrize(
    "option", ["--collect-only", "--help", "--version", "--fixtures", "--markers", "--setup-plan"]
)
def test_who_runs_no_test_requires_nothing(
    pytester: pytest.Pytester, host: FakeHost, machine: list[str], option: str
) -> None:
    result = pytester.runpytest_inprocess("--gpudiscover-require=9", option, *machine)
    assert result.ret == pytest.ExitCode.OK
    assert not FakeHost.load(machine[1].partition("=")[2]).calls


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("2xCUDA>=16Gi!", "'16Gi!' is no size"),
        ("CUDA,,ROCm", "'' is no requirement"),
    ],
)
def test_what_cannot_be_read_is_a_usage_error(pytester: pytest.Pytester, written: str, said: str) -> None:
    result = pytester.runpytest_inprocess(f"--gpudiscover-require={written}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: gpudiscover_require: *{said}*"])


@pytest.mark.parametrize("way", ["option", "environment"])
def test_a_requirement_that_was_left_empty_is_a_usage_error(
    pytester: pytest.Pytester, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "environment":
        monkeypatch.setenv("GPUDISCOVER_REQUIRE", "")
    result = pytester.runpytest_inprocess(*(["--gpudiscover-require="] if way == "option" else []))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: gpudiscover_require: expected what is required, *, got ''"])


def test_an_empty_requirement_in_the_ini_file_requires_nothing(
    pytester: pytest.Pytester,
) -> None:
    with_ini(pytester, "gpudiscover_require =")
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_workers_on_this_host_do_not_look_again(pytester: pytest.Pytester, machine: list[str]) -> None:
    result = pytester.runpytest("-n2", "--gpudiscover-require=2xCUDA", *machine)
    result.assert_outcomes(passed=1)
    calls = FakeHost.load(machine[1].partition("=")[2]).calls
    enumerated = [call.variant for call in calls if call.phase == "enumerate"]
    assert sorted(enumerated) == ["cuda_v12", "cuda_v13", "vulkan"]  # once each


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeHost, FakeHost], list[str]]:
    """Options for a run on one machine with a worker on another, reached as over ssh."""

    def options(here: FakeHost, there: FakeHost) -> list[str]:
        monkeypatch.setenv("GPUDISCOVER_RUNNER", "fake")
        monkeypatch.setenv("FAKE_RUNNER_HOST", str(here.save(tmp_path / "here.json").path))
        other = there.save(tmp_path / "there.json").path
        return ["--dist=load", "--px=id=proxy//popen", f"--tx=popen//via=proxy//env:FAKE_RUNNER_HOST={other}"]

    return options


def test_a_worker_on_another_host_looks_there_and_lets_every_test_fail(
    pytester: pytest.Pytester, elsewhere: Callable[[FakeHost, FakeHost], list[str]]
) -> None:
    options = elsewhere(FakeHost.of("L4", "L4"), FakeHost.of("L4"))
    result = pytest_alone(pytester, "--gpudiscover-require=2xCUDA", *options)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [f"--gpudiscover-require 2xCUDA: needed: 2 CUDA devices; *(on {platform.node()})"]
    )
    assert not (pytester.path / "run").exists()


def test_a_controller_whose_workers_are_all_elsewhere_needs_no_gpu(
    pytester: pytest.Pytester, elsewhere: Callable[[FakeHost, FakeHost], list[str]]
) -> None:
    options = elsewhere(FakeHost.of("L4"), FakeHost.of("L4", "L4"))
    pytest_alone(pytester, "--gpudiscover-require=2xCUDA", *options).assert_outcomes(passed=1)


def test_a_controller_with_a_worker_of_its_own_does(
    pytester: pytest.Pytester, elsewhere: Callable[[FakeHost, FakeHost], list[str]]
) -> None:
    options = elsewhere(FakeHost.of("L4"), FakeHost.of("L4", "L4"))
    result = pytest_alone(pytester, "--gpudiscover-require=2xCUDA", *options, "--tx=popen")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["=* the GPUs that this run requires are not there =*"])
