"""Metal on Macs that no machine here is, acted by a stand-in for it and for the Objective-C runtime."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpudiscover.native.drivers import METAL
from pytest_gpudiscover.native.presence import absence

if TYPE_CHECKING:
    from tests.native.conftest import Build

GIB = 1024**3
FRAMEWORK = "/System/Library/Frameworks/Metal.framework"
ON_A_MAC = """
import json, sys
from pytest_gpudiscover.native.drivers import METAL, metal, metal_api

library, deep = sys.argv[1:]
METAL.libraries = {sys.platform: (library,)}
METAL.install = {sys.platform: ""}
metal_api.OBJECTIVE_C = library
entries = metal.list_devices(environment={}, deep=deep == "deep")
json.dump([entry.to_wire() for entry in entries], sys.stdout)
"""
Listed = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def listed(build: Build, clean_environment: dict[str, str]) -> Listed:
    """List the GPUs of such a Mac, in a process of its own."""
    library = Path(build("stand_in_metal.c", "Metal")) / "Metal"
    source = Path(__file__).parents[2] / "src"

    def run(how: str = "", **variables: str) -> list[dict[str, Any]]:
        done = subprocess.run(
            [sys.executable, "-c", ON_A_MAC, str(library), how],
            env=clean_environment | {"PYTHONPATH": str(source)} | variables,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")
        entries: list[dict[str, Any]] = json.loads(done.stdout)
        return entries

    return run


def test_a_gpu_that_shares_the_host_s_memory_is_reported_in_full(listed: Listed) -> None:
    assert listed()[1] == {
        "id": "1",
        "backend": "Metal",
        "name": "Metal1",
        "description": "Stand-in M2",
        "integration": True,
        "total_memory": 21 * GIB,
        "free_memory": 20 * GIB,
        "ComputeMajor": 0,
        "ComputeMinor": 0,
        "LibraryPath": [],
        "index": 1,
    }


def test_memory_that_is_used_up_leaves_nothing_free_rather_than_less(listed: Listed) -> None:
    first = listed()[0]
    assert (first["total_memory"], "free_memory" in first, "integration" in first) == (8 * GIB, False, False)


def test_a_mac_without_a_gpu_lists_none(listed: Listed) -> None:
    assert listed(STAND_IN_SABOTAGE="none") == []


@pytest.mark.parametrize("sabotage", ["", "status", "memory"])
def test_a_deep_listing_gives_everything_back(listed: Listed, tmp_path: Path, sabotage: str) -> None:
    calls = tmp_path / "calls"
    devices = listed("deep", STAND_IN_CALLS=str(calls), STAND_IN_SABOTAGE=sabotage)
    assert ["unusable" in device for device in devices] == [bool(sabotage)] * 2
    assert calls.read_text().splitlines()[-1] == "0 objects, 0 pools"


def test_only_a_deep_listing_puts_gpus_to_work_and_in_this_order(listed: Listed, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    listed(STAND_IN_CALLS=str(calls))
    assert "commit" not in calls.read_text()
    listed("deep", STAND_IN_CALLS=str(calls))
    work = (
        *("fillBuffer:range:value:", "copyFromBuffer:sourceOffset:toBuffer:destinationOffset:size:"),
        *("endEncoding", "commit", "waitUntilCompleted", "status"),
    )
    assert [call for call in calls.read_text().split("\n") if call in work] == [*work, *work]


@pytest.mark.parametrize(
    ("sabotage", "words"),
    [
        ("last", "1 of 262144 words differ, word 262143 is 0xba5e5e5e where 0x5e5e5e5e was expected"),
        ("status", "expected commands with status 4 (completed), got 5: the GPU was lost"),
        ("memory", "expected an object from newBufferWithLength:options:, got none"),
    ],
)
def test_a_gpu_that_fails_deep_is_unusable_with_what_went_wrong(
    listed: Listed, sabotage: str, words: str
) -> None:
    for device in listed("deep", STAND_IN_SABOTAGE=sabotage):
        assert device["unusable"]["reason"] == "unusable"
        assert words in device["unusable"]["detail"]


def test_metal_is_there_where_only_the_directory_of_its_framework_is(tmp_path: Path) -> None:
    def sentence() -> str | None:
        return absence(METAL, platform="darwin", environment={}, root=tmp_path, prefix=tmp_path)

    assert sentence() == f"{FRAMEWORK}/Metal is not on this machine: macOS 10.15 and later has it"
    (tmp_path / FRAMEWORK[1:]).mkdir(parents=True)
    assert sentence() is None
