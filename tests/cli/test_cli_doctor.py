"""`gpudiscover doctor`: what it prints, and what its exit code says."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from machine_trees import MachineTree, no_nodes, radeon
from pytest_gpudiscover.cli.doctor_rendering import TITLES, shown_findings
from pytest_gpudiscover.doctor.findings import Finding, Name, Severity, Topic

Command = Callable[..., subprocess.CompletedProcess[str]]

LOUD = Finding(
    topic=Topic.CARDS,
    name=Name.CARD_WITHOUT_DRIVER,
    severity=Severity.PROBLEM,
    came="[bold]a card[/bold] with \x1b[2J in its name and " + "z" * 90,
    expected="a driver",
    next_step="load it",
    command="sudo modprobe " + "x" * 90,
)


def shown(findings: list[Finding], width: int = 80, *, colours: bool = False) -> str:
    file = io.StringIO()
    console = Console(
        file=file,
        width=width,
        color_system="standard" if colours else None,
        force_terminal=colours,
        markup=False,
    )
    for renderable in shown_findings(findings):
        console.print(renderable)
    return file.getvalue()


def test_a_problem_says_what_is_there_what_was_expected_what_to_do_and_how() -> None:
    text = shown([LOUD], width=300)
    assert [line.strip() for line in text.splitlines()] == [
        "Cards and kernel drivers",
        f"problem {LOUD.came}".replace("\x1b", "\\x1b"),
        "expected: a driver",
        "next: load it",
        f"$ {LOUD.command}",
        "",
        "1 problem, 0 warnings, 0 notes, 0 ok",
    ]


@pytest.mark.parametrize("width", [30, 50, 80])
def test_nothing_is_wider_than_the_terminal_and_nothing_is_lost(width: int) -> None:
    text = shown([LOUD], width)
    assert max(map(len, text.splitlines())) <= width
    assert (text.count("z"), text.count("x" * 5) > 0) == (90, True)
    assert "…" not in text


def test_colours_are_for_terminals() -> None:
    assert "\x1b[" not in shown([LOUD])
    assert "\x1b[1;31mproblem" in shown([LOUD], colours=True)


def test_a_topic_has_one_title(tmp_path: Path) -> None:
    tree = MachineTree(tmp_path / "machine")
    radeon(tree)
    lines = shown(tree.findings(may=no_nodes)).splitlines()
    titles = [line for line in lines if line in TITLES.values()]
    assert titles[:3] == ["Cards and kernel drivers", "Device nodes", "Libraries"]
    assert len(titles) == len(set(titles))
    assert set(TITLES) == set(Topic)


def test_this_machine_is_examined_and_the_report_beside_it_is_of_the_simulated_one(
    gpudiscover: Command,
) -> None:
    done = gpudiscover("doctor", "--json", "--runner", "fake", "--variant", "vulkan")
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    assert set(answer) == {"schema", "counts", "findings", "simulated", "report"}
    assert answer["simulated"] is True
    assert answer["report"]["devices"]
    names = [finding["name"] for finding in answer["findings"]]
    assert {"limits_sufficient", "limit_low"} & {*names}
    assert {"no_mask", "simulated", "usable_gpus"} <= {*names}
    assert done.returncode == (1 if answer["counts"]["problem"] else 0)


def test_a_problem_is_exit_code_1_and_printed_without_colours_into_a_pipe(
    gpudiscover: Command, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    options = ("--runner", "fake", "--variant", "rocm", "--leases", str(tmp_path / "file"))
    done = gpudiscover("doctor", *options, VK_DRIVER_FILES="/gone.json", COLUMNS="300")
    assert (done.returncode, done.stderr) == (1, "")
    assert "there is no /gone.json" in done.stdout
    assert "next: correct or unset VK_DRIVER_FILES" in done.stdout
    assert f"GPUs cannot be leased in {tmp_path / 'file'}: it is no directory" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("runner", ["/no/such/runner", "ollama"])
def test_a_runner_that_is_not_there_is_exit_code_2_and_the_machine_is_looked_at_all_the_same(
    gpudiscover: Command, tmp_path: Path, runner: str
) -> None:
    done = gpudiscover("doctor", "--json", "--runner", runner, PATH=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith(f"gpudiscover: {runner}: ")
    answer = json.loads(done.stdout)
    names = [finding["name"] for finding in answer["findings"]]
    assert (names[-1], answer["report"]) == ("not_asked", None)
    assert done.stderr.removeprefix("gpudiscover: ").strip() in answer["findings"][-1]["came"]
    assert {"no_mask", "limits_sufficient", "limit_low"} & {*names[:-1]}


def test_a_variant_that_is_not_there_is_a_mistake_of_whoever_asks(gpudiscover: Command) -> None:
    done = gpudiscover("doctor", "--runner", "fake", "--variant", "cuda_v99")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("gpudiscover: 'cuda_v99': no variant of that name")
