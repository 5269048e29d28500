"""Faults of the list and of the answer do to a client what their names say, and genuinely so."""

from __future__ import annotations

import errno
import gzip
import http.client
import json
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.fake_runner.conftest import Runner, Start


from clients import received, received_in_order

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


def test_accept_silent_takes_connections_and_says_nothing(faulty: Start) -> None:
    assert faulty("accept_silent").never_answers()


def test_slow_headers_come_byte_by_byte(faulty: Start) -> None:
    with faulty("slow_headers", pause=0.02).ask() as connection:
        assert [connection.recv(64) for _ in range(4)] == [b"H", b"T", b"T", b"P"]


def test_drip_sends_the_head_at_once_and_the_body_byte_by_byte(faulty: Start) -> None:
    with faulty("drip", pause=1.5).ask() as connection:
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


# Words and pieces


def test_needs_variable_ends_with_a_sentence_unless_it_is_set(faulty: Start) -> None:
    runner = faulty("needs_variable")
    assert runner.exit_code() == 1
    assert "not supported unless HSA_OVERRIDE_GFX_VERSION is set" in runner.stderr()
    assert len(faulty("needs_variable", HSA_OVERRIDE_GFX_VERSION="1").entries()) == 3


def test_needs_variable_can_want_a_value(faulty: Start) -> None:
    wanted = {"variable": "NEEDED", "value": "10.3.0"}
    runner = faulty("needs_variable", NEEDED="9", **wanted)
    assert runner.exit_code() == 1
    assert "unless NEEDED is 10.3.0" in runner.stderr()
    assert len(faulty("needs_variable", NEEDED="10.3.0", **wanted).entries()) == 3


def test_driver_too_old_is_an_error_in_words(faulty: Start) -> None:
    response, body = faulty("driver_too_old", driver="1.2", needed="3.4").get()
    assert (response.status, body) == (
        500,
        b"the GPU driver is too old: found 1.2, this build needs 3.4 or newer",
    )


def segments(connection: socket.socket) -> int:
    """How many segments with data a connection received: `tcpi_data_segs_in` of Linux's `tcp_info`."""
    information = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
    return int.from_bytes(information[152:156], sys.byteorder)


@pytest.mark.parametrize(("name", "fewest", "most"), [("slice", 20, 1000), ("reorder", 1, 3)])
def test_slice_sends_a_good_answer_in_small_pieces(faulty: Start, name: str, fewest: int, most: int) -> None:
    with faulty(name).ask() as connection:
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert len(json.loads(response.read())) == 3
        assert fewest <= segments(connection) <= most


def test_bad_chunk_begins_well_and_then_has_no_size(faulty: Start) -> None:
    runner = faulty("bad_chunk")
    answer = received(runner.ask())
    assert b"Transfer-Encoding: chunked" in answer
    assert b"Content-Length" not in answer
    with pytest.raises(http.client.IncompleteRead) as caught:
        runner.get()
    assert caught.value.partial.startswith(b'[{"id"')


# Who is listed


def test_appear_lists_the_device_only_in_its_phases(faulty: Start) -> None:
    assert faulty("appear", "rocm", device="a").listed("id") == ["1", "2"]
    assert faulty("appear", "rocm", device="a", deep=True).listed("id") == ["1", "2"]
    assert faulty("appear", "rocm", device="a", GPUDISCOVER_PHASE="refresh").listed("id") == ["0", "1", "2"]
    assert faulty("appear", "rocm", device="a", deep=True, phase="verify").listed("id") == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("rocr", "hip", "cuda", "shown"),
    [
        (None, "0,1", "1", ["b"]),
        ("2,1", "0,1", "1", ["b"]),
        (None, "1,2", "GPU-cc33", ["c"]),
        (None, "0,1", "", []),
        (None, "0,1", "7", []),
        (None, "1", None, ["b"]),
        (None, None, "1", ["b"]),
    ],
)
def test_mask_hides_rocm_behind_the_mask_of_hip(
    faulty: Start, rocr: str | None, hip: str | None, cuda: str | None, shown: list[str]
) -> None:
    given = {"ROCR_VISIBLE_DEVICES": rocr, "HIP_VISIBLE_DEVICES": hip, "CUDA_VISIBLE_DEVICES": cuda}
    variables = {name: value for name, value in given.items() if value is not None}
    assert faulty("mask_hides_rocm", "rocm", deep=True, **variables).listed() == shown
