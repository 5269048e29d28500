"""What the pages say about files, faults and each other, against what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fake_runner.faults import VOCABULARY

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
CHANGES = re.compile(r"^\| (?:[a-z][^|]*) \| ([^|]+) \|$", re.MULTILINE)


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def test_the_readme_leads_to_every_page() -> None:
    readme = text("README.md")
    assert PAGES
    assert [page.name for page in PAGES if f"(docs/{page.name})" not in readme] == []


def test_the_changelog_counts_the_faults() -> None:
    assert re.findall(r"(\d+)\sfaults", text("CHANGELOG.md")) == [str(len(VOCABULARY))]


def places(row: str) -> list[str]:
    """The files and folders that a row of "Where a change goes" names."""
    return [name for name in re.findall(r"`([\w./]+)`", row) if "/" in name or name.endswith(".py")]


def rows() -> list[str]:
    """The right-hand cells of "Where a change goes"."""
    section = text("docs/architecture.md").split("## Where a change goes")[1].split("\n## ")[0]
    found: list[str] = CHANGES.findall(section)
    return found


@pytest.mark.parametrize("row", rows())
def test_a_place_where_a_change_goes_exists(row: str) -> None:
    homes = (ROOT, ROOT / "src" / "pytest_gpudiscover")
    missing = [name for name in places(row) if not any((home / name).exists() for home in homes)]
    assert missing == []


def test_a_card_goes_where_the_profiles_are() -> None:
    (card,) = [row for row in rows() if "PROFILES" in row]
    program, page, facts = places(card)
    assert "PROFILES = {" in text(program) or "PROFILES: " in text(program)
    assert "## Cards" in text(page)
    assert "FACTS = {" in text(facts)
