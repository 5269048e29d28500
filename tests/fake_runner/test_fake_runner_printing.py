"""The fake runner as a release that prints its answer, and as one that does not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CARDS = [
    {"name": "a", "total_memory": "24 GiB", "pci_id": "0000:01:00.0", "compute": "8.9", "driver": "13.1"},
    {"name": "b", "total_memory": "8 GiB", "integrated": True},
    {"name": "c", "total_memory": "16 GiB", "compute": "gfx1030"},
]
HOST: dict[str, Any] = {
    "speaks": "gpu-discover",
    "gpu": CARDS,
    "variant": {
        "cuda_v12": {"library": "CUDA", "devices": ["b"]},
        "cuda_v13": {"library": "CUDA", "devices": ["a", "b"]},
        "rocm": {"library": "ROCm", "devices": ["c"]},
    },
}
Ask = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def ask(fake_runner: Ask, tmp_path: Path) -> Ask:
    """Run `gpu-discover` on `HOST` with changes; keyword arguments in capitals are variables."""

    def ask(*arguments: str, **changes: Any) -> subprocess.CompletedProcess[str]:
        variables = {name: changes.pop(name) for name in list(changes) if name.isupper()}
        path = tmp_path / "host.json"
        path.write_text(json.dumps(HOST | changes), encoding="utf-8")
        return fake_runner(*(arguments or ("gpu-discover",)), FAKE_RUNNER_HOST=str(path), **variables)

    return ask


def devices(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert (done.returncode, done.stderr) == (0, "")
    listed: list[dict[str, Any]] = json.loads(done.stdout)["devices"]
    return listed


def test_a_variant_s_devices_are_printed_as_a_later_release_prints_them(ask: Ask) -> None:
    first, second = devices(ask("gpu-discover", "--lib-dir", "/lib", "--lib-dir", "/lib/cuda_v13"))
    assert first == {
        "library": "CUDA",
        "index": 0,
        "index_matches_backend": True,
        "integrated_known": True,
        "name": "CUDA0",
        "description": "a",
        "device_id": "0000:01:00.0",
        "total_memory": 24 << 30,
        "free_memory": 24 << 30,
        "compute_major": 8,
        "compute_minor": 9,
        "cuda_driver_major": 13,
        "cuda_driver_minor": 1,
    }
    assert (second["index"], second["integrated"], "device_id" in second) == (1, True, False)


def test_the_last_directory_is_the_variant_whatever_the_environment_says(ask: Ask) -> None:
    done = ask("gpu-discover", "--lib-dir", "/lib/cuda_v12", OLLAMA_LIBRARY_PATH="/lib/rocm")
    assert [device["description"] for device in devices(done)] == ["b"]


def test_rocm_s_target_is_a_text(ask: Ask) -> None:
    (device,) = devices(ask("gpu-discover", "--lib-dir", "/lib/rocm"))
    assert device["gfx_target"] == "gfx1030"
    assert "compute_major" not in device


def test_a_device_counts_among_those_that_the_mask_leaves(ask: Ask) -> None:
    (device,) = devices(ask("gpu-discover", "--lib-dir", "/lib/cuda_v13", CUDA_VISIBLE_DEVICES="1"))
    assert (device["index"], device["description"]) == (0, "b")


def test_no_devices_are_null(ask: Ask) -> None:
    assert ask(variant={}).stdout == '{"devices": null}'


def test_a_start_and_an_answer_are_recorded(ask: Ask, tmp_path: Path) -> None:
    devices(ask(calls="calls.jsonl"))
    lines = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    assert [(line["event"], line.get("devices")) for line in lines] == [("start", None), ("answer", 3)]
    assert lines[0]["argv"][1:] == ["gpu-discover"]


def test_a_status_becomes_an_error_and_an_exit_code(ask: Ask) -> None:
    done = ask(fault=[{"name": "status", "code": 500, "body": "no GPU today"}])
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "Error: no GPU today\n")


def test_a_body_that_is_cut_is_printed_as_far_as_it_is_sent(ask: Ask) -> None:
    whole = ask().stdout
    done = ask(fault=[{"name": "short_body"}])
    assert (done.returncode, done.stdout) == (0, whole[: len(whole) // 2])


def test_an_older_release_knows_no_such_command(ask: Ask, tmp_path: Path) -> None:
    done = ask(speaks="info", calls="calls.jsonl")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == 'Error: unknown command "gpu-discover" for "ollama"\n'
    assert not (tmp_path / "calls.jsonl").exists()


def test_a_later_release_serves_no_port(ask: Ask) -> None:
    done = ask("runner", "--ollama-engine", "--port", "1")
    assert (done.returncode, done.stderr) == (1, "Error: this release has no runner for --ollama-engine\n")


@pytest.mark.parametrize("options", [["--lib-dir"], ["/lib"], ["--port", "1"]])
def test_other_options_are_refused(ask: Ask, options: list[str]) -> None:
    done = ask("gpu-discover", *options)
    assert done.returncode == 2
    assert "expects `--lib-dir DIR...`" in done.stderr


def test_another_way_to_speak_is_refused(ask: Ask) -> None:
    done = ask(speaks="grpc")
    assert done.returncode == 2
    assert "'info', 'gpu-discover'" in done.stderr
