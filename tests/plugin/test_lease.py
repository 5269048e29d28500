"""`gpu_lease`: in pytest runs of their own on simulated machines, alone and beside other holders."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from labs import Lab, until
from pytest_gpudiscover.simulation import FakeHost

A_TEST = "def test_it(gpu_lease): note(devices=[device.id for device in gpu_lease.devices])"


def test_a_test_without_a_marker_holds_one_whole_device(lab: Lab) -> None:
    lab.tests(
        """
        def test_it(gpu_lease):
            (device,) = gpu_lease.devices
            assert gpu_lease.env == {"CUDA_VISIBLE_DEVICES": device.id, "GGML_VK_VISIBLE_DEVICES": ""}
            assert gpu_lease.torch_devices == ("cuda:0",)
            assert gpu_lease.memory is None
            assert all(isinstance(value, str) for value in gpu_lease.env.values())
        """
    )
    lab.run().assert_outcomes(passed=1)
    assert lab.book.entries() == []
    assert lab.book.suspects() == {}
    assert lab.left_behind == []


def test_a_marker_says_how_many_devices_of_what_kind_a_lease_holds(lab_of: Callable[..., Lab]) -> None:
    lab = lab_of("RX 7900 XTX", "L4", "RX 7900 XTX")
    lab.tests(
        """
        @pytest.mark.gpu(count=2, library="rocm")
        def test_two(gpu_lease):
            assert [device.library for device in gpu_lease.devices] == ["ROCm", "ROCm"]
            assert "CUDA_VISIBLE_DEVICES" not in gpu_lease.env
            assert gpu_lease.torch_devices == ("cuda:0", "cuda:1")

        @pytest.mark.gpu(min_memory="8GiB", library="CUDA")
        def test_share(gpu_lease):
            assert gpu_lease.memory == 8 << 30

        @pytest.mark.gpu(min_memory="8GiB", library="CUDA", exclusive=True)
        def test_exclusive(gpu_lease):
            assert gpu_lease.memory is None
        """
    )
    lab.run().assert_outcomes(passed=3)


def test_a_lease_stays_within_the_mask_the_run_was_given(
    lab_of: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = lab_of(FakeHost.of("L4", "L4", "L4"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,1")
    lab.tests(
        """
        @pytest.mark.gpu(count=2)
        def test_both(gpu_lease):
            assert {device.pci_id for device in gpu_lease.devices} == {"0000:02:00.0", "0000:03:00.0"}

        @pytest.mark.gpu(count=3)
        def test_more(gpu_lease): pass
        """
    )
    result = lab.run()
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*needed: 3 devices*CUDA_VISIBLE_DEVICES=2,1*"])


def test_an_active_lease_masks_this_process_and_nothing_afterwards(lab: Lab) -> None:
    lab.tests(
        """
        def test_it(gpu_lease):
            gpu_lease.activate()
            assert os.environ["CUDA_VISIBLE_DEVICES"] == gpu_lease.devices[0].id

        @pytest.mark.gpu(count=2)
        def test_then(gpu_lease):
            assert "CUDA_VISIBLE_DEVICES" not in os.environ
        """
    )
    lab.run().assert_outcomes(passed=2)


def test_two_workers_never_hold_one_card_at_once(lab_of: Callable[..., Lab]) -> None:
    lab = lab_of("L4")
    lab.tests(
        """
        @pytest.mark.parametrize("n", range(6))
        def test_it(gpu_lease, n, worker_id):
            note(enters=worker_id)
            time.sleep(0.05)
            note(leaves=worker_id)
        """
    )
    lab.run("-n2").assert_outcomes(passed=6)
    order = [next(iter(note.items())) for note in lab.notes]
    assert [what for what, _ in order] == ["enters", "leaves"] * 6
    assert [who for what, who in order if what == "enters"] == [
        who for what, who in order if what == "leaves"
    ]
    assert {who for _, who in order} == {"gw0", "gw1"}


def test_tests_that_share_a_card_run_side_by_side(lab_of: Callable[..., Lab]) -> None:
    lab = lab_of("L4")
    lab.tests(
        """
        @pytest.mark.gpu(min_memory="8GiB")
        @pytest.mark.parametrize("n", range(2))
        def test_it(gpu_lease, n):
            note(enters=n)
            until(lambda: len(notes()) == 2)  # neither ends before both are here
        """
    )
    lab.run("-n2").assert_outcomes(passed=2)


def test_who_waits_says_so_from_a_worker_too_and_fails_in_the_end(lab_of: Callable[..., Lab]) -> None:
    lab = lab_of("L4")
    lab.tests(A_TEST)
    with lab.lease():
        result = lab.run("-n1", "--gpudiscover-lease-timeout=3")
    result.assert_outcomes(errors=1)
    waits = r"gpudiscover: test_it\.py::test_it has waited \d+ s for 1 device: "
    holds = r"somebody else \(pid \d+ of \S+\) holds CUDA NVIDIA L4 GPU-\S+ for \d+ s"
    assert re.search(waits + holds, result.stderr.str())
    assert re.search("waited 3 s in vain for 1 device: " + holds, result.stdout.str())
    assert lab.noted("devices") == []


def test_capture_does_not_hide_that_a_test_waits(lab_of: Callable[..., Lab]) -> None:
    lab = lab_of("L4")
    lab.tests("def test_it(capfd, gpu_lease): pass\ndef test_other(capsys, gpu_lease): pass")
    with lab.lease():
        result = lab.run("--gpudiscover-lease-timeout=3")
    assert result.stderr.str().count(" has waited ") == 2


def test_a_test_waits_until_another_run_gives_the_device_back(lab_of: Callable[..., Lab]) -> None:
    lab = lab_of("L4")
    lab.tests(A_TEST)
    with lab.lease() as lease:
        run = lab.start()
        until(lambda: len(lab.book.entries()) == 2)
        assert lab.noted("devices") == []
    output, _ = run.communicate(timeout=60)
    assert "1 passed" in output
    assert lab.noted("devices") == [[lease.devices[0].id]]


@pytest.mark.parametrize(
    "end",
    ["assert False", "raise KeyboardInterrupt", "pytest.exit('enough')", "request.getfixturevalue('bad')"],
)
def test_a_lease_ends_with_its_test_however_that_ends(lab: Lab, end: str) -> None:
    lab.tests(
        f"""
        @pytest.fixture
        def bad(): raise OSError("no")

        def test_it(gpu_lease, request):
            {end}
        """
    )
    run = lab.start()
    assert run.wait(timeout=60) not in (0, -9)
    assert lab.book.entries() == []
    assert lab.book.suspects() == {}
    assert lab.left_behind == []


def test_a_test_that_is_interrupted_while_it_waits_leaves_nothing(lab_of: Callable[..., Lab]) -> None:
    lab = lab_of("L4")
    lab.tests(A_TEST)
    with lab.lease():
        run = lab.start()
        until(lambda: len(lab.book.entries()) == 2)
        run.send_signal(2)
        output, _ = run.communicate(timeout=60)
        assert "KeyboardInterrupt" in output
        assert [entry.holder.purpose for entry in lab.book.entries()] == ["somebody else"]
    assert lab.left_behind == []


def test_a_share_larger_than_what_is_free_is_not_refused_and_has_its_card_alone(
    lab_of: Callable[..., Lab],
) -> None:
    lab = lab_of("L4")
    lab.host.set_free_memory("gpu0", "22 GiB")
    lab.tests(
        """
        def holds_it(lease):
            note(enters=lease.memory)
            time.sleep(0.05)
            note(leaves=lease.memory)

        @pytest.mark.gpu(min_memory="22.25GiB")
        def test_large(gpu_lease): holds_it(gpu_lease)

        @pytest.mark.gpu(min_memory="1GiB")
        def test_small(gpu_lease): holds_it(gpu_lease)
        """
    )
    lab.run("-n2").assert_outcomes(passed=2)
    assert [next(iter(note)) for note in lab.notes] == ["enters", "leaves"] * 2


def test_without_a_device_a_lease_is_refused_with_the_reasons(lab_of: Callable[..., Lab]) -> None:
    lab = lab_of()
    lab.tests(A_TEST)
    lab.run().stdout.fnmatch_lines(["SKIPPED*needed: 1 device; usable: 0 of 0 devices*"])
    lab.run("--gpudiscover-strict").assert_outcomes(errors=1)


def test_a_directory_that_cannot_be_used_fails_the_test_and_says_which(lab: Lab) -> None:
    lab.tests(A_TEST)
    (lab.path / "file").touch()
    result = lab.run(f"--gpudiscover-leases={lab.path / 'file'}")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the leases of this machine cannot be kept in *file*"])


def test_reports_tell_what_a_test_held_and_for_how_long(lab: Lab) -> None:
    lab.conftest(
        """
        def pytest_configure(config):
            if not hasattr(config, "workerinput"):
                config.pluginmanager.register(Controller())

        class Controller:
            def pytest_runtest_logreport(self, report):
                told = getattr(report, "gpudiscover", {})
                note(when=report.when, keys=sorted(told), devices=told.get("devices"))
        """
    )
    lab.tests("def test_it(gpu_lease): pass\ndef test_other(): pass")
    lab.run("-n1").assert_outcomes(passed=2)
    setup, call, teardown, *others = lab.notes
    (device,) = setup["devices"]
    assert device["card"] == "pci 0000:01:00.0"
    assert device["library"] == "CUDA"
    assert device["description"] == "NVIDIA L4"
    assert setup["devices"] == call["devices"] == teardown["devices"]
    assert {"devices", "waited"} <= set(setup["keys"])
    assert "held" not in call["keys"]
    assert "held" in teardown["keys"]
    assert [other["keys"] for other in others] == [[], [], []]


def test_a_test_that_is_run_again_holds_and_tells_anew(lab_of: Callable[..., Lab]) -> None:
    lab = lab_of("L4")
    lab.conftest(
        """
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            for _ in range(3):
                for report in runtestprotocol(item, nextitem=nextitem, log=False):
                    told = getattr(report, "gpudiscover", {})
                    note(when=report.when, outcome=report.outcome, told=sorted({*told} & {"devices", "held"}))
            return True
        """
    )
    lab.tests(
        """
        @pytest.fixture
        def flaky(): assert len(notes()) == 2

        def test_it(flaky, gpu_lease): pass
        """
    )
    lab.run()
    assert [(note["when"], note["outcome"]) for note in lab.notes] == [
        ("setup", "failed"),
        ("teardown", "passed"),
        ("setup", "passed"),
        ("call", "passed"),
        ("teardown", "passed"),
        ("setup", "failed"),
        ("teardown", "passed"),
    ]
    assert lab.noted("told") == [[], [], ["devices"], ["devices"], ["devices", "held"], [], []]
