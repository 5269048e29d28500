"""Asking real runner processes: ports, retries, odd answers, odd surroundings."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Self

import pytest

from pytest_gpudiscover import OllamaInstallation, Phase, Reason, Report, discover
from pytest_gpudiscover.probing import ProbeRequest, ProbeResult, asking
from pytest_gpudiscover.probing.asking import HttpInfo, Reply
from pytest_gpudiscover.probing.keeper import KeeperLauncher
from pytest_gpudiscover.probing.ports import LOOPBACK, port_for_runner
from pytest_gpudiscover.probing.processes import Exit, RunnerProcess
from pytest_gpudiscover.probing.runners import RunnerProber
from pytest_gpudiscover.variants import Variant
from pytest_gpudiscover.wire import Answer
from runners import DEVICE, library_tree, write_runner


async def probe(command: list[str], *ports: int, patience: float = 20) -> ProbeResult:
    """Ask a runner once; it is given these ports first, then free ones."""
    queue = list(ports)
    request = ProbeRequest(
        phase=Phase.ENUMERATE,
        variant=Variant(name="cuda_v13"),
        environment=dict(os.environ),
        timeout=patience,
    )
    async with AsyncExitStack() as stack:
        prober = RunnerProber(
            command,
            HttpInfo(),
            stack,
            open_port=lambda reserve: (
                nullcontext(queue.pop(0)) if queue else port_for_runner(reserve=reserve)
            ),
        )
        return await prober.probe(request)


def reason(result: ProbeResult) -> Reason | None:
    return result.failure.reason if result.failure else None


def ids(result: ProbeResult) -> list[str]:
    return [device.id for device in result.answer.devices] if result.answer else []


@contextmanager
def squatter() -> Iterator[int]:
    """Another program on a port, which answers like a runner with a device that is not there."""
    body = json.dumps([{**DEVICE, "id": "GPU-of-a-squatter"}]).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body
    with socket.create_server((LOOPBACK, 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


async def test_a_squatter_s_answer_is_not_taken_and_the_runner_gets_another_port(tmp_path: Path) -> None:
    with squatter() as taken:
        result = await probe(write_runner(tmp_path, "serve(OK)"), taken)
    assert ids(result) == ["GPU-a"]


async def test_a_runner_that_dies_silently_while_another_program_has_its_port_is_started_again(
    tmp_path: Path,
) -> None:
    conduct = "try:\n    serve(OK)\nexcept OSError:\n    os._exit(7)"
    with squatter() as taken:
        result = await probe(write_runner(tmp_path, conduct), taken)
    assert ids(result) == ["GPU-a"]


async def test_a_port_that_is_bound_and_does_not_listen_is_noticed_from_what_the_runner_says(
    tmp_path: Path,
) -> None:
    with socket.socket() as holder:
        holder.bind((LOOPBACK, 0))
        result = await probe(write_runner(tmp_path, "serve(OK)"), holder.getsockname()[1])
    assert ids(result) == ["GPU-a"]


async def test_a_runner_is_not_started_for_ever_when_all_its_ports_are_taken(tmp_path: Path) -> None:
    with squatter() as taken:
        result = await probe(write_runner(tmp_path, "serve(OK)"), *[taken] * 10)
    assert reason(result) is Reason.PORT_TAKEN
    assert result.exit_code == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a port be reserved")
@pytest.mark.parametrize("option", ["SO_REUSEADDR", "SO_REUSEPORT"])
def test_a_runner_can_bind_a_reserved_port_and_the_kernel_gives_it_to_nobody_else(option: str) -> None:
    with port_for_runner(reserve=True) as port, socket.socket() as other, socket.socket() as runner:
        with pytest.raises(OSError, match="in use"):
            other.bind((LOOPBACK, port))
        runner.setsockopt(socket.SOL_SOCKET, getattr(socket, option), 1)
        runner.bind((LOOPBACK, port))
        runner.listen()
        socket.create_connection((LOOPBACK, port)).close()


async def test_a_runner_that_cannot_bind_beside_the_reservation_is_started_again_without_it(
    tmp_path: Path,
) -> None:
    starts = tmp_path / "starts"
    conduct = (
        f"open({str(starts)!r}, 'a').write('x')\n"
        "import socket\n"
        "with socket.socket() as trial:\n"
        "    trial.bind(('127.0.0.1', port))\n"
        "serve(OK)"
    )
    assert ids(await probe(write_runner(tmp_path, conduct))) == ["GPU-a"]
    assert starts.read_text() == ("xx" if sys.platform == "linux" else "x")


async def test_a_runner_that_crashes_for_another_reason_is_started_once(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    conduct = f"open({str(starts)!r}, 'a').write('x'); sys.exit('no such driver')"
    result = await probe(write_runner(tmp_path, conduct))
    assert (reason(result), result.exit_code, starts.read_text()) == (Reason.EXITED, 1, "x")
    assert result.failure is not None
    assert "no such driver" in result.failure.detail


async def test_a_client_that_reaches_itself_has_not_reached_a_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    with port_for_runner(reserve=True) as port:

        class OwnPort(socket.socket):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments)
                self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self.bind((LOOPBACK, port))

        monkeypatch.setattr("pytest_gpudiscover.probing.asking.socket.socket", OwnPort)
        assert await asking._try(port) is None


async def test_a_runner_that_says_503_is_asked_again_until_it_answers(tmp_path: Path) -> None:
    assert ids(await probe(write_runner(tmp_path, "serve(*[status(503)] * 5, OK)"))) == ["GPU-a"]


async def test_a_runner_that_says_503_for_ever_is_out_of_time(tmp_path: Path) -> None:
    assert reason(await probe(write_runner(tmp_path, "serve(status(503))"), patience=0.6)) is Reason.TIMEOUT


@pytest.mark.parametrize("bad", ["OK[:-9]", "b''", "OK.replace(b'[', b'(')"], ids=["cut", "empty", "no-json"])
async def test_a_bad_answer_is_asked_for_again_twice(tmp_path: Path, bad: str) -> None:
    assert ids(await probe(write_runner(tmp_path, f"serve({bad}, {bad}, OK)"))) == ["GPU-a"]


@pytest.mark.parametrize("bad", ["OK[:-9]", "OK.replace(b'[', b'(')"], ids=["cut", "no-json"])
async def test_a_third_bad_answer_is_the_last(tmp_path: Path, bad: str) -> None:
    result = await probe(write_runner(tmp_path, f"serve({bad}, {bad}, {bad}, OK)"))
    assert reason(result) is Reason.BAD_ANSWER
    assert result.failure is not None
    assert "asked 3 times" in result.failure.detail


async def test_an_answer_without_a_length_ends_with_the_connection(tmp_path: Path) -> None:
    assert ids(await probe(write_runner(tmp_path, "serve(b'HTTP/1.0 200 OK\\r\\n\\r\\n' + BODY)"))) == [
        "GPU-a"
    ]


async def test_a_runner_that_ends_cleanly_after_its_answer_has_answered(tmp_path: Path) -> None:
    conduct = "c = listen().accept()[0]; c.recv(65536); c.sendall(OK); os._exit(0)"
    result = await probe(write_runner(tmp_path, conduct))
    assert (ids(result), reason(result), result.exit_code) == (["GPU-a"], None, 0)


async def test_a_runner_that_fails_after_its_answer_has_failed(tmp_path: Path) -> None:
    conduct = "c = listen().accept()[0]; c.recv(65536); c.sendall(OK); os._exit(9)"
    result = await probe(write_runner(tmp_path, conduct))
    assert (ids(result), reason(result), result.exit_code) == ([], Reason.EXITED, 9)


async def test_the_error_of_a_runner_is_passed_on_in_its_own_words_and_without_control_characters(
    tmp_path: Path,
) -> None:
    answer = "b'HTTP/1.1 500 No\\r\\nContent-Length: 14\\r\\n\\r\\n\\x1b[2Jno driver '"
    result = await probe(write_runner(tmp_path, f"serve({answer})"))
    assert result.failure is not None
    assert (result.failure.reason, result.failure.detail) == (
        Reason.RUNNER_ERROR,
        "the runner answered 500: \\x1b[2Jno driver",
    )


async def test_a_runner_behind_a_wrapper_is_found_to_listen(tmp_path: Path) -> None:
    runner = write_runner(tmp_path, "serve(OK)")
    assert ids(await probe(["/bin/sh", "-c", '"$0" "$@"; exit $?', *runner])) == ["GPU-a"]


async def test_a_deadline_names_the_phase_that_ran_out_of_time(tmp_path: Path) -> None:
    result = await probe(write_runner(tmp_path, "listen(); import time; time.sleep(3600)"), patience=0.6)
    assert result.failure is not None
    assert result.failure.detail == "listing the devices took longer than 0.6 s"
    assert result.ready is None


async def test_probes_side_by_side_do_not_disturb_each_other(tmp_path: Path) -> None:
    command = write_runner(tmp_path, "serve(OK)")
    results = await asyncio.gather(*(probe(command) for _ in range(4)))
    assert [ids(result) for result in results] == [["GPU-a"]] * 4


def discovered(tmp_path: Path, root: str | Path) -> Report:
    return discover(OllamaInstallation(write_runner(tmp_path, "serve(OK)"), root), enumerate_timeout=20)


def test_a_proxy_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert discovered(tmp_path, library_tree(tmp_path / "lib", "cuda_v13")).devices


def test_a_relative_root_with_blanks_and_glob_characters_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library_tree(tmp_path / "my [lib]* ?", "cuda_v13")
    monkeypatch.chdir(tmp_path)
    (device,) = discovered(tmp_path, "my [lib]* ?").devices
    assert device.variant == "cuda_v13"


def test_neither_a_home_nor_a_writable_temporary_directory_is_needed(tmp_path: Path) -> None:
    root = library_tree(tmp_path / "lib", "cuda_v13")
    command = write_runner(tmp_path, "serve(OK)")
    program = (
        "from pytest_gpudiscover import OllamaInstallation, discover\n"
        f"print(len(discover(OllamaInstallation({command!r}, {str(root)!r})).devices))"
    )
    environment = {
        **os.environ,
        "TMPDIR": "/proc",
        "TEMP": "/proc",
        "TMP": "/proc",
        "PYTHONPATH": ":".join(sys.path),
    }
    environment.pop("HOME", None)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=environment,
        cwd="/proc",
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_a_runner_is_never_given_a_descriptor_of_ours(tmp_path: Path) -> None:
    conduct = "n = len(os.listdir('/proc/self/fd')); BODY = BODY.replace(b'Card', b'fds-%d' % n)\n"
    conduct += "serve(b'HTTP/1.0 200 OK\\r\\n\\r\\n' + BODY)"
    root = library_tree(tmp_path / "lib", "cuda_v13")
    report = discover(OllamaInstallation(write_runner(tmp_path, conduct), root))
    # Standard input, output and error, and the one that lists the directory.
    assert [device.description for device in report.devices] == ["fds-4"]


async def test_a_redirect_to_nonsense_is_an_answer_like_any_other(tmp_path: Path) -> None:
    answer = "b'HTTP/1.1 302 Found\\r\\nLocation: http://[::bad\\r\\nContent-Length: 0\\r\\n\\r\\n'"
    assert reason(await probe(write_runner(tmp_path, f"serve({answer})"))) is Reason.RUNNER_ERROR


async def test_a_runner_that_resets_every_connection_gives_a_bad_answer(tmp_path: Path) -> None:
    conduct = (
        "import struct\nserver = listen()\nwhile True:\n"
        "    c = server.accept()[0]\n"
        "    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))\n"
        "    c.close()\n"
    )
    assert reason(await probe(write_runner(tmp_path, conduct))) is Reason.BAD_ANSWER


async def test_a_runner_that_keeps_its_connection_open_has_answered(
    tmp_path: Path,
) -> None:
    conduct = "c = listen().accept()[0]; c.recv(65536); c.sendall(OK); import time; time.sleep(3600)"
    command = write_runner(tmp_path, conduct)
    result = await probe(command)
    assert ids(result) == ["GPU-a"]


@pytest.mark.parametrize("content", ["no program at all\n", "#!/no/such/interpreter\n"])
async def test_a_file_that_the_system_cannot_execute_is_tried_once(
    tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = tmp_path / "runner"
    runner.write_text(content)
    runner.chmod(0o755)
    tried: list[list[str]] = []
    launch = KeeperLauncher.launch

    async def counted(self: KeeperLauncher, command: list[str], environment: dict[str, str]) -> RunnerProcess:
        tried.append(command)
        return await launch(self, command, environment)

    monkeypatch.setattr(KeeperLauncher, "launch", counted)
    result = await probe([str(runner)])
    assert reason(result) is Reason.NOT_STARTED
    assert len(tried) == 1
    assert result.failure is not None
    assert not result.failure.exhausted
    assert str(runner) in result.failure.detail


class Answered:
    """A runner that has answered, and a launcher that starts nothing else."""

    pid = 0
    exit = None
    stdout = b""
    stderr = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        return

    async def launch(self, command: Sequence[str], environment: Mapping[str, str]) -> Answered:
        return self

    async def wait(self) -> Exit:
        never: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        return await never

    async def end(self) -> Exit | None:
        return None


class LongFarewell(Reply):
    """An answer whose farewell outlasts the deadline."""

    async def farewell(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.4):
                await asyncio.get_running_loop().create_future()


class AtOnce(HttpInfo):
    """Has the answer before it has asked."""

    async def ask(self, process: RunnerProcess, port: int) -> Reply:
        return LongFarewell(Answer(), asyncio.get_running_loop().time())


async def test_a_whole_answer_is_not_taken_back_by_a_deadline_that_passes_during_the_farewell() -> None:
    request = ProbeRequest(phase=Phase.REFRESH, variant=Variant(name=""), timeout=0.2)
    async with AsyncExitStack() as stack:
        prober = RunnerProber(
            ["runner"], AtOnce(), stack, open_launcher=Answered, open_port=lambda reserve: nullcontext(0)
        )
        result = await prober.probe(request)
    assert (result.failure, result.answer) == (None, Answer())
