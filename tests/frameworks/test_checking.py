"""Frameworks that see what is shown to them, see something else, or cannot be asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lifelines import Lifeline
from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.frameworks.comparing import Outcome, Verdict
from pytest_gpudiscover.reports import Report

Check = Callable[..., Verdict]
Install = Callable[..., None]


@pytest.mark.parametrize("name", ["torch", "cupy", "jax"])
def test_a_framework_that_obeys_the_masks_agrees(install: Install, check: Check, name: str) -> None:
    install(name)
    found = check(name)
    assert (found.outcome, found.library, found.devices, found.problems) == (Outcome.AGREES, "CUDA", 2, ())


def test_a_framework_is_asked_for_all_devices_at_once_and_for_each_alone(
    install: Install, check: Check, site: Path
) -> None:
    install("torch", after=f"print(mask, file=open({str(site / 'asked')!r}, 'a'))")
    check("torch")
    l4, h100 = "GPU-0a000000-0102-0304-0506-0708090a0b0c", "GPU-c1000000-0102-0304-0506-0708090a0b0c"
    assert (site / "asked").read_text().split() == [f"{l4},{h100}", l4, h100]


def test_a_framework_that_is_not_there_is_no_problem(check: Check) -> None:
    assert check("torch") == Verdict(framework="torch", outcome=Outcome.NOT_INSTALLED)


@pytest.mark.parametrize(
    ("name", "after"),
    [
        ("torch", "version.cuda = None; shown.clear()"),
        ("jax", "found.clear()"),
    ],
)
def test_a_framework_for_cpus_has_no_gpu_support(
    install: Install, check: Check, name: str, after: str
) -> None:
    install(name, after=after)
    assert check(name).outcome is Outcome.NO_GPU_SUPPORT


def test_slices_of_one_card_are_there_for_a_process_each(
    install: Install, check: Check, slices: tuple[DeviceInfo, ...]
) -> None:
    install("torch")
    found = check("torch", Report(devices=slices))
    assert (found.outcome, found.devices, found.problems) == (Outcome.AGREES, 2, ())


def test_a_slice_that_its_own_mask_does_not_show_differs(
    install: Install, check: Check, slices: tuple[DeviceInfo, ...]
) -> None:
    install("torch", after=f"if mask == {slices[1].id!r}: shown.clear()")
    (problem,) = check("torch", Report(devices=slices)).problems
    assert problem == f"{slices[1].id} alone: it sees 0 devices where 1 are shown to it"


def test_a_uuid_that_cupy_cuts_off_at_a_zero_is_none(install: Install, check: Check) -> None:
    cut = "whole = properties; runtime.getDeviceProperties = lambda place: whole(place) | {'uuid': b'\\x0a'}"
    install("cupy", after=cut)
    assert check("cupy").outcome is Outcome.AGREES


@pytest.mark.parametrize("status", ["100", "35"])
def test_cupy_without_a_device_or_a_driver_sees_none(install: Install, check: Check, status: str) -> None:
    install("cupy")
    found = check("cupy", Report(), CUDA_VISIBLE_DEVICES="", STATUS=status)
    assert (found.outcome, found.devices) == (Outcome.AGREES, 0)


def test_a_framework_that_sees_something_else_differs(install: Install, check: Check) -> None:
    install("torch", after="shown = whole")
    found = check("torch")
    assert (found.outcome, found.bad) == (Outcome.DIFFERS, True)
    assert found.problems == tuple(
        f"GPU-{first}000000-0102-0304-0506-0708090a0b0c alone: it sees 2 devices (NVIDIA L4, NVIDIA H100)"
        " where 1 are shown to it"
        for first in ("0a", "c1")
    )


def test_a_framework_that_sees_what_no_discovery_found_differs(install: Install, check: Check) -> None:
    install("torch", after="shown = whole")
    found = check("torch", Report())
    assert found.problems == (
        "all at once: it sees 2 devices (NVIDIA L4, NVIDIA H100) where 0 are shown to it",
    )


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("raise ImportError('libcudart.so.12: no such file')", "ImportError: libcudart.so.12: no such file"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "it was ended by SIGSEGV"),
        ("import os; os._exit(3)", "it ended with code 3: it said nothing"),
        ("import os; os._exit(0)", "it ended with code 0 in the middle of the question"),
    ],
)
def test_a_framework_that_breaks_is_a_result_in_words(
    install: Install, check: Check, before: str, said: str
) -> None:
    install("torch", before=before)
    found = check("torch")
    assert (found.outcome, found.bad) == (Outcome.FAILED, True)
    assert said in found.problems[0]


def test_a_framework_that_breaks_behind_one_mask_alone_has_failed(install: Install, check: Check) -> None:
    install("torch", after="if mask.startswith('GPU-c1'): os.abort()")
    found = check("torch")
    assert found.outcome is Outcome.FAILED
    assert found.problems == ("GPU-c1000000-0102-0304-0506-0708090a0b0c alone: it was ended by SIGABRT",)


def test_a_framework_that_hangs_is_ended_with_what_it_started(
    install: Install, check: Check, lifeline: Lifeline
) -> None:
    child = f"[{sys.executable!r}, '-c', 'import time; time.sleep(600)']"
    install(
        "torch",
        before=f"""
        import os, signal, subprocess
        line = os.open({str(lifeline.path)!r}, os.O_WRONLY)
        subprocess.Popen({child}, pass_fds=[line])
        os.write(line, b"both live")
        signal.pause()
        """,
    )
    found = check("torch", timeout=5.0)
    assert found.problems == ("it was not done after 5 s",)
    assert lifeline.word() == "both live"
    assert not lifeline.held


def test_what_a_framework_prints_is_no_answer(install: Install, check: Check) -> None:
    noise = "import sys; print('{}'); print('warning', file=sys.stderr); sys.stdout.flush()"
    install("torch", before=noise, after="import atexit; atexit.register(print, '[]')")
    assert check("torch").outcome is Outcome.AGREES


def test_another_library_s_names_and_uuids_are_nobody_s_business(install: Install, check: Check) -> None:
    radeon = DeviceInfo(
        id="GPU-5f1a", library="ROCm", description="Radeon", pci_id="0000:0a:00.0", total_memory=23 << 30
    )
    shown = "shown = [cards['GPU-0a000000-0102-0304-0506-0708090a0b0c']]"
    install("torch", after=f"version.hip, version.cuda = '6.4', None; {shown}")
    found = check("torch", Report(devices=(radeon,)))
    assert (found.outcome, found.library) == (Outcome.AGREES, "ROCm")


def test_the_framework_is_never_imported_here(install: Install, check: Check) -> None:
    install("cupy")
    check("cupy")
    assert "cupy" not in sys.modules


def command(site: Path, *options: str) -> subprocess.CompletedProcess[str]:
    source = str(Path(__file__).parents[2])
    path = os.pathsep.join([str(site), f"{source}/src", source])
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest_gpudiscover.cli",
            "frameworks",
            "--without-variant",
            "vulkan",
            *options,
        ],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_command_says_what_became_of_each_and_fails_where_one_differs(
    install: Install, site: Path
) -> None:
    install("torch", after="shown = whole")
    install("jax", before="raise ImportError('no jaxlib')")
    done = command(site, "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["agree"]) == (1, False)
    outcomes = [(one["framework"], one["outcome"]) for one in answer["frameworks"]]
    assert outcomes == [("torch", "differs"), ("cupy", "not_installed"), ("jax", "failed")]


def test_the_command_succeeds_where_nothing_is_installed(site: Path) -> None:
    done = command(site)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"{name} is not installed" for name in ("torch", "cupy", "jax")]
