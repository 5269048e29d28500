"""The machine as a CI matrix."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpudiscover.cli import main
from pytest_gpudiscover.cli.matrix import entries
from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.requirements import Requirement

Command = Callable[..., subprocess.CompletedProcess[str]]
ActOut = Callable[[dict[str, Any]], list[str]]

GIB = 1 << 30
L4 = DeviceInfo(
    id="GPU-a",
    library="CUDA",
    variant="cuda_v13",
    name="CUDA0",
    description="NVIDIA L4",
    total_memory=24 * GIB - 1,
    compute_major=8,
    compute_minor=9,
    driver_major=13,
)
CARD = {"name": "card", "description": "Gr\u00e4fik", "total_memory": "8 GiB", "compute": "8.9"}
ONE_CARD = {"gpu": [CARD], "variant": {"cuda_v13": {"library": "CUDA", "devices": ["card"]}}}
NO_CARD = {"gpu": [], "variant": {"cuda_v13": {"library": "CUDA", "devices": []}}}


def test_devices_of_one_kind_are_one_entry() -> None:
    smaller = replace(L4, id="GPU-b", total_memory=L4.total_memory - (200 << 20))
    assert entries([L4, smaller]) == [
        {
            "library": "CUDA",
            "name": "NVIDIA L4",
            "count": 2,
            "memory_gib": 23.8,
            "compute": "8.9",
            "variant": "cuda_v13",
            "driver": "13.0",
            "require": "2xCUDA>=23.8GiB",
            "ids": ["GPU-a", "GPU-b"],
        }
    ]


@pytest.mark.parametrize(
    "difference",
    [
        {"library": "Vulkan"},
        {"description": "NVIDIA L40"},
        {"compute_minor": 0},
        {"variant": "cuda_v12"},
        {"driver_major": 12},
        {"total_memory": 12 * GIB},
    ],
)
def test_whatever_makes_another_kind_makes_another_entry(difference: dict[str, Any]) -> None:
    other = replace(L4, id="GPU-b", **difference)
    assert [entry["ids"] for entry in entries([L4, other, replace(L4, id="GPU-c")])] == [
        ["GPU-a", "GPU-c"],
        ["GPU-b"],
    ]


def test_a_device_without_a_description_goes_by_its_name() -> None:
    assert entries([replace(L4, description="")])[0]["name"] == "CUDA0"


DEVICES = st.lists(
    st.builds(
        DeviceInfo,
        id=st.uuids().map(str),
        library=st.sampled_from(["CUDA", "ROCm", "Vulkan", "Metal", "Level Zero"]) | st.text(),
        description=st.sampled_from(["A", "B"]),
        total_memory=st.integers(0, 1 << 40) | st.integers(0, 4 * GIB),
        compute_major=st.integers(-1, 12),
    ),
    max_size=8,
)


@given(DEVICES)
def test_a_machine_meets_what_its_matrix_says_it_has(devices: list[DeviceInfo]) -> None:
    for entry in entries(devices):
        assert Requirement.parse(entry["require"]).unmet(devices) == []


@given(DEVICES)
def test_every_device_is_in_one_entry(devices: list[DeviceInfo]) -> None:
    found = entries(devices)
    assert sorted(name for entry in found for name in entry["ids"]) == sorted(one.id for one in devices)
    assert all(entry["count"] == len(entry["ids"]) for entry in found)


def test_the_matrix_is_one_line_of_ascii(gpudiscover: Command, acting_out: ActOut) -> None:
    done = gpudiscover("matrix", *acting_out(ONE_CARD))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    assert done.stdout.isascii()
    assert set(json.loads(done.stdout)) == {"include"}
    assert [entry["require"] for entry in json.loads(done.stdout)["include"]] == ["1xCUDA>=8GiB"]


def test_json_is_the_same_for_people_and_programs(gpudiscover: Command, acting_out: ActOut) -> None:
    options = acting_out(ONE_CARD)
    done = gpudiscover("matrix", "--json", *options)
    assert done.stdout.startswith('{\n  "schema": 1,\n')
    assert json.loads(done.stdout) == {"schema": 1} | json.loads(gpudiscover("matrix", *options).stdout)


def test_without_a_gpu_the_matrix_is_empty_and_stderr_says_so(
    gpudiscover: Command, acting_out: ActOut
) -> None:
    done = gpudiscover("matrix", *acting_out(NO_CARD))
    assert (done.returncode, done.stdout) == (0, '{"include":[]}\n')
    assert done.stderr == (
        "gpudiscover: no usable GPU was found, and the matrix is empty: gpudiscover list says why\n"
    )


def test_a_discovery_that_cannot_run_prints_no_matrix(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["matrix", "--runner", "/no/such/runner"]) == 2
    assert capsys.readouterr().out == ""
