"""Hold the mutants that survived against the list of those that are explained, and print the score.

Reads what `mutmut run` left in a folder, `mutants` unless another is named; `tox run -e mutation` does both.
Exits with 1 when a mutant survived that nobody explained, when an explanation explains no survivor any more,
and when a mutant was not tested. Mutants are known by the lines they change: mutmut's numbers shift.
"""

from __future__ import annotations

import difflib
import json
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXPLAINED = Path(__file__).with_name("explained.toml")
KILLED = (1, 3)
"""What pytest exits with when tests fail, and when the mutant breaks pytest itself."""
TIMED_OUT = (-24, 24, 36, 152, 255)
"""What mutmut notes of a mutant that ran far longer than its tests do."""


@dataclass(frozen=True, order=True)
class Change:
    """What a mutant changes.

    Attributes:
        file: its path, from the root of the repository.
        function: its name, with its class where it has one.
        lines: the lines that went and came, as in a unified diff, without their indentation.
    """

    file: str
    function: str
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([f"{self.file}, {self.function}:", *(f"    {line}" for line in self.lines)])


@dataclass(frozen=True)
class Results:
    """What became of the mutants of one file.

    Attributes:
        file: its path, from the root of the repository.
        counts: mutants, by "killed", "timed out", "survived", "not tested".
        survivors: the changes that no test noticed.
    """

    file: str
    counts: Counter[str]
    survivors: tuple[Change, ...]


def results(folder: Path) -> Iterator[Results]:
    """Read what became of all mutants, file by file; files without a mutant are left out."""
    for meta in sorted(folder.rglob("*.py.meta")):
        codes: dict[str, int | None] = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
        mutated = meta.with_suffix("")
        if codes:
            yield Results(
                file=mutated.relative_to(folder).as_posix(),
                counts=Counter(verdict(code) for code in codes.values()),
                survivors=tuple(
                    change(mutated, mutated.relative_to(folder).as_posix(), name.rpartition(".")[2])
                    for name, code in codes.items()
                    if verdict(code) == "survived"
                ),
            )


def verdict(code: int | None) -> str:
    """Name what mutmut noted of a mutant; whatever is no failure of a test counts as survived."""
    if code is None:
        return "not tested"
    return "killed" if code in KILLED else "timed out" if code in TIMED_OUT else "survived"


def change(mutated: Path, file: str, mutant: str) -> Change:
    """Compare a mutant with the function it was made from: both stand in the mutated file."""
    original = mutant.rpartition("__mutmut_")[0] + "__mutmut_orig"
    before, after = (function_of(mutated, name) for name in (original, mutant))
    compared = list(difflib.unified_diff(before, after, lineterm="", n=0))[2:]
    lines = tuple(f"{line[0]} {line[1:].strip()}" for line in compared if not line.startswith("@@"))
    return Change(file, plain(mutant), lines)


def function_of(mutated: Path, name: str) -> list[str]:
    """The lines of one function of a mutated file, under its plain name."""
    spans = json.loads(mutated.with_name(mutated.name + ".spans").read_text(encoding="utf-8"))["spans"]
    first, last = spans[name]
    lines = mutated.read_text(encoding="utf-8").splitlines()[first - 1 : last]
    return [line.replace(name, plain(name)) for line in lines]


def plain(name: str) -> str:
    """The name in the source: mutmut writes `x_verdict__mutmut_3`, and `xǁUserMasksǁread__mutmut_3`."""
    mangled = name.rpartition("__mutmut_")[0]
    return mangled.removeprefix("x_") if mangled.startswith("x_") else mangled[2:].replace("ǁ", ".")


def explanations(path: Path) -> set[Change]:
    """Read the explained mutants; each has a file, a function, a change, and a reason to be left alone."""
    entries: list[dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8")).get("explained", [])
    assert all(entry["reason"] for entry in entries)
    return {
        Change(entry["file"], entry["function"], tuple(entry["change"].strip().splitlines()))
        for entry in entries
    }


def table(found: Iterable[Results], explained: set[Change]) -> Iterator[str]:
    """The score of each file, and of all, in Markdown."""
    yield "| file | mutants | killed | timed out | survived, explained | survived, not explained | noticed |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    total: Counter[str] = Counter()
    for result in found:
        known = sum(survivor in explained for survivor in result.survivors)
        counts = result.counts + Counter({"explained": known})
        total += counts
        yield row(f"`{result.file.removeprefix('src/pytest_gpudiscover/')}`", counts)
    yield row("all", total)


def row(name: str, counts: Counter[str]) -> str:
    """One line of the table."""
    mutants = counts.total() - counts["explained"]
    noticed = counts["killed"] + counts["timed out"]
    unexplained = counts["survived"] - counts["explained"]
    cells = (mutants, counts["killed"], counts["timed out"], counts["explained"], unexplained)
    return f"| {name} | {' | '.join(map(str, cells))} | {noticed / mutants:.1%} |"


def complaints(found: list[Results], explained: set[Change]) -> Iterator[str]:
    """Everything that is not as it must be, in words."""
    survivors = {survivor for result in found for survivor in result.survivors}
    if not found:
        yield "There are no mutants: run `mutmut run` first, in the root of the repository."
    for survivor in sorted(survivors - explained):
        yield f"No test notices this: write one, or explain it in {EXPLAINED.name}.\n{survivor}"
    for needless in sorted(explained - survivors) if found else ():
        yield f"Explained, but no such mutant survives: take it out of {EXPLAINED.name}.\n{needless}"
    if untested := sum(result.counts["not tested"] for result in found):
        yield f"Mutants that were not tested: {untested}. Let `mutmut run` come to its end."


def main(folder: str = "mutants", explained: str = str(EXPLAINED)) -> int:
    """Print the score and what is wrong; the program's exit status."""
    found, known = list(results(Path(folder))), explanations(Path(explained))
    wrong = list(complaints(found, known))
    sys.stdout.write("\n".join([*table(found, known), "", *wrong, ""]) if found else "\n".join([*wrong, ""]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
