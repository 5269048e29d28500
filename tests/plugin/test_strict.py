"""Strict mode: what cannot be met fails, so that a run which has lost its GPUs is not green."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from pytest_gpudiscover.simulation import FakeHost
from runners import write_runner
from suites import on, pytest_alone, with_ini

NINE = """
    import pytest

    @pytest.mark.gpu(count=9)
    def test_nine(): pass

    @pytest.mark.gpu
    def test_one(): pass
"""


@pytest.fixture(autouse=True)
def _quiet(pytester: pytest.Pytester) -> None:
    with_ini(pytester)


@pytest.fixture
def one_l4(tmp_path: Path) -> list[str]:
    """Options that give a run one card."""
    return on(FakeHost.of("L4"), tmp_path)


@pytest.mark.parametrize("way", ["option", "ini", "environment"])
def test_a_marker_that_cannot_be_met_fails_with_the_reason_alone(
    pytester: pytest.Pytester, one_l4: list[str], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(NINE)
    if way == "ini":
        with_ini(pytester, "gpudiscover_strict = true")
    if way == "environment":
        monkeypatch.setenv("GPUDISCOVER_STRICT", "yes")
    result = pytester.runpytest(*one_l4, *(["--gpudiscover-strict"] if way == "option" else []))
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.re_match_lines(
        ["_+ ERROR at setup of test_nine _+", "needed: 9 devices; usable: 1 of 1 device"]
    )
    assert "marking.py" not in result.stdout.str()


def test_the_environment_can_switch_off_what_an_ini_file_says(
    pytester: pytest.Pytester, one_l4: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(NINE)
    with_ini(pytester, "gpudiscover_strict = true")
    monkeypatch.setenv("GPUDISCOVER_STRICT", "false")
    pytester.runpytest(*one_l4).assert_outcomes(passed=1, skipped=1)


def test_a_test_that_is_expected_to_fail_is_not_expected_to_miss_its_gpu(
    pytester: pytest.Pytester, one_l4: list[str]
) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.xfail
        @pytest.mark.gpu(count=9)
        def test_nine(): assert False

        @pytest.mark.xfail
        @pytest.mark.gpu(count=1)
        def test_one(): assert False

        @pytest.mark.xfail
        @pytest.mark.gpu(count=1)
        def test_setup(no_such_fixture): pass

        @pytest.mark.xfail(run=False)
        @pytest.mark.gpu(count=9)
        def test_never_run(): pass
        """
    )
    result = pytester.runpytest("--gpudiscover-strict", *one_l4)
    result.assert_outcomes(xfailed=3, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at setup of test_nine*", "needed: 9 devices*"])


def test_nor_is_it_where_a_fixture_finds_that_out(pytester: pytest.Pytester, tmp_path: Path) -> None:
    runner = " ".join(write_runner(tmp_path, "serve(OK)", devices=[]))
    pytester.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.xfail

        def test_devices(gpu_devices): pass
        def test_lease(gpu_lease): pass
        def test_late(request): request.getfixturevalue("gpu_lease")
        """
    )
    result = pytester.runpytest(
        "-v",
        "--junitxml=junit.xml",
        "-p",
        "no:randomly",
        "--gpudiscover-strict",
        "--gpudiscover-runner",
        runner,
    )
    result.stdout.fnmatch_lines(["*::test_devices ERROR*", "*::test_lease ERROR*", "*::test_late FAILED*"])
    cases = ET.parse(pytester.path / "junit.xml").iter("testcase")
    assert {case.get("name"): [each.tag for each in case] for case in cases} == {
        "test_devices": ["error"],
        "test_lease": ["error"],
        "test_late": ["failure"],
    }


def test_workers_are_strict_too(pytester: pytest.Pytester, one_l4: list[str]) -> None:
    pytester.makepyfile(NINE)
    result = pytester.runpytest("-n2", "--gpudiscover-strict", *one_l4)
    result.assert_outcomes(passed=1, errors=1)


def test_the_environment_of_the_controller_holds_for_workers_that_do_not_inherit_it(
    pytester: pytest.Pytester, one_l4: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(NINE)
    monkeypatch.setenv("GPUDISCOVER_STRICT", "1")
    monkeypatch.setenv("GPUDISCOVER_MARKER", "other")
    elsewhere = "--tx=popen//env:GPUDISCOVER_STRICT=//env:GPUDISCOVER_MARKER="
    result = pytest_alone(pytester, "--dist=load", elsewhere, "-p", "no:randomly", *one_l4)
    result.assert_outcomes(passed=2)
    monkeypatch.delenv("GPUDISCOVER_MARKER")
    pytest_alone(pytester, "--dist=load", elsewhere, *one_l4).assert_outcomes(passed=1, errors=1)
