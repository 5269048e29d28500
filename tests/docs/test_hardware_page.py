"""What docs/hardware.md says of the suite, against the suite."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.frameworks.comparing import Outcome, Seen, Verdict, differences
from pytest_gpudiscover.frameworks.wording import in_words

ROOT = Path(__file__).parents[2]
SUITE = ROOT / "src/pytest_gpudiscover/hardware"
PAGE = (ROOT / "docs/hardware.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(test_\w+)` \|.*\| ([^|]+) \|$", PAGE, re.MULTILINE)


def names_in(file: Path) -> list[str]:
    """The tests of a file, in its order."""
    functions = ast.parse(file.read_text(encoding="utf-8")).body
    names = [function.name for function in functions if isinstance(function, ast.FunctionDef)]
    return [name for name in names if name.startswith("test_")]


SUITES_TESTS = {file.name: names_in(file) for file in SUITE.glob("test_*.py")}


def test_the_table_has_a_row_for_each_test_of_the_suite() -> None:
    names = [name for names in SUITES_TESTS.values() for name in names]
    assert sorted(name for name, _ in ROWS) == sorted(names)


def test_each_test_has_run_on_what_the_page_explains() -> None:
    stand_ins = {one for _, ran in ROWS for one in ran.partition(", with")[0].split(", ")}
    assert stand_ins == set(re.findall(r"\*(\w+)\*:", PAGE))


def test_the_run_that_is_shown_is_of_tests_that_there_are() -> None:
    shown = re.findall(r"^(test_\w+\.py)::(test_\w+)", PAGE, re.MULTILINE)
    assert shown
    assert [f"{file}::{name}" for file, name in shown if name not in SUITES_TESTS.get(file, [])] == []


def test_what_is_shown_of_frameworks_is_what_is_printed() -> None:
    l4 = Seen(name="NVIDIA L4")
    two = [DeviceInfo(id=f"GPU-{digit}", library="CUDA", description="NVIDIA L4") for digit in "ab"]
    problem = f"all at once: {differences([l4], two)[0]}"
    verdicts = [
        Verdict(framework="torch", outcome=Outcome.AGREES, version="2.9.1", library="CUDA", devices=2),
        Verdict(
            framework="cupy",
            outcome=Outcome.DIFFERS,
            version="13.6.0",
            library="CUDA",
            devices=2,
            problems=(problem,),
        ),
        Verdict(framework="jax", outcome=Outcome.NOT_INSTALLED),
    ]
    sample = "\n".join(["$ gpudiscover frameworks", *in_words(verdicts)])
    assert f"On a machine that is made up:\n\n```console\n{sample}\n```" in PAGE
