"""When faults strike: variants, phases and devices, and how often."""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fake_runner.faults import VOCABULARY
from fake_runner.hashing import fraction
from fake_runner.triggers import PlannedFault

if TYPE_CHECKING:
    from tests.fake_runner.conftest import Start


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
    with start(host).ask() as connection, contextlib.suppress(ConnectionResetError):
        answer = b""
        while part := connection.recv(4096):
            answer += part
    assert answer.startswith(b"HTTP/1.1 500")
    assert answer.endswith(b"\r\n\r\n" + b"x" * 20)


def test_of_two_deaths_the_earlier_comes_to_pass(start: Start, host: dict[str, Any]) -> None:
    host["fault"] = [{"name": "die_mid_response"}, {"name": "exit_early", "code": 9}]
    assert start(host).exit_code() == 9


def statuses(start: Start, host: dict[str, Any], count: int, **variables: str) -> list[int]:
    """What so many starts answer, one after the other."""
    return [start(host, "cuda_v13", **variables).get()[0].status for _ in range(count)]


def test_a_fault_strikes_only_after_so_many_starts(start: Start, host: dict[str, Any]) -> None:
    host["fault"] = [{"name": "status", "after": 2}]
    assert statuses(start, host, 4) == [200, 200, 500, 500]


def test_a_fault_strikes_so_many_times_and_heals(start: Start, host: dict[str, Any]) -> None:
    host["fault"] = [{"name": "status", "after": 1, "times": 2}]
    assert statuses(start, host, 5) == [200, 500, 500, 200, 200]


def test_only_starts_that_match_the_rest_of_the_trigger_count(start: Start, host: dict[str, Any]) -> None:
    host["fault"] = [
        {"name": "status", "device": "b", "phase": "enumerate", "variant": "cuda_v13", "after": 1}
    ]
    assert statuses(start, host, 2, CUDA_VISIBLE_DEVICES="0") == [200, 200]
    assert statuses(start, host, 2, GPUDISCOVER_PHASE="refresh") == [200, 200]
    assert start(host, "rocm").get()[0].status == 200
    assert statuses(start, host, 2) == [200, 500]


def test_chance_is_the_same_for_the_same_seed_and_near_its_probability() -> None:
    def struck(seed: int) -> list[bool]:
        fault = PlannedFault("status", device="", phases=())
        fault.probability, fault.seed = 0.3, seed
        return [fault.strikes([{"struck": False}] * n) for n in range(300)]

    assert struck(1) == struck(1) != struck(2)
    # 90 are to be expected; a fair coin leaves this range once in some thousands of tries.
    assert all(60 < sum(struck(seed)) < 120 for seed in range(20))


def test_a_process_decides_by_its_ordinal_as_the_rule_says(start: Start, host: dict[str, Any]) -> None:
    host["fault"] = [{"name": "status", "probability": 0.5, "seed": 3}]
    expected = [500 if fraction(f"3 status {n}") < 0.5 else 200 for n in range(6)]
    assert set(expected) == {200, 500}
    assert statuses(start, host, 6) == expected


def test_a_sticky_fault_never_heals_once_it_has_struck(start: Start, host: dict[str, Any]) -> None:
    host["fault"] = [{"name": "status", "probability": 0.5, "seed": 3, "times": 1, "sticky": True}]
    first = next(n for n in range(6) if fraction(f"3 status {n}") < 0.5)
    assert statuses(start, host, 8) == [200] * first + [500] * (8 - first)


def test_runners_that_start_at_once_are_counted_one_by_one(start: Start, host: dict[str, Any]) -> None:
    host["fault"] = [{"name": "status", "times": 3}]
    runners = [start(host, "cuda_v13") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answered = list(pool.map(lambda runner: runner.get()[0].status, runners))
    assert sorted(answered) == [200] * 5 + [500] * 3


def test_a_runner_waits_for_another_one_that_is_just_being_counted(
    start: Start, host: dict[str, Any], tmp_path: Path
) -> None:
    host["fault"] = [{"name": "status", "times": 1}]
    with (tmp_path / "host.state").open("w") as state:
        fcntl.flock(state, fcntl.LOCK_EX)
        runner = start(host, "cuda_v13")
        assert runner.lives_on(0.3)
        assert runner.try_to_connect() is None
    assert runner.get()[0].status == 500


def test_what_faults_remember_lies_beside_the_host_file_and_only_if_one_counts(
    start: Start, host: dict[str, Any], tmp_path: Path
) -> None:
    host["fault"] = [{"name": "status"}]
    assert statuses(start, host, 1) == [500]
    assert not (tmp_path / "host.state").exists()
    host["fault"] = [{"name": "status", "times": 1}]
    assert statuses(start, host, 2) == [500, 200]
    marks = [list(json.loads(line).values()) for line in (tmp_path / "host.state").read_text().splitlines()]
    assert marks == [[{"struck": True}], [{"struck": False}]]
    (tmp_path / "host.state").unlink()
    assert statuses(start, host, 1) == [500]


def test_a_fault_that_is_changed_counts_anew(start: Start, host: dict[str, Any]) -> None:
    host["fault"] = [{"name": "status", "times": 1}]
    assert statuses(start, host, 2) == [500, 200]
    host["fault"] = [{"name": "status", "times": 1, "code": 503}]
    assert statuses(start, host, 2) == [503, 200]


def test_a_memory_that_nobody_can_read_is_refused_with_its_place(
    start: Start, host: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "host.state").write_text("[1]\n")
    runner = start(host | {"fault": [{"name": "status", "times": 1}]})
    assert runner.exit_code() == 2
    assert f"{tmp_path / 'host.state'}: is not what a fault wrote there" in runner.stderr()


def test_every_fault_of_the_vocabulary_is_named_in_a_test_of_its_own() -> None:
    files = Path(__file__).parent.glob("test_*.py")
    tests = [
        name for file in files for name in re.findall(r"^def test_(\w+)", file.read_text(), re.MULTILINE)
    ]
    untested = [
        fault for fault in VOCABULARY if not any(f"{test}_".startswith(f"{fault}_") for test in tests)
    ]
    assert untested == []
