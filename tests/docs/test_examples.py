"""The Python examples of README.md, docs/python.md, plugin.md and simulation.md, run as they stand there."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
FENCED = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def examples(page: str) -> list[str]:
    """The Python blocks of a page, each moved down to the line on which it stands there."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return ["\n" * text.count("\n", 0, block.start(1)) + block.group(1) for block in FENCED.finditer(text)]


def place(example: str) -> str:
    """The line on which an example begins, as the name of its test."""
    return f"line {len(example) - len(example.lstrip()) + 1}"


@pytest.fixture
def quiet_asyncio(pytester: pytest.Pytester) -> None:
    """Set what pytest-asyncio warns about when it is left open."""
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")


def plugin_arguments() -> list[str]:
    """What loads the plugin where the project is on the path and not installed."""
    installed = entry_points(group="pytest11", name="gpudiscover")
    return [] if installed else ["-p", "pytest_gpudiscover.plugin"]


@pytest.mark.parametrize("example", examples("python.md"), ids=place)
def test_an_example_of_the_python_page_runs(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = compile(example, str(DOCS / "python.md"), "exec", dont_inherit=True)

    exec(code, {"__name__": "example"})


def test_the_examples_of_the_page_on_simulation_run_one_after_the_other() -> None:
    names: dict[str, object] = {"__name__": "example"}
    for example in examples("simulation.md"):
        exec(compile(example, str(DOCS / "simulation.md"), "exec", dont_inherit=True), names)
    assert "simulated" in names


@pytest.mark.usefixtures("quiet_asyncio")
@pytest.mark.parametrize("example", [*examples("../README.md"), *examples("plugin.md")], ids=place)
def test_an_example_of_the_readme_or_the_plugin_page_passes(example: str, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_example=example)

    result = pytester.runpytest_inprocess(*plugin_arguments(), "--gpudiscover-runner", "fake")

    assert result.parseoutcomes().keys() == {"passed"}


@pytest.mark.parametrize("page", ["../README.md", "python.md", "plugin.md"])
def test_a_page_with_examples_has_some(page: str) -> None:
    assert examples(page)


@pytest.mark.usefixtures("quiet_asyncio")
def test_the_plugin_page_names_every_setting_and_every_fixture(pytester: pytest.Pytester) -> None:
    page = (DOCS / "plugin.md").read_text(encoding="utf-8")
    shown = pytester.runpytest_inprocess(*plugin_arguments(), "--help").stdout.str()
    shown += pytester.runpytest_inprocess(*plugin_arguments(), "--fixtures").stdout.str()

    options = set(re.findall(r"--gpudiscover-[a-z-]+", shown))
    keys = set(re.findall(r"\bgpudiscover_[a-z_]+", shown))
    fixtures = set(re.findall(r"^\w*gpu_\w+", shown, re.MULTILINE))

    assert options
    assert keys
    assert fixtures
    assert [name for name in sorted(options | keys | fixtures) if f"`{name}" not in page] == []
    assert [key for key in sorted(keys) if f"`{key.upper()}`" not in page] == []
