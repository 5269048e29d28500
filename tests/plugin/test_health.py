"""Devices that do not survive their tests, and memory that tests leave behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from labs import Lab, until
from pytest_gpudiscover.plugin import health
from pytest_gpudiscover.reports import Phase, Reason, Rejection

TELLS = """
def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Controller())

class Controller:
    def pytest_runtest_logreport(self, report):
        told = getattr(report, "gpudiscover", {})
        if report.when == "teardown":
            note(lost=told.get("quarantined"), left=told.get("memory_left"))
"""
"""A conftest.py that notes what the reports tell."""

LOSES = """
def test_loses(gpu_lease):
    note(loses=gpu_lease.devices[0].id)
    breaks(gpu_lease.devices[0])
    assert False
"""


def verifications(lab: Lab) -> int:
    """How many verify probes there were beyond those of the discovery."""
    return [call.phase for call in lab.host.calls].count("verify") - 2


def test_a_device_that_a_failed_test_has_lost_is_not_used_again(lab: Lab) -> None:
    lab.conftest(TELLS)
    lab.tests(
        LOSES,
        """
        @pytest.mark.parametrize("n", range(2))
        def test_after(gpu_lease, n): note(uses=gpu_lease.devices[0].id)

        @pytest.mark.gpu(count=2)
        def test_both(): pass
        """,
    )
    result = lab.run()
    result.assert_outcomes(failed=1, passed=2, skipped=1)
    result.stdout.fnmatch_lines(
        ["SKIPPED*NVIDIA L4*in quarantine since test_it.py::test_loses failed: *SIGSEGV*"]
    )
    assert lab.noted("loses")[0] not in lab.noted("uses")
    assert len({*lab.noted("uses")}) == 1
    first, *others = [lost for lost in lab.noted("lost") if lost]
    assert others == []
    assert [lost["id"] for lost in first] == lab.noted("loses")
    assert "SIGSEGV" in first[0]["detail"]
    assert verifications(lab) == 1


@pytest.mark.parametrize("strict", [False, True])
def test_tests_that_need_the_lost_device_are_refused_with_the_reason(
    lab_of: Callable[..., Lab], strict: bool
) -> None:
    lab = lab_of("L4")
    lab.tests(LOSES, "def test_after(gpu_lease): pass", "@pytest.mark.gpu\ndef test_marked(): pass")
    result = lab.run(*["--gpudiscover-strict"] if strict else [])
    result.assert_outcomes(failed=1, errors=2 * strict, skipped=2 * (not strict))
    reason = "needed: 1 device; *in quarantine since test_it.py::test_loses failed: *SIGSEGV*"
    result.stdout.fnmatch_lines([reason if strict else f"SKIPPED*{reason}"])
    lab.host.heal()
    assert lab.run().parseoutcomes()["failed"] == 1  # the next run sees for itself


def test_quarantine_holds_for_all_workers(lab_of: Callable[..., Lab]) -> None:
    lab = lab_of("L4")
    lab.tests(
        LOSES,
        """
        @pytest.mark.parametrize("n", range(5))
        def test_after(gpu_lease, n): note(uses=n)
        """,
    )
    result = lab.run("-n2", "--dist=load", "--maxschedchunk=1")
    result.assert_outcomes(failed=1, skipped=5 - len(lab.noted("uses")), passed=len(lab.noted("uses")))
    order = [next(iter(note)) for note in lab.notes]
    assert order.index("loses") == len(order) - 1  # whoever came later was refused


def test_who_waits_for_a_device_that_is_lost_is_refused(lab_of: Callable[..., Lab]) -> None:
    lab = lab_of("L4")
    lab.tests(
        """
        def test_loses(gpu_lease):
            note(holds=True)
            until(lambda: os.path.exists("somebody_waits"))
            breaks(gpu_lease.devices[0])
            assert False

        def test_waits(request):
            until(notes)
            request.getfixturevalue("gpu_lease")
        """
    )
    run = lab.start("-n2")
    until(lambda: len(lab.book.entries()) == 2)
    (lab.path / "somebody_waits").touch()
    output = run.communicate(timeout=60)[0]
    assert "1 failed, 1 skipped" in output
    assert "in quarantine since test_it.py::test_loses failed" in output


@pytest.mark.parametrize(
    ("test", "count"),
    [
        ("def test_it(gpu_lease): assert False", 1),
        ("@pytest.mark.xfail\ndef test_it(gpu_lease): assert False", 1),
        ("@pytest.mark.gpu(count=2)\ndef test_it(gpu_lease): assert False", 2),
        ("@pytest.fixture\ndef bad(gpu_lease): assert False\ndef test_it(bad): pass", 1),
        ("def test_it(gpu_lease): pytest.skip('no')", 0),
        ("def test_it(gpu_lease): pass", 0),
        ("def test_it(gpu_devices): assert False", 0),
    ],
)
def test_the_devices_of_a_test_that_raised_are_verified_and_of_no_other(
    lab: Lab, test: str, count: int
) -> None:
    lab.tests(f"{test}\n\ndef test_after(gpu_lease): note(lease=len(gpu_lease.devices))")
    lab.run()
    assert verifications(lab) == count
    assert lab.noted("lease") == [1]


def test_verification_can_be_switched_off(lab_of: Callable[..., Lab]) -> None:
    lab = lab_of("L4")
    lab.tests(LOSES, "def test_after(gpu_lease): pass")
    lab.run("--gpudiscover-recheck=never").assert_outcomes(failed=1, passed=1)


def test_a_card_whose_holder_died_is_verified_before_it_is_handed_out(lab_of: Callable[..., Lab]) -> None:
    lab = lab_of("L4", "L4")
    lab.tests(
        """
        @pytest.mark.gpu(count=2)
        def test_dies(gpu_lease):
            breaks(gpu_lease.devices[1])
            os._exit(1)

        @pytest.mark.parametrize("n", range(2))
        def test_after(gpu_lease, n): note(uses=gpu_lease.devices[0].pci_id)

        @pytest.mark.gpu(count=2)
        def test_both(gpu_lease): pass
        """
    )
    result = lab.run("-n1")
    result.assert_outcomes(failed=1, passed=2, skipped=1)
    assert lab.noted("uses") == ["0000:01:00.0"] * 2
    died = "in quarantine since test_it.py::test_dies (pid * of *) died holding it: *SIGSEGV*"
    result.stdout.fnmatch_lines([f"SKIPPED*needed: 2 devices*{died}"])
    assert verifications(lab) == 2  # the one that is well is verified once
    assert [*lab.book.suspects()] == ["pci 0000:02:00.0"]  # other runs see for themselves


def test_a_verification_that_this_machine_could_not_start_says_nothing_of_the_device() -> None:
    class Session:
        def verify(self, device: object) -> Rejection:
            return Rejection(phase=Phase.VERIFY, reason=Reason.NOT_STARTED, detail="no more processes")

    assert health.lost(Session(), None, "it failed") is None  # type: ignore[arg-type]


LEAVES = """
@pytest.mark.parametrize("n", range(2))
def test_leaves(gpu_lease, n):
    if n == 0: fill(gpu_lease.devices[0], 4)
"""


def test_memory_that_a_test_leaves_behind_is_told_with_its_report(lab_of: Callable[..., Lab]) -> None:
    lab = lab_of("L4")
    lab.conftest(TELLS)
    lab.tests(LEAVES)
    lab.run("--gpudiscover-memory=report").assert_outcomes(passed=2)
    (left,) = [left for left in lab.noted("left") if left]
    assert [(entry["id"], entry["bytes"]) for entry in left] == [(left[0]["id"], 4 << 30)]
    assert lab.notes[0]["left"] == left


@pytest.mark.parametrize(("gibibytes", "is_told"), [(0.5, False), (0.6, True)])
def test_a_little_memory_is_not_worth_a_word(
    lab_of: Callable[..., Lab], gibibytes: float, is_told: bool
) -> None:
    lab = lab_of("L4")
    lab.conftest(TELLS)
    lab.tests(f"def test_it(gpu_lease): fill(gpu_lease.devices[0], {gibibytes})")
    lab.run("--gpudiscover-memory=report")
    assert bool(lab.notes[0]["left"]) == is_told


def test_nobody_looks_at_memory_unless_asked_to(lab_of: Callable[..., Lab]) -> None:
    lab = lab_of("L4")
    lab.conftest(TELLS)
    lab.tests(LEAVES)
    lab.run().assert_outcomes(passed=2)
    assert lab.noted("left") == [None, None]
    assert "refresh" not in [call.phase for call in lab.host.calls]


def test_memory_of_a_card_that_is_shared_is_nobodys(lab_of: Callable[..., Lab]) -> None:
    lab = lab_of("L4")
    lab.conftest(TELLS)
    lab.tests("@pytest.mark.gpu(min_memory='2GiB')\ndef test_it(gpu_lease): fill(gpu_lease.devices[0], 4)")
    lab.run("--gpudiscover-memory=report").assert_outcomes(passed=1)
    assert lab.noted("left") == [None]


@pytest.mark.parametrize(("memory", "is_told"), [("report", True), ("wait", False)])
def test_a_lease_waits_until_memory_is_back(lab_of: Callable[..., Lab], memory: str, is_told: bool) -> None:
    lab = lab_of("L4")
    lab.host.inject("memory_lag", calls=2)
    lab.conftest(TELLS)
    lab.tests(
        """
        def test_it(gpu_lease, gpu_engine):
            import asyncio
            fill(gpu_lease.devices[0], 4)
            asyncio.run(gpu_engine.devices())  # somebody saw it taken
            fill(gpu_lease.devices[0], -4)
        """
    )
    lab.run(f"--gpudiscover-memory={memory}").assert_outcomes(passed=1)
    assert bool(lab.notes[0]["left"]) == is_told


def test_waiting_for_memory_ends_and_what_is_missing_is_told(lab_of: Callable[..., Lab]) -> None:
    lab = lab_of("L4")
    lab.conftest(TELLS)
    lab.tests(LEAVES)
    lab.run("--gpudiscover-memory=wait", "--gpudiscover-memory-timeout=0.5").assert_outcomes(passed=2)
    assert [bool(left) for left in lab.noted("left")] == [True, False]
    assert [call.phase for call in lab.host.calls].count("refresh") > 4
