"""The files of docs/ci.md: their keys, and every line that they run, on a simulated machine.

The services' own programs are not here. What they do with a file is done in small: jobs in order, expressions
filled in, lines run by bash. Programs that a job would install are those of this environment, and the machine
with GPUs is simulated.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_gpudiscover.simulation import FakeHost

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "mandelbrot" / "machines" / "two_l4.toml"
"""The file that a project keeps for its simulated machine."""
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
EXPRESSION = re.compile(r"\$\{\{ (.*?) \}\}")

SUITE = """
import pytest

def test_without_gpu():
    pass

@pytest.mark.gpu
def test_one(gpu_lease):
    assert len(gpu_lease.devices) == 1
"""

PROGRAMS = {
    "pip": "exit 0",
    "pytest": 'exec "{python}" -m pytest -p xdist.plugin -p pytest_gpudiscover.plugin "$@"',
    "gpudiscover": 'exec "{python}" -m pytest_gpudiscover.cli --runner fake "$@"',
}
"""What a job's lines find on PATH."""


def blocks(language: str) -> list[str]:
    """The files of the page that are written in a language."""
    return [text for name, text in BLOCK.findall(PAGE) if name == language]


def workflow() -> dict[str, Any]:
    """The file for GitHub."""
    found: dict[str, Any] = yaml.safe_load(blocks("yaml")[0])
    return found


def pipeline() -> dict[str, Any]:
    """The file for GitLab."""
    found: dict[str, Any] = yaml.safe_load(blocks("yaml")[1])
    return found


class Machine:
    """A project on a machine with these cards, where jobs run."""

    def __init__(self, directory: Path, cards: Sequence[str]) -> None:
        self.directory = directory
        document = FakeHost.of(*cards).document
        variants = {name: shown for name, shown in document["variant"].items() if name == "cuda_v13"}
        self.host = FakeHost({**document, "variant": variants}).save(directory / "gpu-machine.json")
        project = directory / "project"
        for name in ("project/machines", "bin"):
            (directory / name).mkdir(parents=True)
        shutil.copy(EXAMPLE, project / "machines")
        (project / "test_gpu.py").write_text(SUITE, encoding="utf-8")
        for name, does in PROGRAMS.items():
            program = directory / "bin" / name
            program.write_text(f"#!/bin/sh\n{does.format(python=sys.executable)}\n", encoding="utf-8")
            program.chmod(0o755)

    def run(self, script: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run lines of a job, until one of them fails."""
        machine = {
            "PATH": f"{self.directory / 'bin'}:{os.environ['PATH']}",
            "GPUDISCOVER_RUNNER": "fake",
            "FAKE_RUNNER_HOST": str(self.host.path),
            "GITHUB_OUTPUT": str(self.directory / "output"),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_XDIST_AUTO_NUM_WORKERS": "1",
        }
        # Where the containers see it, nothing is here.
        leases = {"GPUDISCOVER_LEASES": str(self.directory / "leases")}
        return subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=self.directory / "project",
            env={**os.environ, **machine, **variables, **leases},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )

    def outputs(self) -> dict[str, str]:
        """What the steps so far have written to GITHUB_OUTPUT."""
        path = self.directory / "output"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return dict(line.split("=", 1) for line in lines)

    def made(self, name: str) -> bool:
        """Whether a job has left this file in the project."""
        return (self.directory / "project" / name).exists()


@pytest.fixture
def machine(tmp_path: Path) -> Callable[..., Machine]:
    """Build a machine with these cards."""
    return lambda *cards: Machine(tmp_path, cards)


def filled_in(text: str, values: Mapping[str, Any]) -> str:
    """A text with the values of its expressions."""
    return EXPRESSION.sub(lambda found: str(values[found.group(1)]), text)


# GitHub

JOB = {"name", "needs", "runs-on", "timeout-minutes", "outputs", "strategy", "env", "steps"}
STEP = {"id", "if", "run", "uses", "with"}
ACTIONS = {"actions/checkout@v4", "actions/setup-python@v5", "actions/upload-artifact@v4"}


def steps(job: str, machine: Machine, **values: Any) -> subprocess.CompletedProcess[str]:
    """Run a job's steps, until one fails."""
    found = workflow()["jobs"][job]
    variables = {name: filled_in(text, values) for name, text in found.get("env", {}).items()}
    done = None
    for step in found["steps"]:
        if "run" in step:
            done = machine.run(filled_in(step["run"], values), variables)
            if done.returncode:
                return done
    assert done is not None
    return done


def test_the_workflow_has_only_keys_that_github_knows() -> None:
    # YAML 1.1 takes `on` for a truth value; GitHub does not.
    assert workflow().keys() == {"name", True, "permissions", "jobs"}
    for job in workflow()["jobs"].values():
        assert job.keys() <= JOB
        assert {"runs-on", "steps"} <= job.keys()
        for step in job["steps"]:
            assert step.keys() <= STEP
            assert ("run" in step) != ("uses" in step)
            assert step.get("uses", "actions/checkout@v4") in ACTIONS


def test_the_workflow_s_jobs_and_steps_refer_to_each_other() -> None:
    jobs = workflow()["jobs"]
    assert jobs["real"]["needs"] == "offer"
    assert jobs["real"]["strategy"]["matrix"] == "${{ fromJSON(needs.offer.outputs.matrix) }}"
    assert jobs["offer"]["outputs"] == {"matrix": "${{ steps.gpus.outputs.matrix }}"}
    assert "gpus" in [step.get("id") for step in jobs["offer"]["steps"]]


def test_the_job_on_a_simulated_machine_passes_without_a_gpu(machine: Callable[..., Machine]) -> None:
    done = steps("simulated", machine())
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_the_workflow_runs_once_for_each_kind_of_gpu(machine: Callable[..., Machine]) -> None:
    runner = machine("L4", "L4", "RTX 4090")
    offered = steps("offer", runner)
    assert offered.returncode == 0, offered.stdout
    matrix = json.loads(runner.outputs()["matrix"])
    assert [(kind["count"], kind["name"]) for kind in matrix["include"]] == [
        (2, "NVIDIA L4"),
        (1, "NVIDIA GeForce RTX 4090"),
    ]
    for kind in matrix["include"]:
        done = steps("real", runner, **{f"matrix.{key}": value for key, value in kind.items()})
        assert done.returncode == 0, done.stdout
        assert "2 passed" in done.stdout
    assert runner.made("junit.xml")
    assert runner.made("gpus.json")


def test_every_expression_of_the_workflow_is_one_that_has_a_value() -> None:
    known = {f"matrix.{key}" for key in ("count", "name", "library", "require")}
    known |= {"steps.gpus.outputs.matrix", "fromJSON(needs.offer.outputs.matrix)", "strategy.job-index"}
    assert set(EXPRESSION.findall(blocks("yaml")[0])) == known


def test_the_workflow_is_red_when_the_machine_has_lost_its_gpus(machine: Callable[..., Machine]) -> None:
    runner = machine()
    assert steps("offer", runner).returncode == 1
    done = steps("real", runner, **{"matrix.require": "2xCUDA>=22.4GiB"})
    assert done.returncode == 1
    assert "no tests ran" in done.stdout


# GitLab


def runs(name: str) -> list[dict[str, str]]:
    """The variables of a job of the pipeline, for each combination of its matrix."""
    job = pipeline()[name]
    rows = job.get("parallel", {}).get("matrix", [{}])
    return [
        {**job["variables"], **dict(zip(row, values, strict=True))}
        for row in rows
        for values in itertools.product(*row.values())
    ]


def test_the_pipeline_has_only_keys_that_gitlab_knows() -> None:
    assert pipeline().keys() == {"stages", "default", "simulated", "real"}
    for name in ("simulated", "real"):
        job = pipeline()[name]
        assert job.keys() <= {"stage", "tags", "timeout", "variables", "parallel", "script", "artifacts"}
        assert job["stage"] in pipeline()["stages"]
        assert all(isinstance(value, str) for value in job["variables"].values())


@pytest.mark.parametrize(("name", "cards"), [("simulated", []), ("real", ["L4", "L4"])])
def test_a_job_of_the_pipeline_passes_with_every_value_of_its_matrix(
    machine: Callable[..., Machine], name: str, cards: list[str]
) -> None:
    job, runner = pipeline()[name], machine(*cards)
    assert runs(name)
    for variables in runs(name):
        done = runner.run("\n".join(job["script"]), variables)
        assert done.returncode == 0, done.stdout
        assert "2 passed" in done.stdout
    kept = job.get("artifacts", {"paths": [], "reports": {}})
    assert all(runner.made(name) for name in [*kept["paths"], *kept["reports"].values()])


def test_the_pipeline_is_red_when_the_machine_has_lost_its_gpus(machine: Callable[..., Machine]) -> None:
    done = machine().run("\n".join(pipeline()["real"]["script"]), runs("real")[0])
    assert done.returncode == 1
    assert "no tests ran" in done.stdout


def test_the_runner_s_containers_share_the_directory_that_the_job_names() -> None:
    (runner,) = tomllib.loads(blocks("toml")[0])["runners"]
    inside = [volume.partition(":")[2] for volume in runner["docker"]["volumes"]]
    assert pipeline()["real"]["variables"]["GPUDISCOVER_LEASES"] in inside


# Slurm

SLURM = {"SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "2"}


def test_the_script_passes_on_the_gpus_that_slurm_gives_it(machine: Callable[..., Machine]) -> None:
    (script,) = blocks("bash")
    node = machine("L4", "L4", "L4")
    done = node.run(script, SLURM | {"CUDA_VISIBLE_DEVICES": "1,2"})
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
    assert node.made("gpus-7.json")


def test_the_script_is_red_when_the_node_has_lost_a_gpu(machine: Callable[..., Machine]) -> None:
    (script,) = blocks("bash")
    done = machine("L4").run(script, SLURM)
    assert done.returncode == 1
    assert "needed: 2 devices; usable: 1 of 1 device" in done.stdout


def test_the_script_asks_for_as_many_gpus_as_it_requires() -> None:
    (script,) = blocks("bash")
    asked = re.findall(r"^#SBATCH --gres=gpu:(\d+)$", script, re.MULTILINE)
    assert asked == re.findall(r"GPUDISCOVER_REQUIRE=(\d+)", script)
