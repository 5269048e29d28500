"""A runner that is serving already follows its host file, and what was answered is on record."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.fake_runner.conftest import Replace, Start

GIB = 2**30


def test_a_runner_answers_from_the_new_host_file(
    start: Start, host: dict[str, Any], replace: Replace
) -> None:
    runner = start(host, "cuda_v13", CUDA_VISIBLE_DEVICES="0,1")
    assert runner.listed("free_memory") == [8 * GIB, 8 * GIB]
    host["gpu"][0]["free_memory"] = GIB
    replace(host)
    assert runner.listed("free_memory") == [GIB, 8 * GIB]


def test_a_card_falls_off_the_bus_and_another_one_appears(
    start: Start, host: dict[str, Any], replace: Replace
) -> None:
    runner = start(host, "rocm")
    assert runner.listed() == ["a", "b", "c"]
    host["variant"]["rocm"]["devices"] = ["b"]
    replace(host)
    assert runner.listed() == ["b"]
    host["variant"]["rocm"]["devices"] = ["b", "c"]
    replace(host)
    assert runner.listed() == ["b", "c"]


def test_a_fault_can_come_and_go_while_a_runner_serves(
    start: Start, host: dict[str, Any], replace: Replace
) -> None:
    runner = start(host, "cuda_v13")
    assert runner.get()[0].status == 200
    replace(host | {"fault": [{"name": "status"}]})
    assert runner.get()[0].status == 500
    replace(host)
    assert runner.get()[0].status == 200


def test_a_new_file_that_makes_no_sense_keeps_the_old_host_and_is_said_once(
    start: Start, host: dict[str, Any], tmp_path: Path, replace: Replace
) -> None:
    runner = start(host, "cuda_v13")
    runner.connect().close()
    replace('{"gpu": 5}')
    assert runner.listed() == runner.listed() == ["a", "b", "c"]
    (tmp_path / "host").unlink()
    assert runner.listed() == ["a", "b", "c"]
    replace({})
    assert runner.entries() == []
    runner.process.kill()
    wrong, gone = runner.stderr().splitlines()
    assert f"the host stays as it was: {tmp_path / 'host'}: gpu: expected a list, got 5" in wrong
    assert gone.endswith("cannot be read: No such file or directory")


def test_what_struck_at_the_start_of_a_runner_strikes_as_long_as_it_lives(
    start: Start, host: dict[str, Any], tmp_path: Path, replace: Replace
) -> None:
    faults = [{"name": "status", "times": 1}]
    first = start(host | {"fault": faults}, "cuda_v13")
    first.connect().close()
    replace(host | {"calls": "calls", "fault": faults})
    assert [first.get()[0].status for _ in range(3)] == [500, 500, 500]
    second = start(host | {"fault": faults}, "cuda_v13")
    assert second.get()[0].status == 200
    assert len((tmp_path / "host.state").read_text().splitlines()) == 2
    replace(host | {"calls": "others", "fault": faults})
    assert second.get()[0].status == 200


def test_memory_frozen_stays_frozen_in_a_runner_whose_host_changes(
    start: Start, host: dict[str, Any], replace: Replace
) -> None:
    host["fault"] = [{"name": "memory_frozen", "device": "a"}]
    runner = start(host, "cuda_v13")
    assert runner.listed("free_memory") == [8 * GIB] * 3
    for gpu in host["gpu"]:
        gpu["free_memory"] = GIB
    replace(host)
    assert runner.listed("free_memory") == [8 * GIB, GIB, GIB]


# The record


def lines(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]


def test_an_answer_is_on_record_before_anybody_has_it(
    start: Start, host: dict[str, Any], tmp_path: Path
) -> None:
    runner = start(host | {"calls": "calls.jsonl"}, "cuda_v13", CUDA_VISIBLE_DEVICES="1,2")
    runner.entries()
    runner.get("/nothing")
    started, answered, refused = lines(tmp_path)
    assert (started["event"], started["pid"]) == ("start", runner.process.pid)
    assert started["started"] < answered.pop("answered") < refused.pop("answered")
    assert answered == {"event": "answer", "pid": runner.process.pid, "status": 200, "devices": 2}
    assert refused == {"event": "answer", "pid": runner.process.pid, "status": 404, "devices": 0}


def test_an_answer_that_kills_its_runner_is_on_record(
    start: Start, host: dict[str, Any], tmp_path: Path
) -> None:
    runner = start(host | {"calls": "calls.jsonl", "fault": [{"name": "die_mid_response"}]}, "cuda_v13")
    with runner.ask() as connection:
        while connection.recv(4096):
            pass
    assert runner.exit_code() == -signal.SIGSEGV
    assert [line["event"] for line in lines(tmp_path)] == ["start", "answer"]


@pytest.mark.parametrize(("name", "answers"), [("status", [500]), ("empty_reply", []), ("redirect", [302])])
def test_the_record_tells_what_was_answered_instead(
    start: Start, host: dict[str, Any], tmp_path: Path, name: str, answers: list[int]
) -> None:
    runner = start(host | {"calls": "calls.jsonl", "fault": [{"name": name}]}, "cuda_v13")
    with runner.ask() as connection:
        while connection.recv(4096):
            pass
    assert [line["status"] for line in lines(tmp_path)[1:]] == answers
    assert all(line["devices"] == 0 for line in lines(tmp_path)[1:])


def test_a_start_records_the_variables_that_matter_and_no_others(
    start: Start, host: dict[str, Any], tmp_path: Path
) -> None:
    matter = {
        "CUDA_VISIBLE_DEVICES": "0",
        "GGML_CUDA_INIT": "1",
        "GPUDISCOVER_PHASE": "refresh",
        "LD_LIBRARY_PATH": "/lib",
        "OLLAMA_LIBRARY_PATH": "/lib/ollama",
    }
    start(host | {"calls": "calls.jsonl"}, SECRET="hush", OLLAMA_HOST="x", **matter).entries()
    assert lines(tmp_path)[0]["environment"] == matter
