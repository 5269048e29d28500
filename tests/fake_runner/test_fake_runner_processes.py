"""Faults of the process, of a device and of the port are genuine: signals, sessions, resets."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:
    from tests.fake_runner.conftest import Start


from clients import processes_of, received

# The process


def test_exit_early_ends_with_its_code_before_the_port_is_bound(faulty: Start) -> None:
    assert faulty("exit_early", code=3).exit_code() == 3


@pytest.mark.parametrize("name", ["SEGV", "ABRT", "BUS", "ILL", "FPE", "KILL", "TERM", "INT"])
def test_signal_is_a_genuine_signal(faulty: Start, name: str) -> None:
    assert faulty("signal", signal=name).exit_code() == -signal.Signals[f"SIG{name}"]


def test_a_signal_can_wait_for_the_first_request(faulty: Start) -> None:
    runner = faulty("signal", when="request")
    runner.connect().close()
    assert runner.lives_on(0)
    assert received(runner.ask()) == b""
    assert runner.exit_code() == -signal.SIGSEGV


def test_never_bind_lives_and_listens_nowhere(start: Start, host: dict[str, Any], tmp_path: Path) -> None:
    runner = start(host | {"calls": "calls.jsonl", "fault": [{"name": "never_bind"}]})
    while not (tmp_path / "calls.jsonl").exists():
        assert runner.lives_on(0.01)
    # Recording its start is the last that a runner does before it binds its port.
    assert runner.lives_on(0.2)
    assert runner.try_to_connect() is None


def test_slow_start_binds_its_port_late_and_answers(faulty: Start) -> None:
    began = time.monotonic()
    runner = faulty("slow_start", seconds=0.5)
    assert len(runner.entries()) == 3
    assert time.monotonic() - began >= 0.5


def test_ignore_sigterm_outlives_sigterm_and_not_sigkill(faulty: Start) -> None:
    runner = faulty("ignore_sigterm")
    assert len(runner.entries()) == 3
    runner.process.terminate()
    assert len(runner.entries()) == 3
    runner.process.kill()
    assert runner.exit_code() == -signal.SIGKILL


def test_stderr_flood_waits_for_a_reader_and_has_no_newline(faulty: Start) -> None:
    runner = faulty("stderr_flood", mebibytes=2)
    assert runner.process.stderr is not None
    assert select.select([runner.process.stderr], [], [], 10)[0], "nothing came"
    first = runner.process.stderr.read(1024)
    # The pipe holds far less than what is left: the runner cannot have got as far as its port.
    assert runner.try_to_connect() is None
    rest = runner.process.stderr.read(2 * 2**20 // 6 * 6 - 1024)
    assert b"\n" not in first + rest
    assert len(runner.entries()) == 3


def test_grandchild_holds_pipe_leaves_a_process_that_keeps_stderr_open(faulty: Start) -> None:
    runner = faulty("grandchild_holds_pipe")
    assert len(runner.entries()) == 3
    (grandchild,) = psutil.Process(runner.process.pid).children()
    runner.process.kill()
    runner.exit_code()
    assert str(Path(f"/proc/{grandchild.pid}/fd/2").readlink()).startswith("pipe:")
    grandchild.kill()
    assert runner.stderr() == ""


def test_daemonise_exits_and_serves_from_another_session(faulty: Start) -> None:
    runner = faulty("daemonise")
    assert runner.exit_code() == 0
    (daemon,) = processes_of(runner.port)
    try:
        while (connection := runner.try_to_connect()) is None:
            assert daemon.is_running()
        connection.close()
        assert os.getsid(daemon.pid) not in (os.getsid(0), runner.process.pid)
    finally:
        daemon.kill()


def test_daemonise_can_leave_the_original_serving(faulty: Start) -> None:
    runner = faulty("daemonise", original="stays")
    assert len(runner.entries()) == 3
    (daemon,) = (process for process in processes_of(runner.port) if process.pid != runner.process.pid)
    try:
        assert os.getsid(daemon.pid) != runner.process.pid
    finally:
        daemon.kill()


def test_stop_self_is_stopped_and_goes_on_when_told(faulty: Start) -> None:
    runner = faulty("stop_self")
    process = psutil.Process(runner.process.pid)
    while process.status() != psutil.STATUS_STOPPED:
        assert runner.lives_on(0.01)
        assert runner.try_to_connect() is None
    runner.process.send_signal(signal.SIGCONT)
    assert len(runner.entries()) == 3


# One device


def test_crash_enumerate_takes_the_whole_library_down_and_no_other(faulty: Start) -> None:
    runner = faulty("crash_enumerate", device="b", variant=["cuda_v13"])
    assert received(runner.ask()) == b""
    assert runner.exit_code() == -signal.SIGSEGV
    assert "listing b" in runner.stderr()
    assert len(faulty("crash_enumerate", "vulkan", device="b", phase="verify").entries()) == 3


def test_crash_deep_crashes_only_when_deep_and_the_device_is_visible(faulty: Start) -> None:
    assert len(faulty("crash_deep", device="b").entries()) == 3
    assert len(faulty("crash_deep", device="b", deep=True, CUDA_VISIBLE_DEVICES="0,2").entries()) == 2
    runner = faulty("crash_deep", device="b", deep=True, CUDA_VISIBLE_DEVICES="1", signal="ILL")
    assert received(runner.ask()) == b""
    assert runner.exit_code() == -signal.SIGILL
    assert "initialising b" in runner.stderr()


def test_crash_deep_can_strike_at_the_start(faulty: Start) -> None:
    assert faulty("crash_deep", device="b", deep=True, when="start").exit_code() == -signal.SIGSEGV


def test_hang_deep_takes_the_request_and_never_answers(faulty: Start) -> None:
    assert len(faulty("hang_deep", device="b", deep=True, CUDA_VISIBLE_DEVICES="0").entries()) == 1
    assert faulty("hang_deep", device="b", deep=True).never_answers()


def test_refuse_deep_leaves_one_device_out_of_a_deep_answer(faulty: Start) -> None:
    assert faulty("refuse_deep", device="b").listed() == ["a", "b", "c"]
    assert faulty("refuse_deep", device="b", GPUDISCOVER_PHASE="verify").listed() == ["a", "b", "c"]
    assert faulty("refuse_deep", device="b", deep=True).listed() == ["a", "c"]


def test_vanish_removes_one_device_after_the_first_pass_and_renumbers_nobody(faulty: Start) -> None:
    assert faulty("vanish", "rocm", device="a").listed("id") == ["0", "1", "2"]
    assert faulty("vanish", "rocm", device="a", GPUDISCOVER_PHASE="refresh").listed("id") == ["1", "2"]
    assert faulty("vanish", "rocm", device="a", deep=True, phase="refresh").listed("id") == ["0", "1", "2"]


def test_a_device_that_vanished_crashes_nothing(start: Start, host: dict[str, Any]) -> None:
    host["fault"] = [{"name": name, "device": "b"} for name in ("crash_deep", "vanish")]
    assert start(host, "cuda_v13", deep=True).listed() == ["a", "c"]


def test_answer_then_crash_gives_a_whole_answer_and_dies(faulty: Start) -> None:
    runner = faulty("answer_then_crash", deep=True)
    with runner.ask() as connection:
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert len(json.loads(response.read())) == 3
    assert runner.exit_code() == -signal.SIGSEGV


# The port


def test_port_taken_says_so_and_exits_with_1(faulty: Start) -> None:
    runner = faulty("port_taken")
    assert runner.exit_code() == 1
    assert "address already in use" in runner.stderr()


def test_port_taken_so_many_times_succeeds_at_the_next_start(start: Start, host: dict[str, Any]) -> None:
    host["fault"] = [{"name": "port_taken", "times": 1}]
    assert start(host).exit_code() == 1
    assert start(host, "cuda_v13").listed() == ["a", "b", "c"]


def test_port_squatter_answers_from_a_process_that_is_no_child_of_the_runner(faulty: Start) -> None:
    runner = faulty("port_squatter")
    assert runner.exit_code() == 1
    (squatter,) = processes_of(runner.port)
    try:
        assert os.getpgid(squatter.pid) == runner.process.pid
        with_nobody = runner.try_to_connect()
        assert with_nobody is not None
        with with_nobody as connection:
            connection.sendall(b"GET /info HTTP/1.1\r\n\r\n")
            assert b'"description": "squatter"' in received(connection)
    finally:
        squatter.kill()
    assert "address already in use" in runner.stderr()


def test_refuse_then_accept_resets_so_many_requests_and_then_serves(faulty: Start) -> None:
    runner = faulty("refuse_then_accept", count=2)
    for _ in range(2):
        with runner.ask() as connection, pytest.raises(ConnectionResetError):
            connection.recv(1)
    assert len(runner.entries()) == 3


def test_slow_first_is_slow_once(start: Start, host: dict[str, Any]) -> None:
    host["fault"] = [{"name": "slow_first", "seconds": 2}]
    took = []
    for _ in range(2):
        began = time.monotonic()
        assert len(start(host, "cuda_v13").entries()) == 3
        took.append(time.monotonic() - began)
    assert took[0] >= 2 > took[1]
