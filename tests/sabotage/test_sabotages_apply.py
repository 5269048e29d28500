"""Every sabotage of the table fits the code, the laws and the page; run_sabotages.py shows what notices."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "pytest_gpudiscover"
PAGE = ROOT / "docs" / "sabotages.md"
GROUPS: dict[str, list[dict[str, Any]]] = tomllib.loads(
    Path(__file__).with_name("sabotages.toml").read_text(encoding="utf-8")
)
SABOTAGES = [entry for entries in GROUPS.values() for entry in entries]
ROW = re.compile(r"^\| ([^|]+) \| `([\w./]+)` \| (.+) \|$", re.MULTILINE)


def rows() -> list[tuple[str, str, str]]:
    """What the page shows: the sabotage, its file, and what noticed it."""
    found: list[tuple[str, str, str]] = ROW.findall(PAGE.read_text(encoding="utf-8"))
    return found


each_sabotage = pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage["what"])


@each_sabotage
def test_a_sabotage_fits_the_code_and_leaves_it_a_program(sabotage: dict[str, Any]) -> None:
    code = (PACKAGE / sabotage["file"]).read_text(encoding="utf-8")
    assert code.count(sabotage["old"]) == 1
    broken = code.replace(sabotage["old"], sabotage["new"])
    assert compile(broken, sabotage["file"], "exec") != compile(code, sabotage["file"], "exec")


@each_sabotage
def test_the_tests_that_a_sabotage_names_are_there(sabotage: dict[str, Any]) -> None:
    laws = [ROOT / "tests" / "laws" / name for name in sabotage["laws"]]
    rules = [ROOT / "tests" / "rules" / name for name in sabotage.get("rules", ())]
    assert laws
    assert [file for file in laws + rules if not file.is_file()] == []


@each_sabotage
def test_only_what_no_law_can_notice_is_left_to_the_tests_of_the_rules_and_says_why(
    sabotage: dict[str, Any],
) -> None:
    assert bool(sabotage.get("rules")) == bool(sabotage.get("unnoticed", "").strip())


def test_there_are_sabotages_of_everything_that_laws_speak_of() -> None:
    assert [*GROUPS] == ["selection", "masks", "refresh", "environment", "wire", "order", "printed"]
    assert all(GROUPS.values())
    assert len(SABOTAGES) >= 25


def test_no_sabotage_is_there_twice() -> None:
    changes = [(sabotage["file"], sabotage["old"], sabotage["new"]) for sabotage in SABOTAGES]
    assert len({*changes}) == len(changes)
    assert len({sabotage["what"] for sabotage in SABOTAGES}) == len(SABOTAGES)


def test_the_page_shows_the_sabotages_of_the_table_and_its_score_is_theirs() -> None:
    """What to do: `tox run -e sabotage -- --write docs/sabotages.md`."""
    assert [(what, file) for what, file, _ in rows()] == [(each["what"], each["file"]) for each in SABOTAGES]
    alone = sum("unnoticed" in sabotage for sabotage in SABOTAGES)
    score = (
        f"{len(SABOTAGES)} sabotages: {len(SABOTAGES) - alone} noticed by a law, "
        f"{alone} by a test of the rules alone, 0 by nothing"
    )
    assert score in PAGE.read_text(encoding="utf-8")


def test_the_tests_that_the_page_names_are_there() -> None:
    names = {name for *_, noticed in rows() for name in re.findall(r"`(test_\w+)`", noticed)}
    files = [*(ROOT / "tests" / "laws").glob("*.py"), *(ROOT / "tests" / "rules").glob("*.py")]
    code = "\n".join(file.read_text(encoding="utf-8") for file in files)
    assert names
    assert [name for name in sorted(names) if f"def {name}(" not in code] == []
