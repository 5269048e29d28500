"""`gpudiscover --runner ollama` on machines with an Ollama of either age."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ollamas import AGES, installed, speaking
from pytest_gpudiscover.simulation import FakeHost

Command = Callable[..., "subprocess.CompletedProcess[str]"]

CARD = {"name": "card", "description": "A Card", "pci_id": "0000:01:00.0", "total_memory": "8 GiB"}
HOST = FakeHost({"gpu": [CARD], "variant": {"cuda_v13": {"library": "CUDA", "devices": ["card"]}}})


def listed(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert (done.returncode, done.stderr) == (0, "")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.parametrize("speaks", AGES)
def test_ollama_on_path_lists_its_devices(speaks: str, gpudiscover: Command, tmp_path: Path) -> None:
    program = installed(tmp_path, speaking(HOST, speaks))
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    report = listed(gpudiscover("--json", "--runner", "ollama", PATH=path))
    assert [(device["description"], device["variant"]) for device in report["devices"]] == [
        ("A Card", "cuda_v13")
    ]
    assert [probe["outcome"] for probe in report["probes"]] == ["answered", "answered"]


def test_a_command_line_is_asked_over_http_unless_it_ends_in_the_other_way(
    gpudiscover: Command, tmp_path: Path
) -> None:
    program = installed(tmp_path, speaking(HOST, "gpu-discover"))
    runner = program.rename(program.with_name("my-runner"))
    plain = listed(gpudiscover("--json", "--runner", str(runner)))
    assert plain["devices"] == []
    assert [rejection["reason"] for rejection in plain["rejected"]] == ["exited"]
    printing = listed(gpudiscover("--json", "--runner", f"{runner} gpu-discover"))
    assert [device["description"] for device in printing["devices"]] == ["A Card"]


def test_what_a_crashed_release_said_is_told(gpudiscover: Command, tmp_path: Path) -> None:
    fault = {"name": "crash_deep", "device": "card"}
    host = speaking(FakeHost({**HOST.document, "fault": [fault]}), "gpu-discover")
    report = listed(gpudiscover("--json", "--runner", str(installed(tmp_path, host))))
    (rejection,) = report["rejected"]
    assert (rejection["phase"], rejection["reason"]) == ("verify", "crashed")
    assert report["probes"][-1]["signal"] == "SIGSEGV"
    assert "initialising card" in report["probes"][-1]["stderr"]
