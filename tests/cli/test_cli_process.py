"""The command as others meet it: processes, exit codes, what is on stdout and what is on stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_gpudiscover.cli import commands, main

Command = Callable[..., subprocess.CompletedProcess[str]]
ActOut = Callable[[dict[str, Any]], list[str]]

CARD = {
    "name": "card",
    "description": "A Card",
    "pci_id": "0000:01:00.0",
    "total_memory": "8 GiB",
    "compute": "8.9",
}
ONE_CARD = {"gpu": [CARD], "variant": {"cuda_v13": {"library": "CUDA", "devices": ["card"]}}}
NO_CARD = {"gpu": [], "variant": {"cuda_v13": {"library": "CUDA", "devices": []}}}
BAD_CARD = ONE_CARD | {"fault": [{"name": "crash_deep", "device": "card", "signal": "SEGV"}]}
CRASHING = ONE_CARD | {"fault": [{"name": "signal", "signal": "SEGV"}]}
HEAVY = ("rich", "httpx", "httpcore", "asyncio", "psutil", "json", "importlib.metadata")


def test_a_device_is_listed(gpudiscover: Command, acting_out: ActOut) -> None:
    done = gpudiscover("list", *acting_out(ONE_CARD))
    assert (done.returncode, done.stderr) == (0, "")
    assert "A Card" in done.stdout
    assert "1 usable GPU, 0 rejected, 2 runners started" in done.stdout


def test_json_is_one_object_and_nothing_else(gpudiscover: Command, acting_out: ActOut) -> None:
    done = gpudiscover("--json", *acting_out(BAD_CARD), CUDA_VISIBLE_DEVICES="0")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert set(report) == {"schema", "devices", "rejected", "probes", "duration"}
    assert [rejection["reason"] for rejection in report["rejected"]] == ["crashed"]


def test_a_rejected_device_is_explained_and_the_exit_code_stays_0(
    gpudiscover: Command, acting_out: ActOut
) -> None:
    done = gpudiscover(*acting_out(BAD_CARD))
    assert done.returncode == 0
    assert "A Card" in done.stdout
    assert "crashed (verify, cuda_v13): the runner was ended by SIGSEGV" in done.stdout


def test_no_gpu_is_a_friendly_sentence(gpudiscover: Command, acting_out: ActOut) -> None:
    done = gpudiscover(*acting_out(NO_CARD))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("No usable GPU was found on this machine.\nAsked: cuda_v13 answered.\n")
    assert "nvidia-smi" in done.stdout


def test_runners_that_all_fail_are_no_error_of_ours(gpudiscover: Command, acting_out: ActOut) -> None:
    done = gpudiscover(*acting_out(CRASHING))
    assert (done.returncode, done.stderr) == (0, "")
    assert "Asked: cuda_v13 failed (crashed)." in done.stdout


def test_the_timeout_bounds_a_probe(gpudiscover: Command, acting_out: ActOut) -> None:
    hanging = ONE_CARD | {"fault": [{"name": "never_bind"}]}
    done = gpudiscover("--timeout", "0.25", *acting_out(hanging))
    assert done.returncode == 0
    assert "timeout (enumerate): listing the devices took longer than 0.25 s" in done.stdout


@pytest.mark.parametrize(
    ("options", "served"),
    [
        ([], {"GPU-a": "cuda_v13", "GPU-b": "cuda_v13"}),
        (["--overlap", "ollama"], {"GPU-a": "cuda_v12", "GPU-b": "cuda_v13"}),
        (["--variant", "cuda_v12"], {"GPU-a": "cuda_v12"}),
        (["--without-variant", "cuda_v13"], {"GPU-a": "cuda_v12"}),
    ],
)
def test_the_user_decides_which_variants_serve(
    gpudiscover: Command, acting_out: ActOut, library_root: Path, options: list[str], served: dict[str, str]
) -> None:
    older = library_root / "cuda_v12"
    older.mkdir()
    (older / "libggml-cuda.so").touch()
    gpus = [CARD | {"name": name, "uuid": f"GPU-{name}", "pci_id": ""} for name in "ab"]
    variants = {
        "cuda_v13": {"library": "CUDA", "devices": ["a", "b"]},
        "cuda_v12": {"library": "CUDA", "devices": ["a"]},
    }
    done = gpudiscover("--json", *options, *acting_out({"gpu": gpus, "variant": variants}))
    assert {device["id"]: device["variant"] for device in json.loads(done.stdout)["devices"]} == served


def test_masks_that_the_user_set_are_named_and_the_log_is_silent(
    gpudiscover: Command, acting_out: ActOut
) -> None:
    done = gpudiscover(*acting_out(ONE_CARD), CUDA_VISIBLE_DEVICES="")
    assert (done.returncode, done.stderr) == (0, "")
    assert "CUDA_VISIBLE_DEVICES='' is set" in done.stdout


def test_verbose_shows_the_log_on_stderr(gpudiscover: Command, acting_out: ActOut) -> None:
    done = gpudiscover("-v", "--json", *acting_out(ONE_CARD))
    assert json.loads(done.stdout)["devices"]
    assert "DEBUG" in done.stderr
    assert "TRACE" not in done.stderr
    assert "httpx" not in done.stderr


def test_twice_verbose_shows_the_trace(gpudiscover: Command, acting_out: ActOut) -> None:
    assert "TRACE" in gpudiscover("-vv", *acting_out(ONE_CARD)).stderr


def test_a_check_that_is_met_exits_0(gpudiscover: Command, acting_out: ActOut) -> None:
    done = gpudiscover("check", "--min-memory", "8GiB", "--library", "cuda", *acting_out(ONE_CARD))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Met, needed: 1 cuda device of 8.0 GiB or more; usable: 1 of 1 device\n")


def test_a_check_that_is_not_met_exits_1_and_says_why(gpudiscover: Command, acting_out: ActOut) -> None:
    done = gpudiscover("check", *acting_out(BAD_CARD))
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("Not met, needed: 1 device; usable: 0 of 0 devices\n")
    assert "No usable GPU was found" in done.stdout
    assert "crashed (verify, cuda_v13)" in done.stdout


def test_a_check_answers_in_json_too(gpudiscover: Command, acting_out: ActOut) -> None:
    done = gpudiscover("check", "--json", "--min-devices", "2", *acting_out(ONE_CARD))
    answer = json.loads(done.stdout)
    assert done.returncode == 1
    assert (answer["schema"], answer["met"], len(answer["report"]["devices"])) == (1, False, 1)
    (device,) = answer["report"]["devices"]
    assert answer["reasons"] == [
        "needed: 2 devices; usable: 1 of 1 device",
        f"fitting: CUDA {device['id']} (A Card)",
    ]


def test_a_check_names_the_mask_that_hides_what_is_needed(gpudiscover: Command, acting_out: ActOut) -> None:
    options = ["check", "--library", "CUDA", *acting_out(ONE_CARD)]
    done = gpudiscover(*options, CUDA_VISIBLE_DEVICES="-1")
    said = "CUDA_VISIBLE_DEVICES=-1 is the cause: every CUDA device is hidden"
    assert (done.returncode, done.stdout.count("CUDA_VISIBLE_DEVICES=")) == (1, 1)
    assert f"\n- {said}\n" in done.stdout
    answer = json.loads(gpudiscover("--json", *options, CUDA_VISIBLE_DEVICES="-1").stdout)
    assert answer["reasons"] == ["needed: 1 CUDA device; usable: 0 of 0 devices", said]


@pytest.mark.parametrize("command", ["list", "check", "matrix"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--runner", "/no/such/runner"], "/no/such/runner"),
        (["--runner", "no-such-runner-on-path"], "no-such-runner-on-path"),
        (["--runner", "/"], "is a directory"),
        (["--runner", __file__], "is not executable"),
        (["--runner", "'unclosed"], "is no command line"),
        (["--runner", "python3", "--library-root", "/no/such/root"], "/no/such/root"),
        (["--runner", "native", "--variant", "nonsense"], "'nonsense': no variant of that name"),
        (["--runner", "native", "--variant", ""], "gpudiscover: '': no variant of that name"),
    ],
)
def test_what_cannot_run_exits_2_with_one_line(
    command: str, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("gpudiscover: ")
    assert captured.err.count("\n") == 1
    assert words in captured.err


@pytest.mark.parametrize("command", ["list", "check", "matrix"])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(24, "Too many open files"), "[Errno 24] Too many open files"),
        (RuntimeError("can't start new thread"), "can't start new thread"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_a_system_that_has_nothing_left_exits_2_with_one_line(
    command: str,
    error: Exception,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(options: object) -> None:
        raise error

    monkeypatch.setattr(commands, "discovered", refuse)
    assert main([command]) == 2
    assert capsys.readouterr() == ("", f"gpudiscover: could not run: {said}\n")


def test_a_process_that_cannot_run_exits_2_with_one_line(gpudiscover: Command) -> None:
    done = gpudiscover("list", "--runner", "'/no/such\nrunner'")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("variables", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
@pytest.mark.parametrize("options", [[], ["--json"], ["check"]])
def test_a_locale_without_unicode_is_no_problem(
    gpudiscover: Command, acting_out: ActOut, variables: dict[str, str], options: list[str]
) -> None:
    card = CARD | {"description": "Gr\u00e4fik \U0001f600 " + "long " * 60}
    done = gpudiscover(*options, *acting_out(ONE_CARD | {"gpu": [card]}), **variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert "fik" in done.stdout


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"], ["--help"], ["--version"], ["check"]])
def test_a_reader_who_left_is_no_error(
    arguments: list[str], clean_environment: dict[str, str], acting_out: ActOut
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "pytest_gpudiscover.cli", *arguments, *acting_out(ONE_CARD)]
    with os.fdopen(writing, "wb") as closed:
        done = subprocess.run(
            command, stdout=closed, stderr=subprocess.PIPE, env=clean_environment, check=False
        )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_full_disk_is_said_in_one_line(clean_environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "pytest_gpudiscover.cli", "--version"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, env=clean_environment, check=False
        )
    assert done.returncode == 2
    assert done.stderr == b"gpudiscover: stdout cannot be written: No space left on device\n"


def test_help_imports_nothing_that_takes_time(clean_environment: dict[str, str]) -> None:
    text = f"""
import sys
from pytest_gpudiscover.cli import main
assert main(["--help"]) == 0
loaded = set(sys.modules) & set({HEAVY!r})
assert not loaded, loaded
"""
    done = subprocess.run(
        [sys.executable, "-S", "-c", text], env=clean_environment, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
