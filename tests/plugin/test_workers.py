"""Workers of pytest-xdist: as many as there are devices, and one device each for their lives."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from labs import Lab

OWN = "--gpudiscover-workers=own"
COUNT = "--gpudiscover-workers=count"
WHO = """
@pytest.mark.parametrize("n", range(8))
def test_it(n, worker_id): note(worker=worker_id)
"""


@pytest.mark.parametrize("word", ["auto", "logical"])
def test_auto_starts_as_many_workers_as_there_are_devices(lab_of: Callable[..., Lab], word: str) -> None:
    lab = lab_of("L4", "L4", "RX 7900 XTX")
    lab.tests(WHO)
    result = lab.run(f"-n{word}", COUNT)
    result.assert_outcomes(passed=8)
    result.stdout.fnmatch_lines(["3 workers [[]8 items[]]"])


def test_only_devices_of_the_kind_that_is_required_are_counted(lab_of: Callable[..., Lab]) -> None:
    lab = lab_of("L4", "RX 7900 XTX", "RX 7900 XTX")
    lab.tests(WHO)
    result = lab.run("-nauto", COUNT, "--gpudiscover-require=CUDA")
    result.stdout.fnmatch_lines(["1 worker [[]8 items[]]"])


@pytest.mark.parametrize("runner", ["fake", "/no/such/runner"])
def test_without_devices_one_worker_is_started(
    lab_of: Callable[..., Lab], runner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = lab_of()
    lab.tests(WHO)
    if runner != "fake":
        monkeypatch.delenv("GPUDISCOVER_HOST")
    result = lab.run("-nauto", OWN, f"--gpudiscover-runner={runner}")
    result.stdout.fnmatch_lines(["1 worker [[]8 items[]]"])
    result.assert_outcomes(passed=8)


def test_a_number_that_the_user_has_set_is_left_alone(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_AUTO_NUM_WORKERS", "1")
    lab.tests(WHO)
    lab.run("-nauto", COUNT).stdout.fnmatch_lines(["1 worker [[]8 items[]]"])
    assert lab.host.calls == ()


def test_each_worker_has_its_own_device_before_any_test_module_is_imported(lab: Lab) -> None:
    lab.conftest("def pytest_configure(): note(conftest=os.environ.get('CUDA_VISIBLE_DEVICES'))")
    lab.tests(
        """
        AT_IMPORT = os.environ.get("CUDA_VISIBLE_DEVICES")

        @pytest.mark.parametrize("n", range(4))
        def test_it(gpu_devices, gpu_lease, n, worker_id):
            (device,) = gpu_devices
            assert gpu_lease.devices == gpu_devices
            assert gpu_lease.env["CUDA_VISIBLE_DEVICES"] == AT_IMPORT == device.id
            assert gpu_lease.torch_devices == ("cuda:0",)
            gpu_lease.activate()
            note(worker=worker_id, device=device.id)
            until(lambda: len({note["worker"] for note in notes() if "worker" in note}) == 2)

        @pytest.mark.gpu
        def test_after(): assert os.environ["CUDA_VISIBLE_DEVICES"] == AT_IMPORT
        """
    )
    lab.run("-nauto", OWN).assert_outcomes(passed=5)
    pairs = {(note["worker"], note["device"]) for note in lab.notes if "worker" in note}
    assert len(pairs) == len({device for _, device in pairs}) == 2
    assert {*lab.noted("conftest")} == {None} | {device for _, device in pairs}  # None: the controller's
    assert lab.book.entries() == []
    assert lab.book.suspects() == {}


def test_a_worker_gives_its_device_back_when_its_tests_have_ended_and_does_not_wait_for_its_own_end(
    lab: Lab,
) -> None:
    lab.conftest(
        """
        @pytest.fixture(scope="session", autouse=True)
        def until_the_end():
            yield
            note(shown=os.environ.get("CUDA_VISIBLE_DEVICES"))

        def pytest_terminal_summary(config):
            if hasattr(config, "workerinput"):
                os.kill(os.getpid(), 9)
        """
    )
    lab.tests(WHO)
    elsewhere = lab.path / "temporary files of another host"
    elsewhere.mkdir()
    lab.run("--dist=load", f"--tx=2*popen//env:TMPDIR={elsewhere}", OWN).assert_outcomes(passed=8)
    assert all(lab.noted("shown"))
    assert lab.book.suspects() == {}
    assert [*elsewhere.glob("gpudiscover*")] == []


def test_the_engine_sees_the_machine_as_it_was_before_the_worker_was_masked(lab: Lab) -> None:
    lab.tests(
        """
        import asyncio

        def test_it(gpu_engine, gpu_discovery):
            assert len(asyncio.run(gpu_engine.devices())) == len(gpu_discovery.devices) == 2
            assert len(asyncio.run(gpu_engine.devices(rescan=True))) == 2
        """
    )
    lab.run("-n1", OWN).assert_outcomes(passed=1)


def test_a_test_that_needs_more_than_its_worker_owns_is_told_so(lab: Lab) -> None:
    lab.tests("@pytest.mark.gpu(count=2)\ndef test_it(): pass")
    result = lab.run("-n1", OWN)
    result.stdout.fnmatch_lines(["SKIPPED*needed: 2 devices*this worker has what it was given for its life*"])
    lab.run("-n1", OWN, "--gpudiscover-strict").assert_outcomes(errors=1)


def test_more_workers_than_devices_are_a_usage_error(lab: Lab) -> None:
    lab.tests(WHO)
    result = lab.run("-n3", OWN)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *got 3 workers on *, which has 2 devices: *-n auto starts one*"])
    assert lab.notes == []


def test_a_host_with_too_few_devices_ends_the_run_where_the_controller_cannot_know(lab: Lab) -> None:
    lab.tests(WHO)
    workers = ["--tx=popen//env:CUDA_VISIBLE_DEVICES=0"] * 2
    result = lab.run("--dist=load", *workers, OWN)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*gpudiscover: worker gw? gets no device: *got 2 workers on *1 device: *"])
    assert lab.notes == []


def test_a_worker_whose_device_is_held_by_others_ends_the_run(lab: Lab) -> None:
    lab.tests(WHO)
    with lab.lease(2):
        result = lab.run("-n1", OWN, "--gpudiscover-lease-timeout=3")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stderr.fnmatch_lines(
        ["gpudiscover: worker gw0 of pytest-xdist has waited * s for 1 device: somebody else *"]
    )
    result.stdout.fnmatch_lines(["*gpudiscover: worker gw0 gets no device: *somebody else *holds CUDA*"])
    assert lab.notes == []


def test_a_worker_that_replaces_a_crashed_one_gets_its_device(lab: Lab) -> None:
    lab.tests(
        """
        @pytest.mark.parametrize("n", range(6))
        def test_it(gpu_devices, n, worker_id):
            note(worker=worker_id, device=gpu_devices[0].id)
            if n == 0:
                os.kill(os.getpid(), 9)
            until(lambda: len({note["worker"] for note in notes()}) == 3)
        """
    )
    result = lab.run("-n2", OWN)
    result.assert_outcomes(passed=5, failed=1)
    owners = {note["worker"]: note["device"] for note in lab.notes}
    (dead,) = [worker for worker in owners if f"worker '{worker}' crashed" in result.stdout.str()]
    (new,) = owners.keys() - {"gw0", "gw1"}
    assert owners[new] == owners[dead]
    assert len({*owners.values()}) == 2
    assert lab.book.suspects() == {}  # it was verified, and found well


def test_the_gpu_tests_of_a_worker_hold_its_device_whether_or_not_they_name_it(
    lab_of: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = lab_of("L4")
    monkeypatch.setenv("BOOK", str(lab.book.directory))
    lab.conftest(
        """
        def pytest_runtest_logreport(report):
            if report.when == "teardown" and not hasattr(report, "node"):
                told = {"devices": [], "quarantined": []} | getattr(report, "gpudiscover", {})
                note(ran_on=[device["card"] for device in told["devices"]], lost=len(told["quarantined"]))
        """
    )
    lab.tests(
        """
        def test_devices(gpu_devices): pass

        def test_other():
            note(tickets=[name for name in os.listdir(os.environ["BOOK"]) if name.endswith(".json")])

        @pytest.mark.gpu
        def test_marked():
            change(lambda machine: machine["fault"].append({"name": "exit_early", "phase": "verify"}))
            assert False

        @pytest.mark.gpu
        def test_after(): pass
        """
    )
    lab.run("-n1", OWN).assert_outcomes(passed=2, failed=1, skipped=1)
    card = ["pci 0000:01:00.0"]
    told = [(note["ran_on"], note["lost"]) for note in lab.notes if "ran_on" in note]
    assert told == [(card, 0), ([], 0), (card, 1), ([], 0)]
    assert [len(tickets) for tickets in lab.noted("tickets")] == [
        1
    ]  # the worker's, between its tests as well


@pytest.mark.parametrize("strict", [False, True])
def test_a_device_that_was_lost_with_its_worker_is_given_to_nobody(lab: Lab, strict: bool) -> None:
    lab.conftest(
        """
        def pytest_runtest_logreport(report):
            if report.when == "setup" and not report.passed:
                note(refused=report.longreprtext, shown=os.environ.get("CUDA_VISIBLE_DEVICES"))
        """
    )
    lab.tests(
        """
        @pytest.mark.parametrize("n", range(20))
        def test_it(gpu_devices, n):
            note(device=gpu_devices[0].id)
            if n == 0:
                breaks(gpu_devices[0])
                os.kill(os.getpid(), 9)
            until(lambda: any("refused" in note for note in notes()))
        """
    )
    counts = lab.run("-n2", OWN, *["--gpudiscover-strict"] if strict else []).parseoutcomes()
    refused = counts.get("errors" if strict else "skipped", 0)
    assert refused
    assert counts["passed"] + refused == 19
    worker = [note for note in lab.notes if note.get("shown") is not None]
    assert {note["shown"] for note in worker} == {""}
    assert all("worker gw" in note["refused"] and "SIGSEGV" in note["refused"] for note in worker)
