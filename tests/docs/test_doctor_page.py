"""What docs/doctor.md shows and names, against what there is; its commands, run as they stand there."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from rich.console import Console

from machine_trees import MachineTree, no_nodes, radeon
from pytest_gpudiscover.cli.doctor_rendering import shown_findings
from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.doctor.facts import Limits
from pytest_gpudiscover.doctor.findings import Finding, Name, Severity, Topic
from pytest_gpudiscover.doctor.gathering import VARIABLES_LOOKED_AT
from pytest_gpudiscover.doctor.rules import findings
from pytest_gpudiscover.native.drivers import CUDA, LEVEL_ZERO
from pytest_gpudiscover.native.drivers.rocm_access import obstacle
from pytest_gpudiscover.reports import Phase, ProbeRecord, Reason, Rejection, Report

if TYPE_CHECKING:
    import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(language: str) -> list[str]:
    """The blocks of the page that are written in a language."""
    return [text for name, text in BLOCK.findall(PAGE) if name == language]


def first_cells() -> set[str]:
    """What the first cells of the page's tables name."""
    cells = re.findall(r"^\| (`[^|]*) \|", PAGE, re.MULTILINE)
    return {word for cell in cells for word in re.findall(r"`(\w+)`", cell)}


def printed(found: list[Finding]) -> str:
    file = io.StringIO()
    console = Console(file=file, width=80, color_system=None, markup=False, highlight=False)
    for renderable in shown_findings(found):
        console.print(renderable)
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def reported(tree: MachineTree) -> Report:
    """What the native runner's probes say of a machine with a Radeon whose nodes may not be opened."""
    card = DeviceInfo(
        id="GPU-a1b2c3d4e5f60718", library="ROCm", variant="rocm", description="AMD Radeon RX 7900 XTX"
    )
    said = obstacle(str(tree.root), 128, no_nodes).replace(f"--group-add {tree.group}", "--group-add 109")
    absent = (
        Rejection(
            phase=Phase.ENUMERATE,
            reason=Reason.DRIVER_MISSING,
            detail=driver.missing("linux"),
            variant=driver.variant,
        )
        for driver in (CUDA, LEVEL_ZERO)
    )
    unusable = Rejection.of(card, Phase.ENUMERATE, Reason.UNUSABLE, said)
    asked = (
        ProbeRecord(phase=Phase.ENUMERATE, variant=variant, started=0.0, ended=0.1, outcome="answered")
        for variant in ("rocm", "vulkan")
    )
    return Report(rejected=(*absent, unusable), probes=tuple(asked))


def test_the_example_is_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grp.getgrgid", lambda number: SimpleNamespace(gr_name="render"))
    tree = MachineTree(tmp_path / "machine")
    radeon(tree)
    usual = Limits(files=1024, processes=63432, locked=8 << 20)
    machine = replace(tree.gathered(may=no_nodes), limits=usual)
    assert blocks("text") == [printed(findings(machine, reported(tree)))]


def test_every_finding_severity_and_variable_is_explained() -> None:
    assert {*Name, *Severity, *VARIABLES_LOOKED_AT} - first_cells() == set()


def test_the_json_has_the_keys_that_the_page_names() -> None:
    table = PAGE.split("## `--json`")[1]
    keys = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    (of_findings,) = re.findall(r"^\| `findings` \|.*", table, re.MULTILINE)
    finding = Finding(topic=Topic.CARDS, name=Name.NO_CARD, severity=Severity.OK, came="")
    assert [key for key in finding.to_json() if f"`{key}`" not in of_findings] == []
    assert keys == ["schema", "counts", "findings", "simulated", "report"]


def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    program = tmp_path / "gpudiscover"
    ours = f'exec "{sys.executable}" -m pytest_gpudiscover.cli "$@"'
    program.write_text(f"#!/bin/sh\n{ours}\n", encoding="utf-8")
    program.chmod(0o755)
    commands = [line[2:] for block in blocks("console") for line in block.splitlines()]
    assert commands
    for command in commands:
        path = f'PATH="{tmp_path}:$PATH"; {command}'
        done = subprocess.run(["sh", "-c", path], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert (done.returncode in (0, 1), done.stderr) == (True, "")
    answer = json.loads((tmp_path / "findings.json").read_text(encoding="utf-8"))
    assert list(answer) == ["schema", "counts", "findings", "simulated", "report"]
