"""What is told of a run. What leases say of themselves is put into the reports by hand here."""

from __future__ import annotations

import json
import platform
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from pytest_gpudiscover.plugin.ledger import Ledger
from pytest_gpudiscover.plugin.summary import table, troubles
from pytest_gpudiscover.simulation import FakeHost
from suites import on, pytest_alone, with_ini

LEASES = """
    import pytest

    def device(number):
        return {"library": "CUDA", "id": f"GPU-{number}", "description": "NVIDIA L4", "card": f"pci {number}"}

    @pytest.fixture
    def gpu_lease():
        return "a lease"

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(item, call):
        report = yield
        count = item.get_closest_marker("held")
        if count and "gpu_lease" in getattr(item, "funcargs", ()):
            facts = {"devices": [device(number) for number in range(*count.args)], "waited": 1.25}
            if call.when == "teardown":
                facts |= {"held": 2.5, **count.kwargs}
            report.gpudiscover = facts
        return report

    def pytest_configure(config):
        config.addinivalue_line("markers", "held: a stand-in for leases")
"""
"""A conftest whose leases hold what a test's marker `held` says: GPU-0 to GPU-n, and what became of them."""

SUITE = """
    import pytest

    @pytest.mark.gpu(count=2)
    @pytest.mark.held(2)
    def test_two(gpu_lease): pass

    L4 = {"library": "CUDA", "description": "NVIDIA L4", "card": "pci of it"}

    @pytest.mark.held(1, memory_left=[{**L4, "id": "GPU-0", "bytes": 3 << 29}])
    def test_one(gpu_lease): assert False, "on purpose"

    @pytest.mark.gpu(count=9)
    def test_nine(): pass

    @pytest.mark.held(1, 2, quarantined=[{**L4, "id": "GPU-1", "detail": "the runner was ended by SIGSEGV"}])
    def test_lost(gpu_lease): pass

    def test_plain(): pass
"""


LINUX = (
    ("/dev/null", "expected a file, and there is something else"),
    ("/proc/1/gpus.json", "nothing can be written to the directory /proc/1"),
)
"""Paths that can be no report on Linux, whoever asks."""


@pytest.fixture(autouse=True)
def _quiet(pytester: pytest.Pytester) -> None:
    with_ini(pytester)


@pytest.fixture
def suite(pytester: pytest.Pytester, tmp_path: Path) -> list[str]:
    """Options for a run of the suite above, on a machine with two cards."""
    pytester.makeconftest(LEASES)
    pytester.makepyfile(test_it=SUITE)
    return on(FakeHost.of("L4", "L4"), tmp_path)


def read(pytester: pytest.Pytester, name: str = "gpus.json") -> dict[str, Any]:
    document: dict[str, Any] = json.loads((pytester.path / name).read_text(encoding="utf-8"))
    return document


def test_the_header_says_what_is_set(pytester: pytest.Pytester, suite: list[str]) -> None:
    pytester.makepyfile(test_it="def test_plain(): pass")
    result = pytester.runpytest("--gpudiscover-strict", "--gpudiscover-lease-timeout=5", *suite)
    result.stdout.fnmatch_lines(["gpudiscover: runner fake, host */machine.json, lease-timeout 5, strict"])


def test_the_header_names_the_devices_where_they_are_known_by_then(
    pytester: pytest.Pytester, suite: list[str]
) -> None:
    pytester.makepyfile(test_it="def test_plain(): pass")
    result = pytester.runpytest("--gpudiscover-workers=count", "-n=auto", *suite)
    result.stdout.fnmatch_lines(
        ["gpudiscover: runner fake*", "gpudiscover: 2 devices: CUDA NVIDIA L4 *", "created: 2/2 workers"]
    )


@pytest.mark.parametrize("option", ["--no-header", "-q"])
def test_a_run_that_is_to_be_quiet_has_no_header(
    pytester: pytest.Pytester, suite: list[str], option: str
) -> None:
    pytester.makepyfile(test_it="def test_plain(): pass")
    assert "gpudiscover:" not in pytester.runpytest(option, *suite).stdout.str()


def test_a_run_for_which_nothing_is_set_says_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_plain(): pass")
    output = pytester.runpytest().stdout.str()
    assert "gpudiscover:" not in output
    assert "GPU" not in output


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["plain", "xdist"])
def test_junit_properties_name_the_devices_that_a_test_held(
    pytester: pytest.Pytester, suite: list[str], workers: list[str]
) -> None:
    pytester.runpytest("--junitxml=junit.xml", *workers, *suite)
    cases = {case.get("name"): case for case in ET.parse(pytester.path / "junit.xml").iter("testcase")}
    properties = {
        name: {each.get("name"): each.get("value") for each in case.iter("property")}
        for name, case in cases.items()
    }
    assert properties["test_two"] == {
        "gpu_devices": "CUDA GPU-0, CUDA GPU-1",
        "gpu_names": "CUDA NVIDIA L4, CUDA NVIDIA L4",
        "gpu_waited": "1.25",
        "gpu_held": "2.5",
    }
    assert len(list(cases["test_two"].iter("property"))) == 4
    assert properties["test_one"]["gpu_devices"] == "CUDA GPU-0"
    assert properties["test_nine"] == properties["test_plain"] == {}


def test_the_report_of_the_call_has_the_properties_as_well(
    pytester: pytest.Pytester, suite: list[str]
) -> None:
    (pytester.path / "conftest.py").write_text(
        (pytester.path / "conftest.py").read_text()
        + "\ndef pytest_runtest_logreport(report):\n"
        + "    print(report.nodeid, report.when, *[name for name, _ in report.user_properties])\n"
    )
    result = pytester.runpytest("-s", *suite)
    result.stdout.fnmatch_lines(["*::test_two call gpu_devices gpu_names gpu_waited"])


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["plain", "xdist"])
def test_the_summary_says_for_each_device_how_long_it_was_held_and_waited_for(
    pytester: pytest.Pytester, suite: list[str], workers: list[str]
) -> None:
    result = pytester.runpytest(*workers, *suite)
    result.assert_outcomes(passed=3, failed=1, skipped=1)
    result.stdout.re_match_lines_random(
        [
            "=+ GPU leases =+",
            r"device +leases +held +waited",
            r"pci 0: CUDA NVIDIA L4 +2 +5\.0 s +2\.5 s",
            r"pci 1: CUDA NVIDIA L4 +2 +5\.0 s +2\.5 s",
            r"left behind by test_it\.py::test_one: 1\.5 GiB on CUDA NVIDIA L4 \(GPU-0\)",
            r"lost: CUDA NVIDIA L4 \(GPU-1\): the runner was ended by SIGSEGV",
        ]
    )


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["plain", "xdist"])
def test_a_device_that_was_found_lost_when_no_test_held_it_is_told_too(
    pytester: pytest.Pytester, suite: list[str], workers: list[str]
) -> None:
    pytester.makepyfile(
        test_it="""
        from pytest_gpudiscover.plugin.discovering import session_discovery
        from pytest_gpudiscover.reports import Reason

        def test_lost(gpu_devices, pytestconfig):
            session = session_discovery(pytestconfig)
            session.quarantine(gpu_devices[0], Reason.CRASHED, "its last holder died")

        def test_other(): pass
        """
    )
    result = pytester.runpytest("--gpudiscover-report=gpus.json", *workers, *suite)
    (lost,) = read(pytester)["quarantined"]
    assert (lost["description"], lost["detail"]) == ("NVIDIA L4", "its last holder died")
    result.stdout.re_match_lines(
        ["=+ GPU leases =+", r"lost: CUDA NVIDIA L4 \(GPU-.*\): its last holder died"]
    )


def test_a_quiet_run_still_says_what_is_wrong(pytester: pytest.Pytester, suite: list[str]) -> None:
    output = pytester.runpytest("-qq", *suite).stdout.str()
    assert "lost: CUDA NVIDIA L4 (GPU-1)" in output
    assert "waited" not in output


def test_a_run_without_leases_has_no_summary(pytester: pytest.Pytester, suite: list[str]) -> None:
    assert "GPU leases" not in pytester.runpytest("-k", "nine or plain", *suite).stdout.str()


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["plain", "xdist"])
def test_the_report_file_tells_what_each_test_ran_on(
    pytester: pytest.Pytester, suite: list[str], workers: list[str]
) -> None:
    pytester.runpytest("--gpudiscover-report=gpus.json", *workers, *suite)
    report = read(pytester)
    assert (report["schema"], report["exit_status"], report["unmet"]) == (1, 1, [])
    tests = {test["id"].partition("::")[2]: test for test in report["tests"]}
    assert {name: test["outcome"] for name, test in tests.items()} == {
        "test_two": "passed",
        "test_one": "failed",
        "test_nine": "skipped",
        "test_lost": "passed",
    }
    two = tests["test_two"]
    assert [device["id"] for device in two["devices"]] == ["GPU-0", "GPU-1"]
    assert (two["waited"], two["held"], two["needs"]) == (1.25, 2.5, "2 devices")
    assert two["host"] == platform.node()
    assert (two["worker"] != "") == bool(workers)
    assert tests["test_nine"]["reason"].startswith("needed: 9 devices; usable: 2 of 2 devices")
    assert tests["test_one"]["memory_left"][0]["bytes"] == 3 << 29
    assert [(use["card"], use["leases"], use["held"], use["waited"]) for use in report["devices"]] == [
        ("pci 0", 2, 5.0, 2.5),
        ("pci 1", 2, 5.0, 2.5),
    ]
    (lost,) = report["quarantined"]
    assert (lost["id"], lost["test"]) == ("GPU-1", "test_it.py::test_lost")
    (discovery,) = report["discoveries"]
    assert discovery["host"] == platform.node()
    assert [device["description"] for device in discovery["devices"]] == ["NVIDIA L4", "NVIDIA L4"]


def test_the_report_is_written_when_a_run_stops_early(pytester: pytest.Pytester, suite: list[str]) -> None:
    pytester.runpytest("--gpudiscover-report=gpus.json", "-x", "-p", "no:randomly", *suite)
    assert [test["outcome"] for test in read(pytester)["tests"]] == ["passed", "failed"]


def test_the_report_is_written_when_the_machine_lacks_what_is_required(
    pytester: pytest.Pytester, suite: list[str]
) -> None:
    pytester.runpytest("--gpudiscover-report=gpus.json", "--gpudiscover-require=9", *suite)
    report = read(pytester)
    needed, fitting = report["unmet"]
    assert needed == "--gpudiscover-require 9: needed: 9 devices; usable: 2 of 2 devices"
    assert fitting.startswith("fitting: CUDA ")
    assert (report["exit_status"], report["tests"], len(report["discoveries"])) == (1, [], 1)


def test_the_report_is_written_when_no_test_needs_a_gpu(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_plain(): pass")
    pytester.runpytest("--gpudiscover-report=new/directory/gpus.json").assert_outcomes(passed=1)
    report = read(pytester, "new/directory/gpus.json")
    assert (report["exit_status"], report["tests"], report["discoveries"]) == (0, [], [])


def test_a_collection_alone_leaves_the_last_report_where_it_is(
    pytester: pytest.Pytester, suite: list[str]
) -> None:
    (pytester.path / "gpus.json").write_text("the last one")
    pytester.runpytest("--gpudiscover-report=gpus.json", "--collect-only", *suite)
    assert (pytester.path / "gpus.json").read_text() == "the last one"


def test_the_report_replaces_the_last_one_through_a_link(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_plain(): pass")
    (pytester.path / "real.json").write_text("the last one")
    (pytester.path / "gpus.json").symlink_to("real.json")
    pytester.runpytest("--gpudiscover-report=gpus.json")
    assert (pytester.path / "gpus.json").is_symlink()
    assert read(pytester, "real.json")["schema"] == 1
    assert not [path for path in pytester.path.iterdir() if path.name.startswith(".real.json")]


def test_a_report_that_cannot_be_written_fails_the_run_and_says_so(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile("import os\ndef test_plain(): os.mkdir('gpus.json')\n")
    result = pytester.runpytest("--gpudiscover-report=gpus.json")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["the report could not be written: *gpus.json*"])
    assert not [path for path in pytester.path.iterdir() if path.name.startswith(".gpus.json")]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (".", "expected a file, and there is something else"),
        ("test_it.py/gpus.json", "test_it.py is no directory"),
        *(LINUX if sys.platform == "linux" else ()),
    ],
)
def test_a_path_that_can_be_no_file_is_a_usage_error_before_anything_runs(
    pytester: pytest.Pytester, path: str, said: str
) -> None:
    pytester.makepyfile(test_it="def test_plain(): pass")
    result = pytester.runpytest_inprocess(f"--gpudiscover-report={path}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: gpudiscover_report: *{said}"])


@pytest.mark.parametrize(
    "options",
    [["-p", "no:terminal"], ["-p", "no:junitxml"], ["-qq"], ["--no-summary", "--no-header"]],
    ids=str,
)
def test_whatever_else_is_switched_off_the_report_is_written(
    pytester: pytest.Pytester, suite: list[str], options: list[str]
) -> None:
    result = pytester.runpytest("--gpudiscover-report=gpus.json", *options, *suite)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    outcomes = {test["id"]: test["outcome"] for test in read(pytester)["tests"]}
    assert outcomes["test_it.py::test_one"] == "failed"
    assert outcomes["test_it.py::test_two"] == "passed"


def test_a_test_whose_worker_died_has_failed(pytester: pytest.Pytester, suite: list[str]) -> None:
    pytester.makepyfile(
        test_it="""
        import os, signal
        import pytest

        @pytest.mark.held(1)
        def test_dies(gpu_lease): os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    result = pytest_alone(pytester, "-n1", "--max-worker-restart=0", "--gpudiscover-report=gpus.json", *suite)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    (test,) = read(pytester)["tests"]
    assert (test["outcome"], test["devices"][0]["id"]) == ("failed", "GPU-0")
    assert "held" not in test
    result.stdout.re_match_lines([r"CUDA NVIDIA L4 +1 +0\.0 s +1\.2 s"])


FACTS = {"host": "here", "waited": 2.0, "held": 1.0}


def device(number: int, name: str = "NVIDIA L4") -> dict[str, str]:
    return {"library": "CUDA", "id": f"GPU-{number}", "description": name, "card": f"pci {number}"}


def test_a_test_that_is_run_again_counts_again() -> None:
    ledger = Ledger()
    for _ in range(2):
        for when in ("setup", "call", "teardown"):
            ledger.entry("test_it", "", when, {**FACTS, "devices": [device(0)]})
    assert [(use.leases, use.held, use.waited) for use in ledger.devices()] == [(2, 2.0, 4.0)]


def test_a_test_that_two_workers_run_counts_twice() -> None:
    ledger = Ledger()
    for when in ("setup", "call", "teardown"):
        for worker in ("gw0", "gw1"):
            held = {"held": int(worker[-1])} if when == "teardown" else {}
            ledger.entry("test_it", worker, when, {**FACTS, "devices": [device(0)], **held})
    assert [(test["worker"], test["held"]) for test in ledger.tests] == [("gw0", 0), ("gw1", 1)]


def test_devices_are_told_in_one_order_whichever_was_held_first() -> None:
    ledger = Ledger()
    ledger.entry("test_it", "", "setup", {**FACTS, "devices": [device(1), device(0)]})
    assert [use.device["card"] for use in ledger.devices()] == ["pci 0", "pci 1"]


def test_a_device_that_several_know_to_be_lost_is_told_once_with_its_test() -> None:
    ledger = Ledger()
    gone = {**device(0), "detail": "gone"}
    ledger.lost += [{"host": "here", **gone}, {"host": "here", **gone}, {"host": "there", **gone}]
    ledger.entry("test_it", "", "teardown", {**FACTS, "quarantined": [gone]})
    assert [(lost["host"], lost.get("test")) for lost in ledger.quarantined()] == [
        ("here", "test_it"),
        ("there", None),
    ]


def test_devices_of_two_hosts_are_two() -> None:
    ledger = Ledger()
    for host in ("a", "b"):
        ledger.entry(f"test_{host}", "", "setup", {**FACTS, "host": host, "devices": [device(0)]})
    assert [row.split("  ")[0] for row in table(ledger, 80)] == [
        "device",
        "a: CUDA NVIDIA L4",
        "b: CUDA NVIDIA L4",
    ]


@pytest.mark.parametrize("width", [50, 80])
def test_the_table_keeps_to_the_width_of_the_terminal(width: int) -> None:
    ledger = Ledger()
    long = "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition, and more"
    facts = {**FACTS, "held": 12345.6, "devices": [device(0, long), device(1, long)]}
    ledger.entry("test_it", "", "setup", facts)
    rows = list(table(ledger, width))
    assert all(len(row) <= width for row in rows)
    assert len({len(row) for row in rows}) == 1
    assert rows[1].startswith("pci 0: CUDA NVIDIA")
    assert rows[1].endswith(" 1  12345.6 s      2.0 s")


def test_what_a_runner_called_a_device_is_shown_on_one_line() -> None:
    ledger = Ledger()
    bad = device(0, "Card\x1b[31m\nof mine")
    lost = [{**bad, "detail": "gone\n"}]
    ledger.entry("test_it", "", "setup", {**FACTS, "devices": [bad], "quarantined": lost})
    shown = [*table(ledger, 80), *troubles(ledger)]
    assert len(shown) == 3
    assert all(line.isprintable() for line in shown)
