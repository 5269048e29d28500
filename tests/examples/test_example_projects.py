"""The projects in examples/: each README's commands are run, in a copy, and must print what stands there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
READMES = sorted(EXAMPLES.glob("*/README.md"))
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Command:
    """A command of a README.

    Attributes:
        project: the directory it is run in.
        line: what stands behind the `$`.
        shown: the lines that stand below; `...` for any number of others.
    """

    project: Path
    line: str
    shown: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.project.name}: {self.line}"


def commands(readme: Path) -> list[Command]:
    """The commands of a README, but for those that install something."""
    text = "".join(BLOCK.findall(readme.read_text(encoding="utf-8")))
    found = []
    for line, *shown in (part.splitlines() for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]):
        if not line.startswith("pip install "):
            found.append(Command(readme.parent, line, tuple(shown)))
    return found


def plain(line: str) -> str:
    """A line without what differs from run to run: seconds, and how wide the terminal is."""
    return re.sub(r"([=_])\1+", r"\1", re.sub(r"\d+\.\d+ ?s\b( \(\d+:\d\d:\d\d\))?", "N s", line.strip()))


def missing(shown: tuple[str, ...], printed: list[str]) -> list[str]:
    """What stands in a README, from the first line on that was not printed, in this order."""
    rest = iter([plain(line) for line in printed])
    wanted = [line for line in shown if line != "..."]
    return [line for line in wanted if not any(plain(line) == one for one in rest)]


@pytest.fixture
def copied(command: Command, tmp_path: Path) -> Path:
    """The project, outside of this one."""
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    return shutil.copytree(command.project, tmp_path / command.project.name, ignore=ignored)


@pytest.mark.parametrize("command", [one for readme in READMES for one in commands(readme)], ids=str)
def test_a_command_prints_what_its_readme_shows(command: Command, copied: Path) -> None:
    programs = {"pytest": ["-m", "pytest"], "gpudiscover": ["-m", "pytest_gpudiscover.cli"], "python": []}
    program, *arguments = shlex.split(command.line)
    done = subprocess.run(
        [sys.executable, *programs[program], *arguments],
        cwd=copied,
        # The examples do not use it, and pytest-asyncio warns where it is installed and not set up.
        env={
            **os.environ,
            "COLUMNS": "80",
            "GPUDISCOVER_LEASES": str(copied.parent / "leases"),
            "PYTEST_ADDOPTS": "-p no:asyncio",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert missing(command.shown, done.stdout.splitlines()) == [], done.stdout


def test_every_example_has_a_readme_that_runs_it() -> None:
    projects = {path.parent for path in EXAMPLES.glob("*/pyproject.toml")}
    assert len(projects) == 3
    assert {readme.parent for readme in READMES if commands(readme)} == projects


def test_the_list_of_examples_is_whole() -> None:
    listed = re.findall(r"\]\((\w+)/README\.md\)", (EXAMPLES / "README.md").read_text(encoding="utf-8"))
    assert sorted(listed) == [readme.parent.name for readme in READMES]


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_the_code_that_a_readme_quotes_stands_in_its_project(readme: Path) -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in readme.parent.rglob("*.py"))
    quoted = re.findall(
        r"^```python\n(.*?)^```$", readme.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    lines = [line for block in quoted for line in block.splitlines() if line.strip() not in ("", "...")]
    assert [line for line in lines if line.removesuffix(" ...") not in code] == []
