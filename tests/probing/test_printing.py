"""Asking programs that print their answer: real processes, and what goes wrong with them."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest

from lifelines import Lifeline
from pytest_gpudiscover import Phase, Reason
from pytest_gpudiscover.probing import ProbeRequest, ProbeResult
from pytest_gpudiscover.probing.direct import DirectLauncher
from pytest_gpudiscover.probing.keeper import KeeperLauncher
from pytest_gpudiscover.probing.printing import GpuDiscover
from pytest_gpudiscover.probing.processes import Launcher
from pytest_gpudiscover.probing.runners import RunnerProber
from pytest_gpudiscover.variants import Variant

ANSWER = '{"devices":[{"library":"CUDA","index":0,"index_matches_backend":true,"total_memory":8}]}'
SAY = f"import os, signal, sys, time; say = lambda text: os.write(1, text.encode()); ANSWER = {ANSWER!r}\n"
LAUNCHERS = pytest.mark.parametrize("launcher", [KeeperLauncher, DirectLauncher])
AMPLE = 20.0


async def probe(
    conduct: str, launcher: type[Launcher] = KeeperLauncher, deadline: float = AMPLE
) -> ProbeResult:
    """Ask a program once that does as `conduct` says."""
    variant = Variant(name="cuda_v13", directories=("/root/cuda_v13",))
    request = ProbeRequest(
        phase=Phase.ENUMERATE, variant=variant, environment=dict(os.environ), timeout=deadline
    )
    command = [sys.executable, "-I", "-S", "-c", SAY + conduct]
    async with AsyncExitStack() as stack:
        prober = RunnerProber(command, GpuDiscover("/root"), stack, open_launcher=launcher)
        return await prober.probe(request)


def verdict(result: ProbeResult) -> tuple[Reason | None, str]:
    return (result.failure.reason, result.failure.detail) if result.failure else (None, "")


@LAUNCHERS
async def test_what_a_program_prints_before_it_ends_is_its_answer(launcher: type[Launcher]) -> None:
    result = await probe("say(ANSWER)", launcher)
    assert result.answer is not None
    assert [(device.id, device.variant) for device in result.answer.devices] == [("0", "cuda_v13")]
    assert result.ready is not None
    assert result.exit_code == 0


async def test_a_program_is_told_the_root_and_then_the_variant() -> None:
    result = await probe("sys.exit(repr(sys.argv[1:]))")
    expected = ["gpu-discover", "--lib-dir", "/root", "--lib-dir", "/root/cuda_v13"]
    assert result.stderr == f"{expected}\n"


def test_a_program_without_a_root_is_told_of_no_directory() -> None:
    assert GpuDiscover("").arguments(Variant(name=""), 0) == ("gpu-discover",)


@LAUNCHERS
async def test_what_libraries_say_on_stderr_is_no_part_of_the_answer(launcher: type[Launcher]) -> None:
    result = await probe("os.write(2, b'ggml_cuda_init: found 1 CUDA devices\\n'); say(ANSWER)", launcher)
    assert result.answer is not None
    assert "ggml_cuda_init" in result.stderr


async def test_an_answer_in_pieces_is_whole_at_the_end() -> None:
    """A pipe holds a part of it only."""
    result = await probe("say(ANSWER[:12] + ' ' * 300_000 + ANSWER[12:])")
    assert result.answer is not None
    assert len(result.answer.devices) == 1


async def test_no_device_is_an_answer() -> None:
    result = await probe("""say('{"devices":null}\\n')""")
    assert result.answer is not None
    assert result.answer.entries == ()


@LAUNCHERS
@pytest.mark.parametrize(
    ("conduct", "reason", "detail"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", Reason.CRASHED, "ended by SIGSEGV before it answered"),
        ("say(ANSWER[:40]); os.abort()", Reason.CRASHED, "ended by SIGABRT in the middle of its answer"),
        ("say(ANSWER); os.abort()", Reason.CRASHED, "ended by SIGABRT after its answer"),
        ("say(ANSWER); sys.exit(3)", Reason.EXITED, "ended with code 3 after its answer"),
        (
            "sys.exit('Error: no libcuda.so.1')",
            Reason.EXITED,
            "code 1 before it answered; it said: Error: no lib",
        ),
        ("sys.exit(0)", Reason.EXITED, "ended with code 0 before it answered"),
        (
            "say(ANSWER[:40])",
            Reason.BAD_ANSWER,
            "what gpu-discover printed is no answer: the answer is not JSON",
        ),
        ("os.write(1, bytes(range(256)))", Reason.BAD_ANSWER, "not UTF-8"),
        ("say('[]')", Reason.BAD_ANSWER, "expected an object with a list of devices"),
        ("say(ANSWER + ' ' * 5_000_000)", Reason.BAD_ANSWER, "it is longer than 4 MiB"),
        ("while True: say(' ' * 65536)", Reason.BAD_ANSWER, "it is longer than 4 MiB"),
    ],
)
async def test_each_way_to_fail_has_its_reason(
    conduct: str, reason: Reason, detail: str, launcher: type[Launcher]
) -> None:
    found = verdict(await probe(conduct, launcher))
    assert found[0] is reason
    assert detail in found[1]


async def test_a_program_that_hangs_is_stopped_at_its_deadline_although_it_has_answered() -> None:
    result = await probe("say(ANSWER); os.write(2, b'said'); time.sleep(600)", deadline=3)
    assert result.stderr == "said"
    assert verdict(result) == (Reason.TIMEOUT, "listing the devices took longer than 3 s")


async def test_a_grandchild_that_holds_stdout_open_delays_nobody_and_is_killed() -> None:
    result = await probe("os.fork() or time.sleep(600); say(ANSWER)")
    assert result.answer is not None
    assert psutil.Process().children(recursive=True) == []


async def test_words_about_an_address_in_use_start_no_program_again_that_needs_no_port(
    tmp_path: Path,
) -> None:
    starts = tmp_path / "starts"
    conduct = f"open({str(starts)!r}, 'a').write('x'); sys.exit('address already in use')"
    assert verdict(await probe(conduct))[0] is Reason.EXITED
    assert starts.read_text() == "x"


@LAUNCHERS
async def test_a_cancelled_probe_leaves_nothing_behind(launcher: type[Launcher], lifeline: Lifeline) -> None:
    before = psutil.Process().num_fds()
    conduct = f"life = os.open({str(lifeline.path)!r}, os.O_WRONLY); os.fork(); os.write(life, b'here')"
    probing = asyncio.ensure_future(probe(f"{conduct}; time.sleep(600)", launcher))
    await asyncio.to_thread(lifeline.word)
    probing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probing
    assert not lifeline.held
    assert psutil.Process().children(recursive=True) == []
    assert psutil.Process().num_fds() == before
