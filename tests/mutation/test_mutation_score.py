"""The score of the mutants: each survivor is explained or complained of; the copied rules are the rules."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

MUTATED = """\
def x_half__mutmut_orig(number):
    return number // 2
def x_half__mutmut_1(number):
    return number // 3
class Box:
    def xǁBoxǁfull__mutmut_orig(self):
        return (
            self.held
            > 0
        )
    def xǁBoxǁfull__mutmut_1(self):
        return (
            self.held
            >= 0
        )
"""
SPANS = {
    "x_half__mutmut_orig": [1, 2],
    "x_half__mutmut_1": [3, 4],
    "xǁBoxǁfull__mutmut_orig": [6, 10],
    "xǁBoxǁfull__mutmut_1": [11, 15],
}
EXPLAINED = """\
[[explained]]
file = "src/pytest_gpudiscover/boxes.py"
function = "Box.full"
change = '''
- > 0
+ >= 0
'''
reason = "A box holds something, always."
"""

Codes = tuple[int | None, int | None]


def run(folder: Path, codes: Codes, explained: str = "") -> tuple[int, str]:
    """What the program says of two mutants for which mutmut noted these exit codes."""
    mutated = folder / "mutants" / "src" / "pytest_gpudiscover" / "boxes.py"
    mutated.parent.mkdir(parents=True)
    mutated.write_text(MUTATED, encoding="utf-8")
    noted = dict(zip(("boxes.x_half__mutmut_1", "boxes.xǁBoxǁfull__mutmut_1"), codes, strict=True))
    mutated.with_name("boxes.py.meta").write_text(json.dumps({"exit_code_by_key": noted}), encoding="utf-8")
    mutated.with_name("boxes.py.spans").write_text(json.dumps({"spans": SPANS}), encoding="utf-8")
    (folder / "explained.toml").write_text(explained, encoding="utf-8")
    return program(folder)


def program(folder: Path) -> tuple[int, str]:
    command = [sys.executable, "-X", "utf8", str(HERE / "check_survivors.py"), "mutants", "explained.toml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8")
    assert done.stderr == ""
    return done.returncode, done.stdout


@pytest.mark.parametrize("codes", [(1, 1), (3, 1), (1, -24)])
def test_mutants_that_were_all_noticed_are_fine(tmp_path: Path, codes: Codes) -> None:
    status, said = run(tmp_path, codes)
    assert status == 0
    assert "| all | 2 | " in said
    assert "| 0 | 0 | 100.0% |" in said


def test_a_survivor_that_nobody_explained_is_shown_with_its_file_function_and_change(tmp_path: Path) -> None:
    status, said = run(tmp_path, (0, 1))
    assert status == 1
    shown = "src/pytest_gpudiscover/boxes.py, half:\n    - return number // 2\n    + return number // 3\n"
    assert said.endswith(f"No test notices this: write one, or explain it in explained.toml.\n{shown}")
    assert "| `boxes.py` | 2 | 1 | 0 | 0 | 1 | 50.0% |" in said


def test_a_mutant_that_no_test_reaches_has_survived(tmp_path: Path) -> None:
    status, said = run(tmp_path, (33, 1))
    assert (status, "boxes.py, half:" in said) == (1, True)


def test_an_explained_survivor_is_counted_apart_and_is_fine(tmp_path: Path) -> None:
    status, said = run(tmp_path, (1, 0), EXPLAINED)
    assert status == 0
    assert "| `boxes.py` | 2 | 1 | 0 | 1 | 0 | 50.0% |" in said


def test_an_explanation_that_is_no_longer_needed_has_to_go(tmp_path: Path) -> None:
    status, said = run(tmp_path, (1, 1), EXPLAINED)
    assert status == 1
    assert "Explained, but no such mutant survives" in said
    assert "Box.full:\n    - > 0\n    + >= 0\n" in said


def test_a_run_that_was_cut_short_is_no_score(tmp_path: Path) -> None:
    status, said = run(tmp_path, (1, None))
    assert status == 1
    assert "Mutants that were not tested: 1." in said


def test_no_mutants_at_all_are_no_score(tmp_path: Path) -> None:
    (tmp_path / "explained.toml").write_text(EXPLAINED)
    status, said = program(tmp_path)
    assert status == 1
    assert said.startswith("There are no mutants: run `mutmut run` first")


def test_in_the_copy_rules_are_plain_functions_that_do_what_they_did(tmp_path: Path) -> None:
    repository, copy = tmp_path / "repository", tmp_path / "copy"
    package = repository / "src" / "pytest_gpudiscover"
    for folder in ("fake_runner", "tests"):
        (repository / folder).mkdir(parents=True)
    for name in ("conftest.py", "pyproject.toml"):
        (repository / name).touch()
    package.mkdir(parents=True)
    copy.mkdir()
    (package / "rule.py").write_text(
        "from functools import lru_cache\n\n"
        "class One:\n    @property\n    def name(self):\n        return kept(1)\n\n"
        "    @classmethod\n    def made(cls):\n        return cls()\n\n"
        "@lru_cache(maxsize=4)  # why\ndef kept(number):\n    return f'one {number}'\n"
    )
    subprocess.run([sys.executable, str(HERE / "prepare.py"), str(repository), str(copy)], check=True)
    source = (copy / "src" / "pytest_gpudiscover" / "rule.py").read_text()
    assert [line for line in source.splitlines() if "@" in line] == ["    @classmethod"]
    module: dict[str, object] = {}
    exec(source, module)
    assert eval("One.made().name", module) == "one 1"
