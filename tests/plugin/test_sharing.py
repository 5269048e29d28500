"""What the processes of one run share on one host: the discovery, above all."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from labs import Lab
from pytest_gpudiscover.plugin import sharing
from pytest_gpudiscover.plugin.sharing import RunFolder
from runners import write_runner

FOUR_TESTS = """
@pytest.mark.parametrize("n", range(4))
def test_it(gpu_devices, gpu_discovery, n, worker_id):
    note(worker=worker_id, devices=[device.id for device in gpu_devices], probes=len(gpu_discovery.probes))
    until(lambda: len({note["worker"] for note in notes()}) == 2)  # both have to do something
"""


def test_a_run_discovers_once_however_many_workers_it_has(lab: Lab) -> None:
    lab.tests(FOUR_TESTS)
    lab.run("-n2").assert_outcomes(passed=4)
    assert [call.phase for call in lab.host.calls].count("enumerate") == len(lab.host.document["variant"])
    (seen,) = {(*note["devices"], note["probes"]) for note in lab.notes}
    assert len(seen) == 3
    assert lab.left_behind == []


def test_a_worker_that_dies_while_it_discovers_leaves_the_others_working(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first runner that is started kills the worker which waits for it.
    conduct = """
try:
    os.close(os.open({first!r}, os.O_CREAT | os.O_EXCL))
except FileExistsError:
    serve(OK)
os.kill(int(os.environ["WORKER"]), 9)
listen(); import time; time.sleep(60)
""".format(first=str(tmp_path / "first"))
    runner = " ".join(write_runner(tmp_path, conduct))
    lab.conftest("def pytest_configure(): os.environ['WORKER'] = str(os.getpid())")
    lab.tests(
        """
        @pytest.mark.parametrize("n", range(6))
        def test_it(gpu_devices, n): note(devices=len(gpu_devices))
        """
    )
    monkeypatch.delenv("GPUDISCOVER_HOST")
    result = lab.run("-n2", f"--gpudiscover-runner={runner}")
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(["*worker 'gw?' crashed while running *"])
    assert lab.noted("devices") == [1] * 5
    assert lab.left_behind == []


def test_a_discovery_that_cannot_run_is_said_by_every_worker(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GPUDISCOVER_HOST")
    lab.tests("@pytest.mark.parametrize('n', range(4))\ndef test_it(gpu_devices, n): pass")
    result = lab.run("-n2", "--gpudiscover-runner=/no/such/runner")
    result.assert_outcomes(errors=4)
    assert result.stdout.str().count("GPU discovery cannot run: /no/such/runner") == 4


def test_workers_under_masks_of_their_own_discover_for_themselves(lab: Lab) -> None:
    lab.tests(
        """
        def test_it(gpu_devices, gpu_lease):
            assert [device.pci_id for device in gpu_devices] == [os.environ["EXPECTED"]]
        """
    )
    workers = [f"--tx=popen//env:CUDA_VISIBLE_DEVICES={n}//env:EXPECTED=0000:0{n + 1}:00.0" for n in range(2)]
    lab.run("--dist=each", *workers).assert_outcomes(passed=2)


def test_an_engine_in_a_worker_goes_on_from_the_discovery_of_the_run(lab: Lab) -> None:
    lab.tests(
        """
        import asyncio

        @pytest.mark.parametrize("n", range(2))
        def test_it(gpu_engine, n, worker_id):
            note(devices=len(asyncio.run(gpu_engine.devices())), worker=worker_id)
            until(lambda: len({note["worker"] for note in notes()}) == 2)
        """
    )
    lab.run("-n2").assert_outcomes(passed=2)
    phases = [call.phase for call in lab.host.calls]
    assert phases.count("enumerate") == len(lab.host.document["variant"])
    assert phases.count("refresh") == 2
    assert lab.noted("devices") == [2, 2]


def test_an_engine_that_was_used_before_is_not_asked_to_discover_again(lab: Lab) -> None:
    lab.tests(
        """
        import asyncio

        def test_engine(gpu_engine): assert asyncio.run(gpu_engine.devices())

        def test_fixture(gpu_discovery): assert gpu_discovery.rejected
        """
    )
    lab.run("-q").assert_outcomes(passed=2)
    assert [call.phase for call in lab.host.calls].count("enumerate") == len(lab.host.document["variant"])


def test_what_a_run_knows_outlives_the_worker_that_found_it_out(lab: Lab) -> None:
    lab.conftest("def pytest_unconfigure(config):\n    open(f'ended-{os.getppid()}', 'w').close()")
    lab.tests(
        """
        @pytest.fixture
        def late(): until(lambda: os.path.exists(f"ended-{os.getppid()}"))

        def test_early(gpu_lease): pass

        def test_late(late, gpu_lease): pass
        """
    )
    lab.run("-n2").assert_outcomes(passed=2)
    assert [call.phase for call in lab.host.calls].count("enumerate") == len(lab.host.document["variant"])


def test_a_run_that_uses_no_gpu_makes_no_directory(lab: Lab) -> None:
    lab.tests("def test_it(): note(found=os.listdir(os.environ['TMPDIR']))")
    lab.run("-n1").assert_outcomes(passed=1)
    assert not [name for (found,) in [lab.noted("found")] for name in found if "gpudiscover" in name]


def test_what_one_made_the_others_read(tmp_path: Path) -> None:
    one, other = RunFolder("uid", tmp_path), RunFolder("uid", tmp_path)
    assert one.once("key", lambda: "made") == "made"
    assert other.once("key", _must_not_be_called) == "made"
    assert other.once("another key", lambda: "anew") == "anew"


def test_what_could_not_be_made_is_tried_again(tmp_path: Path) -> None:
    folder = RunFolder("uid", tmp_path)
    with pytest.raises(OSError, match="no luck"):
        folder.once("key", _fail)
    assert folder.once("key", lambda: "made") == "made"


def test_the_last_one_out_removes_the_directory(tmp_path: Path) -> None:
    one, other = RunFolder("uid", tmp_path), RunFolder("uid", tmp_path)
    one.join()
    other.join()
    other.leave()
    assert one.path.is_dir()
    one.leave()
    one.leave()
    assert [*tmp_path.iterdir()] == []


def test_who_never_joined_removes_nothing(tmp_path: Path) -> None:
    folder = RunFolder("uid", tmp_path)
    folder.join()
    RunFolder("uid", tmp_path).leave()
    assert folder.path.is_dir()
    folder.leave()


def test_a_run_removes_what_killed_ones_left_and_nothing_else(tmp_path: Path) -> None:
    alive, killed, young = (RunFolder(uid, tmp_path) for uid in ("alive", "killed", "young"))
    alive.join()
    for folder in (killed, young):
        folder.join()
        assert folder._membership
        folder._membership.close()  # as the kernel does for the dead
    other = tmp_path / "something-else"
    other.mkdir()
    for path in (alive.path, killed.path, other):
        os.utime(path, (time.time() - 7200,) * 2)
    newcomer = RunFolder("new", tmp_path)
    newcomer.join()
    assert {*tmp_path.iterdir()} == {alive.path, young.path, newcomer.path, other}


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such permissions")
@pytest.mark.parametrize("kind", ["open to others", "link"])
def test_a_directory_that_is_not_this_users_alone_is_refused(tmp_path: Path, kind: str) -> None:
    folder = RunFolder("uid", tmp_path)
    if kind == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.path.symlink_to(tmp_path / "elsewhere")
    else:
        folder.path.mkdir()
        folder.path.chmod(0o755)
    with pytest.raises(PermissionError, match="expected a directory that is this user's alone"):
        folder.join()


def test_quarantine_is_for_all_and_ends_with_the_run(tmp_path: Path) -> None:
    one, other = RunFolder("uid", tmp_path), RunFolder("uid", tmp_path)
    assert other.quarantined() == {}
    one.quarantine("pci 0000:01:00.0", {"reason": "crashed", "detail": "it was SIGSEGV"})
    found = {"card": "pci 0000:01:00.0", "reason": "crashed", "detail": "it was SIGSEGV"}
    assert other.quarantined() == {"pci 0000:01:00.0": found}
    one.leave()
    assert other.quarantined() == {}


def test_who_joins_while_the_last_one_removes_the_directory_gets_one_of_his_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last, newcomer = RunFolder("uid", tmp_path), RunFolder("uid", tmp_path)
    remove = shutil.rmtree

    def removed_too_late(path: Path, *, ignore_errors: bool) -> None:
        newcomer.quarantine("card", {"reason": "crashed"})
        remove(path, ignore_errors=ignore_errors)

    last.join()
    monkeypatch.setattr(shutil, "rmtree", removed_too_late)
    last.leave()
    monkeypatch.undo()
    assert newcomer.quarantined() == {"card": {"reason": "crashed", "card": "card"}}
    newcomer.leave()
    assert [*tmp_path.iterdir()] == []


def test_processes_that_join_and_leave_at_once_do_not_get_in_each_others_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "_POLL", 0.0001)
    four = threading.Barrier(4, timeout=10)

    def passes_through(card: str) -> None:
        for run in range(50):
            folder = RunFolder(str(run), tmp_path)
            four.wait()
            folder.quarantine(card, {})
            assert card in folder.quarantined()
            folder.leave()

    with ThreadPoolExecutor(4) as threads:
        [*threads.map(passes_through, "abcd")]
    assert [*tmp_path.iterdir()] == []


def test_who_has_joined_joins_anew_when_somebody_has_cleaned_up(tmp_path: Path) -> None:
    folder = RunFolder("uid", tmp_path)
    folder.join()
    shutil.rmtree(folder.path)
    assert folder.once("key", lambda: "made") == "made"
    RunFolder("uid", tmp_path).leave()
    assert [*folder.path.glob("members/*")]


def _must_not_be_called() -> str:
    raise AssertionError("it was made already")


def _fail() -> str:
    raise OSError("no luck")
