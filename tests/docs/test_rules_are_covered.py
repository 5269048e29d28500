"""`tox -e rules` asks for all of every rule, and a rule is what the linter keeps free of I/O and clocks."""

from __future__ import annotations

import configparser
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETTINGS = "tests/rules/coverage.ini"


def settings_of(path: str) -> configparser.ConfigParser:
    settings = configparser.ConfigParser(interpolation=None)
    settings.read_string((ROOT / path).read_text(encoding="utf-8"))
    return settings


def files_of(module: str) -> str:
    """Where a module is, or all that are in a package, as coverage wants it."""
    path = f"src/{module.replace('.', '/')}"
    return f"{path}/*" if (ROOT / path).is_dir() else f"{path}.py"


def test_every_module_that_does_no_io_and_knows_no_clock_is_measured_and_no_other() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (rules,) = (
        contract["source_modules"]
        for contract in project["tool"]["importlinter"]["contracts"]
        if contract["name"] == "The rules do no I/O and know no clock"
    )
    measured = settings_of(SETTINGS)["report"]["include"].split()
    assert measured == [files_of(module) for module in rules]
    assert [name for name in measured if not any(ROOT.glob(name))] == []


def test_every_line_and_branch_of_them_is_asked_for() -> None:
    settings = settings_of(SETTINGS)
    assert settings["run"].getboolean("branch")
    assert settings["report"].getint("fail_under") == 100
    commands = settings_of("tox.ini")["testenv:rules"]["commands"]
    assert commands.count(f"--rcfile={SETTINGS}") == 2


def test_nothing_of_them_is_left_out() -> None:
    measured = settings_of(SETTINGS)["report"]["include"].split()
    for name in measured:
        for path in ROOT.glob(name):
            assert not path.is_file() or "pragma: no" not in path.read_text(encoding="utf-8")
