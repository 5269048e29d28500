"""Every fault does to a client what its name says, and genuinely so."""

from __future__ import annotations

import contextlib
import errno
import gzip
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

from fake_runner.faults import VOCABULARY

if TYPE_CHECKING:
    import socket

    from tests.fake_runner.conftest import Runner, Start


@pytest.fixture
def faulty(start: Start, host: dict[str, Any]) -> Start:
    """Start the three-GPU host with one fault: `faulty(name, variant, deep=..., argument=...)`."""

    def start_one(name: str, variant: str = "cuda_v13", /, *, deep: bool = False, **keys: object) -> Runner:
        variables = {key: value for key, value in keys.items() if key.isupper()}
        arguments = {key: value for key, value in keys.items() if not key.isupper()}
        return start(host | {"fault": [{"name": name} | arguments]}, variant, deep=deep, **variables)

    return start_one


def received(connection: socket.socket) -> bytes:
    """Everything until the end of the connection, or until it is reset."""
    parts: list[bytes] = []
    with connection, contextlib.suppress(ConnectionResetError):
        received_in_order(connection, parts)
    return b"".join(parts)


def received_in_order(connection: socket.socket, parts: list[bytes] | None = None) -> None:
    """Receive until the connection is closed in an orderly way; a reset is an error."""
    while part := connection.recv(65536):
        if parts is not None:
            parts.append(part)


def descendants(runner: Runner) -> list[psutil.Process]:
    """Every process that was started for this runner's port, whoever its parent is by now."""
    port = str(runner.port)
    return [
        process for process in psutil.process_iter(["cmdline"]) if port in (process.info["cmdline"] or [])
    ]


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
    (daemon,) = descendants(runner)
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
    (daemon,) = (process for process in descendants(runner) if process.pid != runner.process.pid)
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
    assert_never_answers(faulty("hang_deep", device="b", deep=True))


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


# The list


def test_reorder_reverses_the_list_and_every_device_keeps_its_id(faulty: Start) -> None:
    entries = faulty("reorder", "rocm").entries()
    assert [(entry["description"], entry["id"]) for entry in entries] == [("c", "2"), ("b", "1"), ("a", "0")]


def test_mask_ignored_shows_everything_and_so_meets_every_fault(start: Start, host: dict[str, Any]) -> None:
    host["fault"] = [{"name": "mask_ignored"}]
    assert start(host, "cuda_v13", CUDA_VISIBLE_DEVICES="0").listed() == ["a"]
    assert start(host, "cuda_v13", deep=True, CUDA_VISIBLE_DEVICES="0").listed() == ["a", "b", "c"]
    host["fault"].insert(0, {"name": "crash_deep", "device": "c"})
    runner = start(host, "cuda_v13", deep=True, CUDA_VISIBLE_DEVICES="0")
    received(runner.ask())
    assert runner.exit_code() == -signal.SIGSEGV


def test_device_flood_lists_thousands_beside_the_true_ones(faulty: Start) -> None:
    ids = faulty("device_flood").listed("id")
    assert len(set(ids)) == 10_003
    assert len(faulty("device_flood", count=2).entries()) == 5


# The answer


def assert_never_answers(runner: Runner) -> None:
    """Another client on the same runner is the clock: what it needs for its own turn is ample."""
    with runner.ask() as connection:
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    assert runner.lives_on(0)


def test_accept_silent_takes_connections_and_says_nothing(faulty: Start) -> None:
    assert_never_answers(faulty("accept_silent"))


def test_slow_headers_come_byte_by_byte(faulty: Start) -> None:
    with faulty("slow_headers", pause=0.02).ask() as connection:
        assert [connection.recv(64) for _ in range(4)] == [b"H", b"T", b"T", b"P"]


def test_drip_sends_the_head_at_once_and_the_body_byte_by_byte(faulty: Start) -> None:
    with faulty("drip", pause=0.05).ask() as connection:
        head = connection.recv(4096)
        assert head.startswith(b"HTTP/1.1 200")
        assert head.partition(b"\r\n\r\n")[2] in (b"", b"[")
        assert len(connection.recv(64)) == 1


def test_reset_mid_body_is_a_genuine_reset(faulty: Start) -> None:
    runner = faulty("reset_mid_body")
    with runner.ask() as connection:
        head = connection.recv(20)
        with pytest.raises(ConnectionResetError) as caught:
            received_in_order(connection)
    assert head.startswith(b"HTTP/1.1 200")
    assert caught.value.errno == errno.ECONNRESET
    assert runner.lives_on(0)


def test_short_body_ends_half_way_in_an_orderly_way(faulty: Start) -> None:
    with pytest.raises(http.client.IncompleteRead) as caught:
        faulty("short_body").get()
    assert len(caught.value.partial) > 0
    assert abs(len(caught.value.partial) - (caught.value.expected or 0)) <= 1


def test_die_mid_response_is_a_crash_in_the_middle_of_the_body(faulty: Start) -> None:
    runner = faulty("die_mid_response", signal="BUS")
    assert b'[{"id"' in received(runner.ask())
    assert runner.exit_code() == -signal.SIGBUS


def test_empty_reply_closes_without_a_word(faulty: Start) -> None:
    runner = faulty("empty_reply")
    assert received(runner.ask()) == b""
    assert runner.lives_on(0)


def test_random_bytes_are_the_same_for_the_same_seed(faulty: Start) -> None:
    first, same, other = (faulty("random_bytes", seed=seed, size=64).get()[1] for seed in (1, 1, 2))
    assert first == same != other
    assert len(first) == 64


def test_infinite_body_goes_on_for_as_long_as_anybody_reads(faulty: Start) -> None:
    with faulty("infinite_body").ask() as connection:
        taken = 0
        while taken < 32 * 2**20:
            part = connection.recv(2**20)
            assert part
            taken += len(part)


def test_gzip_bomb_is_a_thousand_times_larger_than_it_looks(faulty: Start) -> None:
    response, body = faulty("gzip_bomb", mebibytes=64).get()
    assert response.getheader("Content-Encoding") == "gzip"
    assert len(body) < 64 * 2**20 / 900
    assert gzip.decompress(body) == bytes(64 * 2**20)


def test_redirect_points_at_the_true_answer_elsewhere(faulty: Start) -> None:
    runner = faulty("redirect")
    response, _ = runner.get()
    assert response.status == 302
    assert len(json.loads(runner.get(response.getheader("Location") or "")[1])) == 3


@pytest.mark.parametrize("code", [404, 500, 503])
def test_status_answers_with_its_code_and_text(faulty: Start, code: int) -> None:
    response, body = faulty("status", code=code, body="driver on fire").get()
    assert (response.status, body) == (code, b"driver on fire")


def body_of(runner: Runner) -> bytes:
    """The body of an answer that is good HTTP."""
    response, body = runner.get()
    assert response.status == 200
    return body


def test_bad_json_is_broken_or_trails_data(faulty: Start) -> None:
    with pytest.raises(ValueError, match=r"Expecting value|Illegal trailing comma|Expecting ',' delimiter"):
        json.loads(body_of(faulty("bad_json")))
    with pytest.raises(ValueError, match="Extra data"):
        json.loads(body_of(faulty("bad_json", form="trailing")))


def test_bad_utf8_cannot_be_decoded_or_encoded_again(faulty: Start) -> None:
    with pytest.raises(UnicodeDecodeError):
        body_of(faulty("bad_utf8")).decode()
    with pytest.raises(UnicodeDecodeError):
        body_of(faulty("bad_utf8", form="utf16")).decode()
    with pytest.raises(UnicodeEncodeError):
        json.loads(body_of(faulty("bad_utf8", form="surrogate")))[0]["description"].encode()


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_nan_stands_where_free_memory_should(faulty: Start, value: str) -> None:
    body = body_of(faulty("nan", value=value))
    assert body.count(b'"free_memory": ' + value.encode()) == 3


def test_deep_nesting_is_good_json_that_nobody_can_hold(faulty: Start) -> None:
    assert body_of(faulty("deep_nesting", levels=3)) == b"[[[]]]"
    with pytest.raises(RecursionError):
        json.loads(body_of(faulty("deep_nesting")))


def test_duplicate_keys_give_each_device_two_ids(faulty: Start) -> None:
    pairs: list[list[tuple[str, Any]]] = []
    json.loads(body_of(faulty("duplicate_keys")), object_pairs_hook=pairs.append)
    ids = [[value for key, value in device if key == "id"] for device in pairs]
    assert ids == [["another", "GPU-aa11"], ["another", "GPU-aa22"], ["another", "GPU-cc33"]]


# Triggers


def test_a_fault_strikes_in_its_variants_and_phases_only(start: Start, host: dict[str, Any]) -> None:
    host["fault"] = [{"name": "status", "variant": ["rocm", "metal"], "phase": ["refresh", "verify"]}]
    assert start(host, "rocm").get()[0].status == 200
    assert start(host, "vulkan", deep=True).get()[0].status == 200
    assert start(host, "rocm", deep=True).get()[0].status == 500
    assert start(host, "metal", GPUDISCOVER_PHASE="refresh").get()[0].status == 500


def test_any_fault_can_wait_for_a_device_to_be_visible(faulty: Start) -> None:
    assert faulty("status", device="b", CUDA_VISIBLE_DEVICES="0").get()[0].status == 200
    assert faulty("status", device="b", CUDA_VISIBLE_DEVICES="1").get()[0].status == 500


def test_the_phase_that_is_told_counts_more_than_the_one_that_is_guessed(faulty: Start) -> None:
    assert faulty("status", phase="verify", deep=True, GPUDISCOVER_PHASE="refresh").get()[0].status == 200


def test_a_runner_with_everything_built_in_meets_the_faults_of_what_it_lists(faulty: Start) -> None:
    assert faulty("status", "", variant=["rocm"]).get()[0].status == 500


def test_faults_combine(start: Start, host: dict[str, Any]) -> None:
    host["fault"] = [{"name": "status", "body": "x" * 40}, {"name": "reset_mid_body"}, {"name": "reorder"}]
    answer = received(start(host).ask())
    assert answer.startswith(b"HTTP/1.1 500")
    assert answer.endswith(b"\r\n\r\n" + b"x" * 20)


def test_of_two_deaths_the_earlier_comes_to_pass(start: Start, host: dict[str, Any]) -> None:
    host["fault"] = [{"name": "die_mid_response"}, {"name": "exit_early", "code": 9}]
    assert start(host).exit_code() == 9


def test_every_fault_of_the_vocabulary_is_named_in_a_test_of_its_own() -> None:
    tests = [name.removeprefix("test_") for name in globals() if name.startswith("test_")]
    untested = [
        fault for fault in VOCABULARY if not any(f"{test}_".startswith(f"{fault}_") for test in tests)
    ]
    assert untested == []
