"""`gpudiscover run` with real processes: who holds, who waits, what the command sees, and how it all ends."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="on Windows the command is a child")

Command = Callable[..., subprocess.CompletedProcess[str]]
ActOut = Callable[[dict[str, Any]], list[str]]

PATIENCE = 60
ONE_CARD = {
    "gpu": [{"name": "card", "description": "A Card", "pci_id": "0000:01:00.0", "total_memory": "8 GiB"}],
    "variant": {"cuda_v13": {"library": "CUDA", "devices": ["card"]}},
}
THREE_CARDS: dict[str, Any] = {
    "gpu": [
        {"name": name, "uuid": f"GPU-{name}", "pci_id": f"0000:0{n}:00.0", "total_memory": "8 GiB"}
        for n, name in enumerate("abc")
    ],
    "variant": {"cuda_v13": {"library": "CUDA", "devices": ["a", "b", "c"]}},
}
HOLD = ("sh", "-c", "echo started; read line")
"""A command that lives until its stdin ends."""


class Running:
    """A `gpudiscover run` under way."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    @property
    def pid(self) -> int:
        return self.process.pid

    def hears(self) -> str:
        """The next line on stdout."""
        assert self.process.stdout
        return self.process.stdout.readline()

    def complains(self) -> str:
        """The next line on stderr."""
        assert self.process.stderr
        return self.process.stderr.readline()

    def ends(self) -> int:
        """Close its stdin, and wait for its end."""
        assert self.process.stdin
        self.process.stdin.close()
        return self.process.wait(PATIENCE)


@pytest.fixture
def running(clean_environment: dict[str, str]) -> Iterator[Callable[..., Running]]:
    """Start `gpudiscover run`, and go on."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> Running:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest_gpudiscover.cli", "run", *arguments],
            env=clean_environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return Running(process)

    yield start
    for process in started:
        with process:  # which closes its streams, and waits
            process.kill()


def test_streams_and_exit_code_are_the_commands(gpudiscover: Command, acting_out: ActOut) -> None:
    script = "cat; echo words >&2; exit 7"
    done = gpudiscover("run", *acting_out(ONE_CARD), "--", "sh", "-c", script, stdin="given\n")
    assert (done.returncode, done.stdout, done.stderr) == (7, "given\n", "words\n")


def test_a_command_that_dies_by_a_signal_is_seen_to(gpudiscover: Command, acting_out: ActOut) -> None:
    done = gpudiscover("run", *acting_out(ONE_CARD), "--", "sh", "-c", "kill -SEGV $$")
    assert done.returncode == -signal.SIGSEGV


def test_a_signal_to_the_process_reaches_the_command(
    running: Callable[..., Running], acting_out: ActOut
) -> None:
    script = "trap 'exit 5' TERM; echo started; read line"
    run = running(*acting_out(ONE_CARD), "--", "sh", "-c", script)
    assert run.hears() == "started\n"
    run.process.terminate()
    assert run.process.wait(PATIENCE) == 5


def test_the_environment_is_ours_and_the_masks_of_the_lease(
    gpudiscover: Command, acting_out: ActOut, clean_environment: dict[str, str]
) -> None:
    done = gpudiscover(
        "run", "--gpus", "2", *acting_out(THREE_CARDS), "--", "env", "-0", CUDA_VISIBLE_DEVICES="2,0"
    )
    shown = dict(entry.split("=", 1) for entry in done.stdout.rstrip("\0").split("\0"))
    mask, held = shown.pop("CUDA_VISIBLE_DEVICES"), shown.pop("GPUDISCOVER_HELD")
    assert shown == clean_environment
    assert held.startswith("1:/")
    assert sorted(mask.split(",")) == ["GPU-a", "GPU-c"]


def test_the_processes_of_the_command_lease_its_gpus_from_each_other_and_others_still_wait(
    gpudiscover: Command, running: Callable[..., Running], acting_out: ActOut
) -> None:
    options = acting_out(ONE_CARD)
    inner = [sys.executable, "-m", "pytest_gpudiscover.cli", "run", "--wait", "0", *options, "--"]
    once = shlex.join([*inner, "echo", "held"])
    assert gpudiscover("run", *options, "--", "sh", "-c", once).stdout == "held\n"
    outer = running(*options, "--", *inner, *HOLD)
    # The command within the command holds it, and whoever is outside waits for both.
    assert outer.hears() == "started\n"
    assert gpudiscover("run", "--wait", "0", *options, "--", "true").returncode == 124
    outer.ends()


def test_the_command_sees_the_devices_of_its_lease_and_no_others(
    gpudiscover: Command, running: Callable[..., Running], acting_out: ActOut
) -> None:
    options = acting_out(THREE_CARDS)
    other = running("--gpus", "2", *options, "--", *HOLD)
    assert other.hears() == "started\n"
    listing = [sys.executable, "-m", "pytest_gpudiscover.cli", "--json", *options]
    done = gpudiscover("run", *options, "--", *listing)
    (held,) = json.loads(gpudiscover("leases", "--json").stdout)["held"]
    (seen,) = json.loads(done.stdout)["devices"]
    taken = {gpu["card"] for gpu in held["gpus"]}
    assert len(taken) == 2
    assert f"pci {seen['pci_id']}" in {f"pci 0000:0{n}:00.0" for n in range(3)} - taken
    assert other.ends() == 1


@pytest.fixture
def beside_vulkan(library_root: Path) -> dict[str, Any]:
    """A machine whose cards are listed by CUDA, which the mask of the run narrows down, and by Vulkan."""
    (library_root / "vulkan").mkdir()
    (library_root / "vulkan" / "libggml-vulkan.so").touch()
    vulkan = {"library": "Vulkan", "devices": ["a", "b", "c"]}
    return THREE_CARDS | {"variant": THREE_CARDS["variant"] | {"vulkan": vulkan}}


def test_a_second_library_does_not_show_the_cards_of_others(
    gpudiscover: Command, acting_out: ActOut, beside_vulkan: dict[str, Any]
) -> None:
    options = acting_out(beside_vulkan)
    listing = [sys.executable, "-m", "pytest_gpudiscover.cli", "--json", *options]
    done = gpudiscover("run", *options, "--", *listing)
    assert [device["library"] for device in json.loads(done.stdout)["devices"]] == ["CUDA"]


def test_a_run_does_not_leave_its_mask_through_a_second_library(
    gpudiscover: Command, acting_out: ActOut, beside_vulkan: dict[str, Any]
) -> None:
    options = acting_out(beside_vulkan)
    done = gpudiscover("run", "--gpus", "2", *options, "--", "echo", "never", CUDA_VISIBLE_DEVICES="0")
    assert (done.returncode, done.stdout) == (1, "")
    assert "usable: 1 of 1 device" in done.stderr
    offered = json.loads(gpudiscover("matrix", *options, CUDA_VISIBLE_DEVICES="0").stdout)["include"]
    assert [(entry["library"], entry["count"]) for entry in offered] == [("CUDA", 1)]


def test_the_command_has_the_ticket_open_and_nothing_else_and_no_children(
    gpudiscover: Command, acting_out: ActOut, leases: Path
) -> None:
    code = """
import os
for name in os.listdir("/proc/self/fd"):
    if int(name) > 2 and os.path.exists(f"/proc/self/fd/{name}"):
        print(os.readlink(f"/proc/self/fd/{name}"))
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("no children")
"""
    if not Path("/proc/self/fd").exists():
        pytest.skip("there is no /proc")
    done = gpudiscover("run", *acting_out(ONE_CARD), "--", sys.executable, "-I", "-S", "-c", code)
    *files, children = done.stdout.splitlines()
    assert children == "no children"
    assert [Path(file).parent.parent for file in files] == [leases]


def test_two_runs_follow_each_other_and_one_who_does_not_wait_learns_who_is_in_the_way(
    gpudiscover: Command, running: Callable[..., Running], acting_out: ActOut
) -> None:
    options = acting_out(ONE_CARD)
    first = running(*options, "--", *HOLD)
    assert first.hears() == "started\n"

    second = running(*options, "--", *HOLD)
    said = second.complains()
    assert said.startswith("gpudiscover: waiting for 1 device for ")
    assert f"{shlex.join(HOLD)} (pid {first.pid} of " in said
    assert "holds CUDA A Card" in said

    third = gpudiscover("run", "--wait", "0.2", *options, "--", "echo", "never")
    assert (third.returncode, third.stdout) == (124, "")
    assert third.stderr.startswith("gpudiscover: waited 0.2 s in vain for 1 device: ")
    assert f"(pid {first.pid} of " in third.stderr
    assert f"(pid {second.pid} of " in third.stderr

    book = json.loads(gpudiscover("leases", "--json").stdout)
    assert [ticket["pid"] for ticket in book["held"]] == [first.pid]
    assert [ticket["pid"] for ticket in book["waiting"]] == [second.pid]

    assert first.ends() == 1
    assert second.hears() == "started\n"
    assert second.ends() == 1


def test_a_lease_is_free_when_its_command_is_killed(
    gpudiscover: Command, running: Callable[..., Running], acting_out: ActOut
) -> None:
    options = acting_out(ONE_CARD)
    run = running(*options, "--", *HOLD)
    assert run.hears() == "started\n"
    assert gpudiscover("run", "--wait", "0", *options, "--", "true").returncode == 124
    os.kill(run.pid, signal.SIGKILL)
    assert run.process.wait(PATIENCE) == -signal.SIGKILL
    assert gpudiscover("run", "--wait", "0", *options, "--", "true").returncode == 0


def test_a_lease_lasts_as_long_as_what_its_command_started(
    gpudiscover: Command, running: Callable[..., Running], acting_out: ActOut
) -> None:
    options = acting_out(ONE_CARD)
    run = running(*options, "--", "sh", "-c", "exec 3<&0; cat <&3 & exit 0")
    assert run.process.wait(PATIENCE) == 0
    assert gpudiscover("run", "--wait", "0", *options, "--", "true").returncode == 124
    run.ends()
    assert run.hears() == ""
    # The end of its output is not yet the end of the process.
    assert gpudiscover("run", "--wait", str(PATIENCE), *options, "--", "true").returncode == 0


def test_those_who_share_hold_a_card_together_and_one_who_does_not_waits(
    gpudiscover: Command, running: Callable[..., Running], acting_out: ActOut
) -> None:
    options = ["--wait", "0", *acting_out(ONE_CARD)]
    share = ["--share", "--min-memory", "4GB", *options]
    run = running(*share, "--", *HOLD)
    assert run.hears() == "started\n"
    assert gpudiscover("run", *share, "--", "true").returncode == 0
    assert gpudiscover("run", *options, "--", "true").returncode == 124
    assert run.ends() == 1


def test_what_this_machine_does_not_have_is_1_with_the_reasons(
    gpudiscover: Command, acting_out: ActOut, leases: Path
) -> None:
    done = gpudiscover("run", "--min-memory", "9GiB", *acting_out(ONE_CARD), "--", "echo", "never")
    assert (done.returncode, done.stdout) == (1, "")
    assert "needed: 1 device of 9.0 GiB or more; usable: 0 of 1 device; " in done.stderr
    assert "it has 8.0 GiB" in done.stderr
    assert not leases.exists()


@pytest.mark.parametrize(("command", "status"), [("no-such-command", 127), ("/", 126)])
def test_a_command_that_cannot_be_is_said_before_anybody_is_asked_for_a_gpu(
    gpudiscover: Command, command: str, status: int
) -> None:
    done = gpudiscover("run", "--runner", "/no/such/runner", "--", command)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (status, "", 1)
    assert f"gpudiscover: '{command}': " in done.stderr


def test_a_command_that_the_system_refuses_leaves_no_lease(
    gpudiscover: Command, acting_out: ActOut, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text("no first line")
    script.chmod(0o755)
    done = gpudiscover("run", *acting_out(ONE_CARD), "--", str(script))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (126, "", 1)
    assert gpudiscover("leases").stdout == "No GPU is held, and nobody waits for one.\n"


def test_a_directory_that_cannot_hold_leases_is_2_in_one_line(
    gpudiscover: Command, acting_out: ActOut, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    place = str(tmp_path / "file" / "leases")
    done = gpudiscover("run", "--leases", place, *acting_out(ONE_CARD), "--", "echo", "never")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert place in done.stderr
