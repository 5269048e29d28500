"""Runner processes: started, watched, and gone with everything they started, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lifelines import PATIENCE, Lifeline, assert_readable
from pytest_gpudiscover.probing import keeper
from pytest_gpudiscover.probing.direct import DirectLauncher
from pytest_gpudiscover.probing.keeper import KeeperLauncher
from pytest_gpudiscover.probing.launching import launcher
from pytest_gpudiscover.probing.outcomes import refusal, signal_name
from pytest_gpudiscover.probing.output import TAIL_SIZE, TRACE, Output, decoded
from pytest_gpudiscover.probing.processes import Exit, Launcher, LaunchError, RunnerProcess

ENVIRONMENT = {"PATH": os.defpath}

either = pytest.mark.parametrize("kind", [KeeperLauncher, DirectLauncher])
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows child subreapers")


def script(body: str, *arguments: object) -> list[str]:
    """A runner that runs this Python text."""
    text = f"import os, signal, sys, time\n{textwrap.dedent(body)}"
    return [sys.executable, "-I", "-S", "-c", text, *map(str, arguments)]


def holding(lifeline: Lifeline, body: str) -> list[str]:
    """A runner that takes hold of the lifeline (`life`) first."""
    return script("life = os.open(sys.argv[1], os.O_WRONLY)\n" + textwrap.dedent(body), lifeline.path)


SLEEP = "os.write(life, b'here'); time.sleep(600)"
FAMILY = """
    if not os.fork():
        os.write(life, b"here")
    time.sleep(600)
"""
DAEMONISE = """
    if not os.fork():
        os.setsid()
        if not os.fork():
            os.write(life, b"daemon")
            time.sleep(600)
        os._exit(0)
    os.wait()
"""


async def outcome_of(kind: type[Launcher], body: str) -> tuple[Exit, RunnerProcess]:
    """Run a Python text to its end."""
    async with kind() as launches:
        runner = await launches.launch(script(body), ENVIRONMENT)
        return await runner.wait(), runner


def open_descriptors() -> set[str]:
    return {entry.name for entry in Path("/dev/fd").iterdir()}


def test_posix_gets_the_keeper() -> None:
    assert isinstance(launcher(), KeeperLauncher)


def test_without_an_interpreter_to_start_processes_are_started_directly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", None)
    assert isinstance(launcher(), DirectLauncher)


# How it ended


@either
async def test_an_exit_code_is_reported(kind: type[Launcher]) -> None:
    ended, runner = await outcome_of(kind, "sys.exit(3)")
    assert ended == runner.exit == Exit(code=3)


@either
@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL"])
async def test_a_genuine_signal_is_named(kind: type[Launcher], name: str) -> None:
    ended, runner = await outcome_of(kind, f"os.kill(os.getpid(), signal.{name})")
    assert ended == runner.exit == Exit(signal=name)


@either
async def test_a_runner_that_we_ended_has_no_exit_of_its_own(
    kind: type[Launcher], lifeline: Lifeline
) -> None:
    async with kind() as launches:
        runner = await launches.launch(holding(lifeline, SLEEP), ENVIRONMENT)
        assert lifeline.word() == "here"
        waiting = asyncio.ensure_future(runner.wait())
        assert runner.exit is None
        assert await runner.end() is None
        assert await runner.end() is None
        assert await waiting == Exit(signal="SIGKILL")
    assert runner.exit is None


@linux_only
@either
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
async def test_an_end_before_ours_is_the_runners_own(
    kind: type[Launcher], lifeline: Lifeline, name: str
) -> None:
    async with kind() as launches:
        runner = await launches.launch(holding(lifeline, SLEEP), ENVIRONMENT)
        lifeline.word()
        with watching(runner.pid) as ended:
            os.kill(runner.pid, signal.Signals[name])
            ended()  # and the event loop has not had the time to hear of it
        assert await runner.end() == Exit(signal=name)


@contextlib.contextmanager
def watching(process: int) -> Iterator[Callable[[], None]]:
    """A function that waits for the end of a process, without the event loop."""
    descriptor = os.pidfd_open(process)
    try:
        yield lambda: assert_readable(descriptor)
    finally:
        os.close(descriptor)


@either
async def test_the_pid_is_that_of_the_runner(kind: type[Launcher], lifeline: Lifeline) -> None:
    async with kind() as launches:
        command = holding(lifeline, "os.write(life, str(os.getpid()).encode()); time.sleep(600)")
        runner = await launches.launch(command, ENVIRONMENT)
        assert lifeline.word() == str(runner.pid)


def test_a_real_time_signal_is_named_by_its_number() -> None:
    assert signal_name(signal.SIGRTMIN + 1) == f"signal {signal.SIGRTMIN + 1}"


# Nothing survives


@either
@pytest.mark.parametrize(
    "stubborn",
    [
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "os.write(life, b'here'); os.kill(os.getpid(), signal.SIGSTOP)",
        "os.fork()",
        "os.fork(); os.close(2)",
    ],
    ids=["ignores SIGTERM", "stopped", "has a child", "child and closed stderr"],
)
async def test_a_stubborn_runner_is_killed_with_its_children(
    kind: type[Launcher], lifeline: Lifeline, stubborn: str
) -> None:
    async with kind() as launches:
        runner = await launches.launch(holding(lifeline, f"{stubborn}\n{SLEEP}"), ENVIRONMENT)
        lifeline.word()
        assert await runner.end() is None
        assert not lifeline.held


@linux_only
@pytest.mark.parametrize("own", [False, True], ids=["runner lives", "runner ended"])
async def test_a_runner_that_daemonises_is_still_killed(lifeline: Lifeline, *, own: bool) -> None:
    async with KeeperLauncher() as launches:
        command = holding(lifeline, DAEMONISE + ("" if own else "    time.sleep(600)"))
        runner = await launches.launch(command, ENVIRONMENT)
        assert lifeline.word() == "daemon"
        if own:
            await runner.wait()
        assert lifeline.held
        await runner.end()
        assert not lifeline.held


@either
async def test_leaving_the_block_by_an_error_ends_every_runner(
    kind: type[Launcher], lifeline: Lifeline
) -> None:
    async def fail() -> None:
        async with kind() as launches:
            for _ in range(2):
                await launches.launch(holding(lifeline, SLEEP), ENVIRONMENT)
                lifeline.word()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert not lifeline.held


@either
async def test_a_cancelled_wait_leaves_nothing_behind(kind: type[Launcher], lifeline: Lifeline) -> None:
    async def probe() -> None:
        async with kind() as launches:
            runner = await launches.launch(holding(lifeline, SLEEP), ENVIRONMENT)
            waiting.set()
            await runner.wait()

    waiting = asyncio.Event()
    task = asyncio.ensure_future(probe())
    await waiting.wait()
    assert lifeline.word() == "here"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not lifeline.held


@either
@pytest.mark.parametrize("steps", range(8))
async def test_cancelling_at_any_step_and_twice_leaves_nothing_behind(
    kind: type[Launcher], lifeline: Lifeline, steps: int
) -> None:
    async def probe() -> None:
        async with kind() as launches:
            runner = await launches.launch(holding(lifeline, FAMILY), ENVIRONMENT)
            await runner.end()

    before = open_descriptors()
    task = asyncio.ensure_future(probe())
    for _ in range(steps):
        await asyncio.sleep(0)
    if steps > 1:  # it has been started, and on a busy machine it may come far before the next step
        assert lifeline.word() == "here"
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not lifeline.held
    assert open_descriptors() == before


@either
async def test_a_launch_that_was_cancelled_is_ended_before_its_launcher_is(
    kind: type[Launcher], lifeline: Lifeline
) -> None:
    async with kind() as launches:
        launching = asyncio.ensure_future(launches.launch(holding(lifeline, FAMILY), ENVIRONMENT))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert lifeline.word() == "here"
        launching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await launching
        assert await asyncio.to_thread(lifeline.let_go)


async def test_a_cancelled_end_still_kills(lifeline: Lifeline) -> None:
    async with KeeperLauncher() as launches:
        runner = await launches.launch(holding(lifeline, SLEEP), ENVIRONMENT)
        lifeline.word()
        ending = asyncio.ensure_future(runner.end())
        await asyncio.sleep(0)
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        assert lifeline.let_go()


@linux_only
async def test_the_death_of_the_keeper_ends_its_runners_and_the_next_launch_gets_a_new_one(
    lifeline: Lifeline,
) -> None:
    async with KeeperLauncher() as launches:
        runner = await launches.launch(holding(lifeline, SLEEP), ENVIRONMENT)
        lifeline.word()
        os.kill(grandparent(runner.pid), signal.SIGKILL)
        assert await runner.wait() == Exit(signal="SIGKILL")
        assert runner.exit is None
        assert lifeline.let_go()
        after = await launches.launch(script("sys.exit(4)"), ENVIRONMENT)
        assert await after.wait() == Exit(code=4)


async def test_a_launch_that_the_keeper_did_not_live_to_see_fails(lifeline: Lifeline) -> None:
    async with KeeperLauncher() as launches:
        first = await launches.launch(holding(lifeline, SLEEP), ENVIRONMENT)
        keeping = grandparent(first.pid)
        os.kill(keeping, signal.SIGSTOP)
        pending = asyncio.ensure_future(launches.launch(script("pass"), ENVIRONMENT))
        await asyncio.sleep(0)
        os.kill(keeping, signal.SIGKILL)
        with pytest.raises(LaunchError, match="the process that starts runners died"):
            await pending


@linux_only
async def test_the_death_of_a_warden_ends_its_runner(lifeline: Lifeline) -> None:
    async with KeeperLauncher() as launches:
        runner = await launches.launch(holding(lifeline, SLEEP), ENVIRONMENT)
        lifeline.word()
        os.kill(parent(runner.pid), signal.SIGKILL)
        assert await runner.wait() == Exit(signal="SIGKILL")
        assert lifeline.let_go()


def parent(process: int) -> int:
    """The parent of a process."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def grandparent(process: int) -> int:
    """The parent of its parent: a runner's keeper."""
    return parent(parent(process))


HOST = """
    import asyncio, os, signal, sys, threading
    from pytest_gpudiscover.probing.keeper import KeeperLauncher

    async def main():
        async with KeeperLauncher() as launches:
            for command in {commands!r}:
                runner = await launches.launch(command, dict(os.environ))
            {then}
            print(await runner.wait())

    {first}
    asyncio.run(main())
"""


@contextlib.contextmanager
def host(*commands: list[str], first: str = "", then: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """A host program of its own, that starts these runners and waits for the last."""
    text = textwrap.dedent(HOST).format(commands=commands, first=first, then=then)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", text]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@linux_only
@pytest.mark.parametrize("runner", [SLEEP, DAEMONISE, f"signal.raise_signal(signal.SIGSTOP)\n{SLEEP}"])
def test_sigkill_of_the_host_leaves_no_runner_behind(lifeline: Lifeline, runner: str) -> None:
    hello = "os.write(life, b'here')\n"
    with host(holding(lifeline, hello + textwrap.dedent(runner))) as process:
        assert lifeline.word()
        process.kill()
    assert lifeline.let_go()


FORK = """if not os.fork():
                life = os.open({path!r}, os.O_WRONLY)
                os.write(life, b"fork=%d;" % os.getpid())
                os.close(life)
                signal.pause()"""


@linux_only
def test_sigkill_of_the_host_counts_although_its_forked_child_holds_all_it_held(lifeline: Lifeline) -> None:
    said = ""
    with host(holding(lifeline, SLEEP), then=FORK.format(path=str(lifeline.path))):
        while "here" not in said or ";" not in said:
            said += lifeline.word()
    forked = int(said.partition("fork=")[2].partition(";")[0])
    try:
        assert lifeline.let_go()
    finally:
        os.kill(forked, signal.SIGKILL)


def test_ctrl_c_leaves_no_runner_behind(lifeline: Lifeline) -> None:
    with host(holding(lifeline, SLEEP)) as process:
        lifeline.word()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
    assert not lifeline.held
    assert process.returncode == -signal.SIGINT


# Any host


@pytest.mark.parametrize(
    ("first", "times"),
    [
        ("signal.signal(signal.SIGCHLD, signal.SIG_IGN)", 1),
        ("signal.signal(signal.SIGPIPE, signal.SIG_DFL)", 1),
        ("signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())", 1),
        ("for _ in range(50): threading.Thread(target=threading.Event().wait, daemon=True).start()", 1),
        ("asyncio.run(main())", 2),
        ("thread = threading.Thread(target=lambda: asyncio.run(main())); thread.start(); thread.join()", 2),
    ],
    ids=["ignores SIGCHLD", "SIGPIPE kills", "blocks signals", "many threads", "two loops", "another thread"],
)
def test_the_host_may_be_of_any_kind_and_hears_no_warning(first: str, times: int) -> None:
    with host(script("sys.exit(3)"), first=first) as process:
        said, complaints = process.communicate(timeout=PATIENCE)
    assert complaints == b""
    assert said.decode().splitlines() == [str(Exit(code=3))] * times


@linux_only
def test_a_dead_keeper_does_not_take_a_host_along_that_dies_of_broken_pipes() -> None:
    kill_keeper = "launches._keeper._process.kill(); launches._keeper._process.wait()"
    again = f"{kill_keeper}; runner = await launches.launch(['/bin/sh', '-c', 'exit 5'], {{}})"
    with host(script("pass"), first="signal.signal(signal.SIGPIPE, signal.SIG_DFL)", then=again) as process:
        said, _ = process.communicate(timeout=PATIENCE)
    assert said.decode().strip() == str(Exit(code=5))


@either
async def test_no_descriptor_is_left_open(kind: type[Launcher], lifeline: Lifeline) -> None:
    before = open_descriptors()
    async with kind() as launches:
        for command in (script("pass"), holding(lifeline, SLEEP), script("os.fork()")):
            runner = await launches.launch(command, ENVIRONMENT)
        await runner.end()
        with pytest.raises(LaunchError):
            await launches.launch(["/nowhere/runner"], ENVIRONMENT)
    assert open_descriptors() == before


# What the runner gets


@either
async def test_the_runner_gets_its_own_session_an_empty_stdin_and_nothing_else_of_ours(
    kind: type[Launcher],
) -> None:
    body = """
        facts = os.getsid(0) == os.getpid(), os.readlink("/dev/fd/0"), sorted(os.listdir("/dev/fd"))
        print(*facts, file=sys.stderr)
    """
    os.set_inheritable(descriptor := os.dup(2), True)
    try:
        _, runner = await outcome_of(kind, body)
    finally:
        os.close(descriptor)
    assert runner.stderr.strip() == "True /dev/null ['0', '1', '2', '3']"  # the fourth lists the directory


def test_the_runner_gets_default_signals_and_an_empty_mask() -> None:
    command = ["/bin/sh", "-c", "grep -E 'Sig(Blk|Ign)' /proc/self/status >&2"]
    first = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); " + "; ".join(
        f"signal.signal(signal.{name}, signal.SIG_IGN)" for name in ("SIGCHLD", "SIGINT", "SIGHUP", "SIGPIPE")
    )
    with host(command, first=first, then="await runner.wait(); print(runner.stderr)") as process:
        said, _ = process.communicate(timeout=PATIENCE)
    _, blocked, _, ignored, *_ = said.decode().split()
    # glibc keeps two signals to itself, ignores them in what it spawns, and lets nobody change that.
    changeable = sum(1 << (number - 1) for number in signal.valid_signals())
    assert (int(blocked, 16), int(ignored, 16) & changeable) == (0, 0)


@either
async def test_a_large_environment_arrives_whole_and_alone(kind: type[Launcher]) -> None:
    big = {f"BIG_{number}": "x" * 100_000 for number in range(5)} | {"EMPTY": "", "ODD": "a=b\udcff"}
    body = (
        "sys.stderr.write(f'{len(os.environ)} {sum(map(len, os.environ.values()))} {os.environb[b\"ODD\"]}')"
    )
    async with kind() as launches:
        runner = await launches.launch(script(body), big | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"})
        await runner.wait()
    assert runner.stderr == f"9 {500_000 + 4 + 2} b'a=b\\xff'"


@either
async def test_arguments_arrive_as_they_are(kind: type[Launcher]) -> None:
    arguments = ["", "with space", "ü", "x" * 100_000]
    body = "sys.stderr.write(repr([len(argument) for argument in sys.argv[1:]]))"
    async with kind() as launches:
        runner = await launches.launch(script(body, *arguments), ENVIRONMENT)
        await runner.wait()
    assert runner.stderr == "[0, 10, 1, 100000]"


# Refusals


@either
@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        (None, 0, "does not exist"),
        (b"", 0o644, "not executable"),
        (b"\x7fnonsense", 0o755, "not a program for this system"),
        (b"#!/nowhere/interpreter\n", 0o755, "the interpreter that its first line names does not"),
    ],
)
async def test_what_cannot_be_started_is_refused_with_the_reason(
    kind: type[Launcher], tmp_path: Path, content: bytes | None, mode: int, why: str
) -> None:
    program = tmp_path / "runner"
    if content is not None:
        program.write_bytes(content)
        program.chmod(mode)
    async with kind() as launches:
        with pytest.raises(LaunchError, match=why) as refused:
            await launches.launch([str(program)], ENVIRONMENT)
    assert str(program) in refused.value.detail
    assert not refused.value.exhausted


@either
async def test_arguments_too_large_for_the_system_are_refused(kind: type[Launcher]) -> None:
    async with kind() as launches:
        with pytest.raises(LaunchError, match="larger than the system allows"):
            await launches.launch(script("pass", *["x" * 100_000] * 100), ENVIRONMENT)


@either
@pytest.mark.parametrize(
    ("command", "environment"), [([], {}), (["a\0b"], {}), (["a"], {"A": "\0"}), (["a"], {"A=B": ""})]
)
async def test_what_no_system_could_start_is_refused(
    kind: type[Launcher], command: list[str], environment: dict[str, str]
) -> None:
    async with kind() as launches:
        with pytest.raises(LaunchError):
            await launches.launch(command, environment)


@either
async def test_launching_outside_the_block_is_a_mistake(kind: type[Launcher]) -> None:
    launches = kind()
    async with launches:
        pass
    with pytest.raises(RuntimeError, match="async with"):
        await launches.launch(script("pass"), ENVIRONMENT)


@either
@pytest.mark.parametrize("spare", range(8))
async def test_running_out_of_descriptors_is_said_and_leaks_none(kind: type[Launcher], spare: int) -> None:
    before = open_descriptors()
    async with kind() as launches:
        with descriptors_left(spare):
            try:
                await launches.launch(["/bin/sh", "-c", "exit 6"], ENVIRONMENT)
            except LaunchError as error:
                refused = error.exhausted
            else:
                refused = False
        assert refused or spare > 3
        runner = await launches.launch(["/bin/sh", "-c", "exit 6"], ENVIRONMENT)
        assert await runner.wait() == Exit(code=6)
    assert open_descriptors() == before


@contextlib.contextmanager
def descriptors_left(number: int) -> Iterator[None]:
    """Leave only so many descriptors for this process."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, open_descriptors()))
    fillers: list[int] = []
    while not fillers or fillers[-1] <= highest:
        fillers.append(os.dup(2))
    resource.setrlimit(resource.RLIMIT_NOFILE, (fillers[-1] + 1 + number, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for filler in fillers:
            os.close(filler)


async def test_a_block_that_begins_without_descriptors_can_still_launch_later() -> None:
    with descriptors_left(0):
        launches = await KeeperLauncher().__aenter__()
    try:
        runner = await launches.launch(["/bin/sh", "-c", "exit 6"], ENVIRONMENT)
        assert await runner.wait() == Exit(code=6)
    finally:
        await launches.__aexit__(None, None, None)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM])
def test_what_ran_out_may_work_later(number: int) -> None:
    assert refusal("runner", number).exhausted
    assert os.strerror(number) in refusal("runner", number).detail


# What it writes


@either
async def test_a_flood_without_a_newline_is_drained_and_its_tail_kept(kind: type[Launcher]) -> None:
    _, runner = await outcome_of(
        kind, "os.write(2, b'head'); [os.write(2, b'x' * 65536) for _ in range(160)]"
    )
    assert runner.stderr == "x" * TAIL_SIZE


@linux_only
async def test_whoever_hears_of_an_end_has_the_last_words(
    lifeline: Lifeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "READ_SIZE", 64)  # so that one look at the pipe does not take all
    async with KeeperLauncher() as launches:
        body = "os.write(2, b'x' * 1000 + b'last'); os.write(life, b'here'); signal.pause()"
        runner = await launches.launch(holding(lifeline, body), ENVIRONMENT)
        lifeline.word()
        with watching(runner.pid) as ended:
            os.kill(runner.pid, signal.SIGKILL)
            ended()
        await runner.wait()
        assert runner.stderr == "x" * 1000 + "last"


@either
async def test_a_flood_on_stdout_holds_nobody_up(kind: type[Launcher]) -> None:
    ended, runner = await outcome_of(kind, "[os.write(1, b'x' * 65536) for _ in range(16)]; sys.exit(7)")
    assert (ended, runner.stderr) == (Exit(code=7), "")


@either
async def test_a_grandchild_that_holds_stderr_delays_nobody(kind: type[Launcher], lifeline: Lifeline) -> None:
    body = f"""
        os.write(2, b"last words")
        if not os.fork():
            {SLEEP}
        os._exit(8)
    """
    async with kind() as launches:
        runner = await launches.launch(holding(lifeline, body), ENVIRONMENT)
        assert await runner.wait() == Exit(code=8)
        assert runner.stderr == "last words"
        assert await runner.end() == Exit(code=8)
        assert not lifeline.held


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"one\r\ntwo\tthree\n", "one\ntwo\tthree\n"),
        (b"\x1b[31mred\x07", "\ufffd[31mred\ufffd"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        ("\u202ereversed \u009b \0 ü €".encode(), "\ufffdreversed \ufffd \ufffd ü €"),
    ],
)
def test_what_a_terminal_would_obey_is_replaced(written: bytes, shown: str) -> None:
    assert decoded(written) == shown


@pytest.mark.parametrize("extra", range(4))
def test_a_tail_that_begins_inside_a_character_begins_with_the_next(extra: int) -> None:
    output = Output("stderr")
    output.add("𝄞".encode() * (TAIL_SIZE // 4) + b"x" * extra)
    assert output.tail.strip("x").strip("𝄞") == ""
    assert output.tail.count("𝄞") == TAIL_SIZE // 4 - (extra > 0)


@either
async def test_lines_are_logged_at_the_trace_level_only(
    kind: type[Launcher], caplog: pytest.LogCaptureFixture
) -> None:
    body = "os.write(1, b'to stdout\\n'); os.write(2, b'to \\x1bstderr\\nand more')"
    with caplog.at_level(TRACE, logger="pytest_gpudiscover.probing.output"):
        await outcome_of(kind, body)
    assert sorted(caplog.messages) == [
        "stderr of a runner: and more",
        "stderr of a runner: to \ufffdstderr",
        "stdout of a runner: to stdout",
    ]
    assert {(record.name, record.levelno) for record in caplog.records} == {
        ("pytest_gpudiscover.probing.output", TRACE)
    }


def test_a_flood_is_logged_in_pieces(caplog: pytest.LogCaptureFixture) -> None:
    output = Output("stderr")
    with caplog.at_level(TRACE, logger="pytest_gpudiscover.probing.output"):
        for _ in range(5):
            output.add(b"x" * TAIL_SIZE)
        assert len(caplog.messages) == 2
        output.end()
    assert sum(message.count("x") for message in caplog.messages) == 5 * TAIL_SIZE


def test_nothing_is_logged_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    output = Output("stderr")
    with caplog.at_level(logging.DEBUG):
        output.add(b"secret\n")
    assert caplog.messages == []


async def test_what_cannot_be_killed_is_warned_about_and_not_called_gone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    # Nobody can be made unkillable on purpose: a keeper whose patience is over before it begins stands in.
    program = tmp_path / "keeper_program.py"
    source = keeper.PROGRAM.read_text(encoding="utf-8")
    assert "KILL_PATIENCE = 5.0" in source
    program.write_text(source.replace("KILL_PATIENCE = 5.0", "KILL_PATIENCE = 0.0"), encoding="utf-8")
    monkeypatch.setattr(keeper, "PROGRAM", program)
    async with KeeperLauncher() as launches:
        process = await launches.launch(
            [sys.executable, "-I", "-S", "-c", "import time; time.sleep(3600)"], {}
        )
        await process.end()
    assert f"Runner {process.pid} was killed, and something that it started is not gone." in caplog.text
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
