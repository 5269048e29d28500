"""The command line, the start by path, and how an ordinary runner serves."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fake_runner.faults import VOCABULARY

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fake_runner.conftest import Start

    Run = Callable[..., subprocess.CompletedProcess[str]]

ROOT = Path(__file__).parents[2]
FAKE_RUNNER = ROOT / "fake_runner"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["walk"],
        ["faults", "now"],
        ["check"],
        ["runner"],
        ["runner", "--port", "8000"],
        ["runner", "--ollama-engine"],
        ["runner", "--ollama-engine", "--port"],
        ["runner", "--ollama-engine", "--port", "0"],
        ["runner", "--ollama-engine", "--port", "65536"],
        ["runner", "--ollama-engine", "--port", "http"],
        ["runner", "--ollama-engine", "--port", "8000", "--model", "x"],
    ],
)
def test_a_wrong_command_line_is_refused_in_one_line(fake_runner: Run, arguments: list[str]) -> None:
    ended = fake_runner(*arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert re.fullmatch(r"fake-runner: .*expect.*, got .*\n|fake-runner: .*expect.*\n", ended.stderr)


def test_help_is_no_error(fake_runner: Run) -> None:
    ended = fake_runner("--help")
    assert ended.returncode == 0
    assert "fake-runner runner --ollama-engine --port N" in ended.stdout


def test_a_runner_without_a_host_says_what_to_set(fake_runner: Run) -> None:
    ended = fake_runner("runner", "--ollama-engine", "--port", "8000")
    assert ended.returncode == 2
    assert "FAKE_RUNNER_HOST: is not set" in ended.stderr
    assert str(FAKE_RUNNER / "showcase.toml") in ended.stderr


def test_a_host_file_that_is_not_there_is_named(fake_runner: Run) -> None:
    ended = fake_runner("runner", "--ollama-engine", "--port", "8000", FAKE_RUNNER_HOST="/no/such/host.toml")
    assert ended.returncode == 2
    assert ended.stderr == "fake-runner: /no/such/host.toml: cannot be read: No such file or directory\n"


def test_faults_prints_the_vocabulary_one_fault_a_line(fake_runner: Run) -> None:
    ended = fake_runner("faults")
    assert ended.returncode == 0
    lines = [
        re.fullmatch(r"(\w+) +((?:[SEVODR] ?)+?) +([A-Z].*[.\]])", line) for line in ended.stdout.splitlines()
    ]
    assert all(lines)
    assert [line[1] for line in lines if line] == list(VOCABULARY)
    assert [line[2].replace(" ", "") for line in lines if line] == [
        fault.letters for fault in VOCABULARY.values()
    ]


def test_the_manual_holds_the_vocabulary_as_it_is() -> None:
    manual = (ROOT / "docs" / "fake-runner.md").read_text()
    table = manual.partition("## The vocabulary")[2]
    rows = [row.split(" | ") for row in re.findall(r"^\| (`\w+` \| .+) \|$", table, re.MULTILINE)]
    described = [(name.strip("`"), phases, meaning) for name, phases, meaning, _ in rows]
    assert described == [(f.name, " ".join(f.letters), f.meaning) for f in VOCABULARY.values()]
    arguments = [re.findall(r"`(\w+)`", column) for *_, column in rows]
    taken = [["device"] * (f.of_device or f.per_device) + list(f.arguments) for f in VOCABULARY.values()]
    assert arguments == taken


def test_check_counts_what_a_host_holds(fake_runner: Run) -> None:
    ended = fake_runner("check", str(FAKE_RUNNER / "showcase.toml"))
    assert ended.returncode == 0
    assert ended.stdout == f"{FAKE_RUNNER / 'showcase.toml'}: 5 GPUs, 4 variants, 2 faults\n"


@pytest.mark.parametrize("flags", [[], ["-I", "-S"]])
def test_it_starts_by_path_from_any_directory_and_loads_its_own_modules_only(
    tmp_path: Path, flags: list[str]
) -> None:
    for name in ("fake_runner", "json", "hosts"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('not this one')")
    ended = subprocess.run(
        [sys.executable, *flags, FAKE_RUNNER, "faults"],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_its_own_directory_stays_out_of_the_way_of_the_standard_library() -> None:
    program = f"""
import runpy, sys
sys.argv = ["fake_runner", "faults"]
sys.path.insert(0, {str(FAKE_RUNNER)!r})
try:
    runpy.run_path({str(FAKE_RUNNER / "__main__.py")!r}, run_name="__main__")
except SystemExit:
    print(sys.path)
"""
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True
    )
    assert str(FAKE_RUNNER) not in ended.stdout.splitlines()[-1]


def test_a_start_without_faults_imports_no_more_than_it_needs() -> None:
    program = """
import __future__, _json, _signal, _socket, _thread, os, sys, time
needed = set(sys.modules)
import fake_runner.program, fake_runner.serving, fake_runner.live
from fake_runner import plain_json
plain_json.loads(plain_json.dumps({}).decode())
print(*sorted(set(sys.modules) - needed))
"""
    ended = subprocess.run(
        [sys.executable, "-S", "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    ours = [
        "hashing",
        "hosts",
        "live",
        "masks",
        "plain_json",
        "program",
        "scripts",
        "serving",
        "tables",
        "views",
    ]
    assert ended.stdout.split() == ["fake_runner", *(f"fake_runner.{module}" for module in ours)]


def test_two_runners_cannot_have_one_port(start: Start, fake_runner: Run, tmp_path: Path) -> None:
    first = start({})
    first.connect().close()
    ended = fake_runner(
        "runner", "--ollama-engine", "--port", str(first.port), FAKE_RUNNER_HOST=str(tmp_path / "host")
    )
    assert ended.returncode == 1
    assert "address already in use" in ended.stderr
    assert first.entries() == []


def test_a_port_whose_connections_have_just_ended_can_be_bound_again(start: Start) -> None:
    first = start({})
    with first.ask() as connection:
        while connection.recv(4096):
            pass
        # The runner's end of the connection is closed before ours: it is the one that waits (TIME_WAIT).
        first.process.kill()
        first.exit_code()
    assert start({}, port=first.port).entries() == []


def test_an_answer_announces_its_length_and_closes(start: Start, host: dict[str, Any]) -> None:
    response, body = start(host).get()
    assert response.getheader("Content-Length") == str(len(body))
    assert response.getheader("Connection") == "close"
    assert response.getheader("Content-Type") == "application/json"


@pytest.mark.parametrize("path", ["/", "/infos", "/health", "/moved"])
def test_any_other_path_is_not_found(start: Start, path: str) -> None:
    response, _ = start({}).get(path)
    assert response.status == 404


def test_one_runner_answers_again_and_again(start: Start, host: dict[str, Any]) -> None:
    runner = start(host)
    assert runner.entries() == runner.entries() == runner.entries()


@pytest.mark.parametrize(
    "request_bytes", [b"\r\n\r\n", b"\x00\xff\r\n\r\n", b"GET /info\r\n\r\n", b"A" * 70_000]
)
def test_a_malformed_request_is_refused_and_survived(start: Start, request_bytes: bytes) -> None:
    runner = start({})
    with runner.ask(request_bytes) as connection:
        assert connection.recv(12) == b"HTTP/1.1 400"
    assert runner.entries() == []


def test_silent_and_vanishing_clients_delay_nobody(start: Start) -> None:
    runner = start({})
    silent = [runner.connect() for _ in range(5)]
    with runner.ask(b"GET /in"):
        pass
    assert runner.entries() == []
    for connection in silent:
        connection.close()
    assert runner.lives_on(0)


def test_a_client_that_resets_its_connection_leaves_no_trace(start: Start) -> None:
    runner = start({})
    with runner.ask() as connection:
        assert connection.recv(4) == b"HTTP"
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert runner.entries() == []
    runner.process.kill()
    assert runner.stderr() == ""


def test_several_clients_are_answered_at_once(start: Start, host: dict[str, Any]) -> None:
    runner = start(host)
    connections = [runner.ask() for _ in range(8)]
    answers = set()
    for connection in connections:
        response = http.client.HTTPResponse(connection)
        response.begin()
        answers.add(response.read())
    for connection in connections:
        connection.close()
    assert len(answers) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_runner_ends_by_the_signal_it_is_sent(start: Start, number: signal.Signals) -> None:
    runner = start({})
    runner.connect().close()
    runner.process.send_signal(number)
    assert runner.exit_code() == -number
    assert runner.stderr() == ""


def test_it_listens_on_the_loopback_interface_only(start: Start) -> None:
    runner = start({})
    runner.connect().close()
    with socket.socket() as elsewhere:
        elsewhere.settimeout(5)
        assert elsewhere.connect_ex(("127.0.0.2", runner.port)) != 0


@pytest.mark.parametrize(
    ("variant", "mask", "code"),
    [
        ("cuda_v13", {"CUDA_VISIBLE_DEVICES": "0"}, None),
        ("cuda_v13", {"CUDA_VISIBLE_DEVICES": "1"}, -signal.SIGABRT),
        ("cuda_v12", {"CUDA_VISIBLE_DEVICES": "1"}, None),
        ("rocm", {"ROCR_VISIBLE_DEVICES": "0"}, None),
        ("rocm", {"ROCR_VISIBLE_DEVICES": "1"}, -signal.SIGABRT),
        ("vulkan", {}, None),
    ],
)
def test_the_showcase_fails_where_such_cards_fail(
    start: Start, variant: str, mask: dict[str, str], code: int | None
) -> None:
    runner = start((FAKE_RUNNER / "showcase.toml").read_text(), variant, deep=True, **mask)
    if code is None:
        assert len(runner.entries()) == (1 if mask else 5)
    else:
        with runner.ask() as connection:
            assert connection.recv(1) == b""
        assert runner.exit_code() == code


def test_the_showcase_records_nothing_because_it_may_lie_where_nobody_can_write() -> None:
    assert "calls" not in (FAKE_RUNNER / "showcase.toml").read_text().split()


def test_a_reader_who_has_read_enough_is_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-I", "-S", str(FAKE_RUNNER), "faults"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
