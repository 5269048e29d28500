"""What a host file says is what a runner answers, and a host file that makes no sense is refused."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from fake_runner.profiles import PROFILES
from fake_runner.tables import size_in_bytes

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.fake_runner.conftest import Start

    Run = Callable[..., subprocess.CompletedProcess[str]]

LEFT = """
[[gpu]]
name = "left"
description = "NVIDIA GeForce RTX 4090"
uuid = "GPU-5d2a7c0e"
pci_id = "0000:01:00.0"
total_memory = "24 GiB"
free_memory = "23.5 GiB"
compute = "8.9"
driver = "13.1"
integrated = true

[variant.cuda_v13]
library = "CUDA"
devices = ["left"]
"""


def test_every_figure_of_a_gpu_reaches_the_wire(start: Start) -> None:
    assert start(LEFT, "cuda_v13").entries() == [
        {
            "id": "GPU-5d2a7c0e",
            "backend": "CUDA",
            "name": "CUDA0",
            "description": "NVIDIA GeForce RTX 4090",
            "integration": True,
            "pci_id": "0000:01:00.0",
            "total_memory": 24 * 2**30,
            "free_memory": 47 * 2**29,
            "ComputeMajor": 8,
            "ComputeMinor": 9,
            "driver_major": 13,
            "driver_minor": 1,
            "LibraryPath": ["/opt/lib/ollama", "/opt/lib/ollama/cuda_v13"],
        }
    ]


def test_a_gpu_that_gives_only_the_least_shows_defaults_and_leaves_out_what_is_empty(start: Start) -> None:
    host = {
        "gpu": [{"name": "left", "total_memory": 1000}],
        "variant": {"cuda_v13": {"library": "CUDA", "devices": ["left"]}},
    }
    (entry,) = start(host).entries()
    assert entry.pop("id").startswith("GPU-")
    assert entry == {
        "backend": "CUDA",
        "name": "CUDA0",
        "description": "left",
        "total_memory": 1000,
        "free_memory": 1000,
        "ComputeMajor": 0,
        "ComputeMinor": 0,
        "LibraryPath": [],
    }


def test_a_derived_uuid_is_the_same_at_each_start_and_differs_between_names(start: Start, host: Any) -> None:
    for gpu in host["gpu"]:
        del gpu["uuid"]
    ids = start(host, "cuda_v13").listed("id")
    assert start(host, "cuda_v13").listed("id") == ids
    assert len({an_id[:8] for an_id in ids}) == 3
    assert [len(part) for part in ids[0].split("-")] == [3, 8, 4, 4, 4, 12]


def test_a_profile_gives_the_figures_of_a_card_that_the_file_does_not_give(start: Start) -> None:
    figures = PROFILES["RTX 4090"].figures
    host = {
        "gpu": [
            {"name": "left", "profile": "RTX 4090"},
            {"name": "right", "profile": "RTX 4090", "driver": "1.2"},
        ],
        "variant": {"cuda_v13": {"library": "CUDA", "devices": ["left", "right"]}},
    }
    left, right = start(host).entries()
    assert (left["ComputeMajor"], left["ComputeMinor"]) == (8, 9)
    assert left["description"] == right["description"] == figures["description"]
    assert left["total_memory"] == left["free_memory"] == size_in_bytes(figures["total_memory"])
    assert (right["driver_major"], right["driver_minor"]) == (1, 2)
    assert left["id"] != right["id"]


def test_a_free_memory_of_zero_is_left_out(start: Start, host: Any) -> None:
    host["gpu"][0]["free_memory"] = 0
    assert "free_memory" not in start(host, "cuda_v13").entries()[0]


OVERRIDES: list[tuple[dict[str, object], dict[str, object]]] = [
    ({"id": "7"}, {"id": "7"}),
    ({"name": "GPU0"}, {"name": "GPU0"}),
    ({"description": "NVIDIA?"}, {"description": "NVIDIA?"}),
    ({"pci_id": "01:00.0"}, {"pci_id": "01:00.0"}),
    ({"integrated": True}, {"integration": True}),
    ({"total_memory": "1 TB"}, {"total_memory": 10**12}),
    ({"free_memory": "1MiB"}, {"free_memory": 2**20}),
    ({"compute": "gfx90a"}, {"ComputeMajor": 9, "ComputeMinor": 10}),
    ({"compute": "gfx1030"}, {"ComputeMajor": 16, "ComputeMinor": 48}),
    ({"driver": "12.4"}, {"driver_major": 12, "driver_minor": 4}),
    ({"library_path": ["/x"]}, {"LibraryPath": ["/x"]}),
    (
        {"unusable": {"reason": "cpu", "detail": "no GPU"}},
        {"unusable": {"reason": "cpu", "detail": "no GPU"}},
    ),
]


@pytest.mark.parametrize(("override", "shown"), OVERRIDES, ids="-".join)
def test_a_view_overrides_one_figure_and_no_other(
    start: Start, host: Any, override: dict[str, object], shown: dict[str, object]
) -> None:
    (plain, *_) = start(host, "cuda_v13").entries()
    host["variant"]["cuda_v13"]["devices"][0] = {"gpu": "a"} | override
    (overridden, *_) = start(host, "cuda_v13").entries()
    assert overridden == plain | shown


def test_a_view_can_take_a_figure_away(start: Start) -> None:
    host = LEFT.replace('["left"]', '[{ gpu = "left", pci_id = "", integrated = false, library_path = [] }]')
    (entry,) = start(host, "cuda_v13").entries()
    assert not {"pci_id", "integration"} & set(entry)
    assert entry["LibraryPath"] == []


def test_an_override_of_one_variant_leaves_the_others_alone(start: Start, host: Any) -> None:
    host["variant"]["cuda_v13"]["devices"][0] = {"gpu": "a", "description": "strange"}
    assert start(host, "vulkan").listed() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("library", "ids", "shown"),
    [
        ("CUDA", None, ["GPU-aa11", "GPU-aa22", "GPU-cc33"]),
        ("CUDA", "number", ["0", "1", "2"]),
        ("ROCm", None, ["0", "1", "2"]),
        ("ROCm", "uuid", ["GPU-aa11", "GPU-aa22", "GPU-cc33"]),
        ("Vulkan", None, ["aa11", "aa22", "cc33"]),
        ("Vulkan", "number", ["0", "1", "2"]),
        ("Metal", None, ["0", "1", "2"]),
    ],
)
def test_each_library_has_its_own_kind_of_ids(
    start: Start, host: Any, library: str, ids: str | None, shown: list[str]
) -> None:
    host["variant"] = {"v": {"library": library, "devices": ["a", "b", "c"]} | ({"ids": ids} if ids else {})}
    assert start(host, "v").listed("id") == shown


def test_only_cuda_and_rocm_tell_compute_and_driver(start: Start) -> None:
    (entry,) = start(LEFT.replace('"CUDA"', '"Vulkan"'), "cuda_v13").entries()
    assert (entry["ComputeMajor"], entry["ComputeMinor"]) == (0, 0)
    assert "driver_major" not in entry


def test_the_order_of_a_view_is_the_order_of_the_answer(start: Start, host: Any) -> None:
    host["variant"]["vulkan"]["devices"] = ["c", "a"]
    assert [(e["description"], e["index"]) for e in start(host, "vulkan").entries()] == [("c", 0), ("a", 1)]


VERSIONS = {
    "cuda_v9": {"library": "CUDA", "devices": ["a"]},
    "cuda_v12": {"library": "CUDA", "devices": ["b"]},
    "cuda_v12_1": {"library": "CUDA", "devices": ["c"]},
    "rocm": {"library": "ROCm", "devices": ["a"]},
    "rocm_v6_4": {"library": "ROCm", "devices": ["b"]},
    "rocm_v6_10": {"library": "ROCm", "devices": ["c"]},
}


@pytest.mark.parametrize("variant", ["", "unheard_of"])
def test_without_a_known_variant_each_library_shows_its_newest_by_number(
    start: Start, host: Any, variant: str
) -> None:
    host["variant"] = VERSIONS
    entries = start(host, variant).entries()
    assert [(entry["backend"], entry["description"]) for entry in entries] == [("CUDA", "c"), ("ROCm", "c")]


def test_a_host_can_say_what_a_runner_with_everything_built_in_shows(start: Start, host: Any) -> None:
    host["variant"][""] = {"library": "CUDA", "devices": ["b"]}
    assert start(host).listed() == ["b"]
    assert start(host, "cuda_v13").listed() == ["a", "b", "c"]


def test_only_the_last_directory_of_the_library_path_names_the_variant(start: Start, host: Any) -> None:
    host["variant"]["rocm"]["devices"] = ["b"]
    assert start(host, OLLAMA_LIBRARY_PATH="/lib/ollama/vulkan:/lib/ollama/rocm/").listed("name") == ["ROCm0"]


def test_a_host_without_gpus_answers_an_empty_list(start: Start) -> None:
    assert start({}).entries() == []


def test_json_is_known_by_its_first_character_whatever_the_suffix(start: Start, host: Any) -> None:
    assert start("\n  " + json.dumps(host), "rocm").listed() == ["a", "b", "c"]


def test_each_start_is_recorded_beside_the_host_file(start: Start, host: Any, tmp_path: Path) -> None:
    host["calls"] = "calls.jsonl"
    first = start(host, "rocm", deep=True, ROCR_VISIBLE_DEVICES="1")
    first.entries()
    second = start(host, "vulkan", GPUDISCOVER_PHASE="refresh")
    second.entries()
    lines = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    calls = [line for line in lines if line.pop("event") == "start"]
    assert calls[0].pop("started") < calls[1].pop("started")
    for call, runner in zip(calls, (first, second), strict=True):
        assert call.pop("argv")[1:] == ["runner", "--ollama-engine", "--port", str(runner.port)]
        assert call.pop("pid") == runner.process.pid
        assert call["masks"].items() <= call.pop("environment").items()
        assert call.pop("faults") == []
    mask = {"ROCR_VISIBLE_DEVICES": "1"}
    assert calls == [
        {"variant": "rocm", "phase": "verify", "deep": True, "masks": mask},
        {"variant": "vulkan", "phase": "refresh", "deep": False, "masks": {}},
    ]


def test_a_runner_that_dies_is_recorded_as_well(start: Start, host: Any, tmp_path: Path) -> None:
    host |= {"calls": "calls.jsonl", "fault": [{"name": "exit_early"}]}
    assert start(host).exit_code() == 1
    assert len((tmp_path / "calls.jsonl").read_text().splitlines()) == 1


def changed(host: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A host with one value replaced; the path is written with dots."""
    host = copy.deepcopy(host)
    *parents, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    table: Any = host
    for step in parents:
        table = table[step]
    table[last] = value
    return host


FAULTY = {
    "gpu": [{"name": "a", "total_memory": 1}],
    "variant": {"cuda": {"library": "CUDA", "devices": ["a"]}},
}
REFUSED = [
    ("gpus", [], "unknown key 'gpus': expected one of 'gpu', 'variant', 'fault', 'calls'"),
    ("gpu", {}, "gpu: expected a list, got {}"),
    ("gpu.0", 5, "gpu[0]: expected a table, got 5"),
    ("gpu.0", {"total_memory": 1}, "gpu[0]: 'name' is missing"),
    ("gpu.0", {"name": "a"}, "gpu[0] ('a'): 'total_memory' is missing"),
    ("gpu.0.colour", "red", "gpu[0] ('a'): unknown key 'colour': expected one of 'name', "),
    ("gpu.0.total_memory", "8 GiX", "gpu[0] ('a').total_memory: expected bytes"),
    ("gpu.0.total_memory", -1, "gpu[0] ('a').total_memory: expected bytes"),
    ("gpu.0.total_memory", 2**64, "gpu[0] ('a').total_memory: expected bytes"),
    ("gpu.0.total_memory", True, "gpu[0] ('a').total_memory: expected bytes"),
    ("gpu.0.total_memory", 1.5, "gpu[0] ('a').total_memory: expected bytes"),
    ("gpu.0.integrated", 1, "gpu[0] ('a').integrated: expected true or false, got 1"),
    ("gpu.0.uuid", 1, "gpu[0] ('a').uuid: expected a text, got 1"),
    ("gpu.0.compute", "eight", 'gpu[0] (\'a\').compute: expected a text such as "8.9" or "gfx1030"'),
    ("gpu.0.compute", "gfxyz", "gpu[0] ('a').compute: expected a text such as"),
    ("gpu.0.driver", "new", "gpu[0] ('a').driver: expected a text such as \"13.0\""),
    ("gpu", [{"name": "a", "total_memory": 1}] * 2, "gpu[1] ('a').name: 'a' is taken"),
    ("variant.cuda", {}, "variant.'cuda': 'library' is missing"),
    ("variant.cuda.ids", "name", "variant.'cuda'.ids: expected one of 'uuid', 'number', got 'name'"),
    ("variant.cuda.device", [], "variant.'cuda': unknown key 'device'"),
    ("variant.cuda.devices", ["b"], "variant.'cuda'.devices[0].gpu: expected one of 'a', got 'b'"),
    ("variant.cuda.devices", [{"id": "1"}], "variant.'cuda'.devices[0]: 'gpu' is missing"),
    ("variant.cuda.devices", [{"gpu": "a", "uuid": "b"}], "variant.'cuda'.devices[0]: unknown key 'uuid'"),
    ("variant.cuda.devices", [{"gpu": "a", "unusable": "x"}], "devices[0].unusable: expected a table"),
    ("variant.cuda.devices", [{"gpu": "a", "library_path": [1]}], "library_path: expected a list of texts"),
    ("fault", [{"name": "crash"}], "fault[0].name: expected one of "),
    ("fault", [{"name": ["signal"]}], "fault[0].name: expected one of "),
    ("fault", [{"name": "crash_deep"}], "fault[0] (crash_deep): 'device' is missing: expected one of 'a'"),
    ("fault", [{"name": "drip", "device": "z"}], "fault[0] (drip).device: expected one of 'a', got 'z'"),
    ("fault", [{"name": "drip", "variant": "rocm"}], "fault[0] (drip).variant: expected one of 'cuda', got"),
    (
        "fault",
        [{"name": "drip", "phase": ["later"]}],
        "phase: expected one of 'enumerate', 'verify', 'refresh'",
    ),
    ("fault", [{"name": "drip", "code": 1}], "fault[0] (drip): unknown key 'code': expected one of 'name', "),
    ("fault", [{"name": "signal", "signal": "USR9"}], "(signal).signal: expected one of 'SEGV', "),
    ("fault", [{"name": "exit_early", "code": 256}], "code: expected a whole number from 0 to 255, got 256"),
    (
        "fault",
        [{"name": "exit_early", "code": True}],
        "code: expected a whole number from 0 to 255, got True",
    ),
    ("fault", [{"name": "slow_start", "seconds": "1"}], "seconds: expected seconds, from 0 to 3600, got '1'"),
    (
        "fault",
        [{"name": "drip", "times": 0}],
        "fault[0] (drip).times: expected a whole number, 1 or more, got 0",
    ),
    ("fault", [{"name": "drip", "times": True}], "times: expected a whole number, 1 or more, got True"),
    ("fault", [{"name": "drip", "after": -1}], "after: expected a whole number, 0 or more, got -1"),
    ("fault", [{"name": "drip", "probability": 1.1}], "probability: expected a number from 0 to 1, got 1.1"),
    ("fault", [{"name": "drip", "probability": -1}], "probability: expected a number from 0 to 1, got -1"),
    ("fault", [{"name": "drip", "seed": 1}], "seed: is of no use: expected `probability` beside it"),
    ("fault", [{"name": "drip", "probability": 1, "seed": 0.5}], "seed: expected a whole number, 0 or more"),
    ("fault", [{"name": "drip", "sticky": 1}], "sticky: expected true or false, got 1"),
    (
        "fault",
        [{"name": "drip", "sticky": True}],
        "sticky: is of no use, it strikes always as it is: expected ",
    ),
    ("fault", [{"name": "nan", "device": "z"}], "fault[0] (nan).device: expected one of 'a', got 'z'"),
    (
        "gpu.0.profile",
        "RTX 409",
        "gpu[0] ('a').profile: no card is called 'RTX 409': did you mean 'RTX 4090'",
    ),
    ("gpu.0.profile", "Voodoo", "gpu[0] ('a').profile: no card is called 'Voodoo': expected one of "),
    ("gpu.0.profile", 1, "gpu[0] ('a').profile: expected a text, got 1"),
    ("calls", 1, "calls: expected a text, got 1"),
]


@pytest.mark.parametrize(("path", "value", "complaint"), REFUSED)
def test_a_host_file_that_makes_no_sense_is_refused_with_the_place(
    fake_runner: Run, tmp_path: Path, path: str, value: object, complaint: str
) -> None:
    file = tmp_path / "host.json"
    file.write_text(json.dumps(changed(FAULTY, path, value)))
    ended = fake_runner("check", str(file))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"fake-runner: {file}: ")
    assert complaint in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"gpu": [', "is no JSON: "),
        ("{} {}", "is no JSON: Extra data"),
        ("[[gpu]\n", "is no TOML: "),
        ('{"gpu": [], "gpu": []}', "the key 'gpu' stands twice"),
        ('{"variant": {"x": {"library": "A"}, "x": {}}}', "the key 'x' stands twice"),
        ('{"a":' + "[" * 100_000, "is no JSON: "),
    ],
)
def test_a_host_file_that_cannot_be_read_as_one_is_refused(
    fake_runner: Run, tmp_path: Path, text: str, complaint: str
) -> None:
    file = tmp_path / "host"
    file.write_text(text)
    ended = fake_runner("check", str(file))
    assert ended.returncode == 2
    assert complaint in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_runner_refuses_a_bad_host_file_before_it_binds_or_records(start: Start, tmp_path: Path) -> None:
    runner = start({"calls": "calls.jsonl", "fault": [{"name": "wrong"}]})
    assert runner.exit_code() == 2
    assert "fault[0].name: expected one of" in runner.stderr()
    assert not (tmp_path / "calls.jsonl").exists()


def test_a_record_that_cannot_be_written_is_said(start: Start) -> None:
    runner = start({"calls": "no/such/directory/calls.jsonl"})
    assert runner.exit_code() == 2
    assert "cannot be appended to: No such file or directory" in runner.stderr()


def test_a_phase_that_is_none_is_refused(start: Start) -> None:
    runner = start({}, GPUDISCOVER_PHASE="later")
    assert runner.exit_code() == 2
    assert (
        "GPUDISCOVER_PHASE: expected one of 'enumerate', 'verify', 'refresh', got 'later'" in runner.stderr()
    )
