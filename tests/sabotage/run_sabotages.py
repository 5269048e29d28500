"""Break one thing at a time in a copy of the package, and see which law notices.

`tox run -e sabotage`, or `python tests/sabotage/run_sabotages.py [--only WORD] [--write PAGE]`. The sabotages
are in sabotages.toml; docs/sabotages.md is what `--write` has made of a whole run.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("sabotages.toml")
PACKAGE = "pytest_gpudiscover"
LAWS = "tests/laws"
RULES = "tests/rules"

LIMIT = 300.0
"""Seconds for one run of the laws; all of them take half a minute where nothing is wrong."""

WITHOUT = "not a_real_runner"
"""The law that starts processes is left out: it takes long, and says of the rules what others say."""

PROFILE = "--hypothesis-profile=sabotage"
"""The same examples every time, as many as in CI; none is made smaller, which can take minutes."""

_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+?)::(\w+)", re.MULTILINE)
_TESTS_FAILED = 1  # pytest's exit status; others mean that no test could be asked


@dataclass(frozen=True, kw_only=True)
class Sabotage:
    """One entry of the table; the comment at its head says what each key means."""

    group: str
    what: str
    file: str
    old: str
    new: str
    laws: tuple[str, ...]
    unnoticed: str = ""
    rules: tuple[str, ...] = ()

    def of(self, code: str) -> str:
        """Break the code of the file.

        Raises:
            ValueError: what is to be replaced is not there, or not only once.
        """
        there = code.count(self.old)
        if there != 1:
            raise ValueError(
                f"{self.what}: expected {self.old!r} once in {self.file}, found it {there} times"
            )
        return code.replace(self.old, self.new)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a sabotage came to.

    Attributes:
        sabotage: the sabotage.
        test: the first test that failed, as `file::name`; "" when none did.
        seconds: how long that took.
        note: what else is to be said.
    """

    sabotage: Sabotage
    test: str
    seconds: float
    note: str = ""

    @property
    def by_law(self) -> bool:
        """Whether a law noticed."""
        return self.test.startswith(LAWS)


def table() -> list[Sabotage]:
    """Read the sabotages, in their order."""
    groups = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return [
        Sabotage(group=group, **entry | {key: tuple(entry.get(key, ())) for key in ("laws", "rules")})
        for group, entries in groups.items()
        for entry in entries
    ]


class Copy:
    """A copy of the package's code, in which one thing is broken at a time.

    Attributes:
        source: the directory that stands first in Python's path.
    """

    def __init__(self, directory: Path) -> None:
        self.source = directory / "src"
        shutil.copytree(ROOT / "src", self.source, ignore=shutil.ignore_patterns("__pycache__"))

    def attempt(self, sabotage: Sabotage) -> Outcome:
        """Ask the laws while one thing is broken, and mend it."""
        file = self.source / PACKAGE / sabotage.file
        whole = file.read_text(encoding="utf-8")
        started = time.monotonic()
        try:
            file.write_text(sabotage.of(whole), encoding="utf-8")
            self.check(sabotage.file)
            test, note = self.ask(in_turn(sabotage)), ""
        except ValueError as error:
            test, note = "", str(error)
        except subprocess.TimeoutExpired as late:
            # A law that never ends has noticed as well.
            test, note = f"{LAWS}/{sabotage.laws[0]}::no_end", f"no end within {late.timeout:g} s"
        finally:
            file.write_text(whole, encoding="utf-8")
        return Outcome(sabotage=sabotage, test=test, seconds=time.monotonic() - started, note=note)

    def check(self, file: str) -> None:
        """Make sure that it is the copy of a file that gets imported.

        Raises:
            ValueError: it is another, or it cannot be imported.
        """
        module = ".".join((PACKAGE, *Path(file).with_suffix("").parts))
        program = f"import sys, {module}; print(sys.modules[{module!r}].__file__)"
        done = self._run("-c", program)
        if done.returncode:
            raise ValueError(f"{file} cannot be imported: {done.stderr.strip().rpartition(chr(10))[2]}")
        if Path(done.stdout.strip()) != self.source / PACKAGE / file:
            raise ValueError(f"{file}: expected the copy to be imported, it was {done.stdout.strip()}")

    def ask(self, tests: Sequence[str]) -> str:
        """Run tests until one fails.

        Returns:
            which; "" when none does.

        Raises:
            ValueError: pytest could not run them.
            subprocess.TimeoutExpired: they took longer than `LIMIT`.
        """
        done = self._run("-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", PROFILE, "-k", WITHOUT, *tests)
        failed = _FAILED.search(done.stdout)
        if done.returncode not in (0, _TESTS_FAILED) or (done.returncode and not failed):
            raise ValueError(f"pytest could not run: {(done.stdout + done.stderr)[-2000:]}")
        return "::".join(failed.groups()) if failed else ""

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON"))
        }
        environment = {**kept, "PYTHONPATH": f"{self.source}{os.pathsep}{ROOT}"}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )


def in_turn(sabotage: Sabotage) -> list[str]:
    """The laws that are named for a sabotage, the others, and then the tests of the rules that are named."""
    first = [f"{LAWS}/{name}" for name in sabotage.laws]
    return [
        *first,
        *(law for law in laws() if law not in first),
        *(f"{RULES}/{name}" for name in sabotage.rules),
    ]


def laws() -> list[str]:
    """Every file of laws."""
    return [f"{LAWS}/{file.name}" for file in sorted((ROOT / LAWS).glob("test_law_*.py"))]


def attempts(sabotages: Sequence[Sabotage]) -> Iterator[Outcome]:
    """Attempt one after the other.

    Raises:
        ValueError: the tests fail already while nothing is broken.
    """
    with tempfile.TemporaryDirectory(prefix="sabotage-") as directory:
        copy = Copy(Path(directory).resolve())
        copy.check("__init__.py")
        rules = sorted({f"{RULES}/{name}" for sabotage in sabotages for name in sabotage.rules})
        if failed := copy.ask([*laws(), *rules]):
            raise ValueError(f"nothing is broken yet, and {failed} fails: mend that first")
        yield from map(copy.attempt, sabotages)


def row(number: int, count: int, outcome: Outcome) -> str:
    """One line of what is printed."""
    sabotage = outcome.sabotage
    noticed = outcome.test.rpartition("::")[2] or "NOT NOTICED"
    note = f" ({outcome.note})" if outcome.note else ""
    return f"{number:3}/{count} {outcome.seconds:4.0f} s  {sabotage.what} | {sabotage.file} | {noticed}{note}"


def score(outcomes: Sequence[Outcome]) -> str:
    """How many were noticed, and by what."""
    by_law = sum(outcome.by_law for outcome in outcomes)
    by_rule = sum(bool(outcome.test) and not outcome.by_law for outcome in outcomes)
    unnoticed = sum(not outcome.test for outcome in outcomes)
    return (
        f"{len(outcomes)} sabotages: {by_law} noticed by a law, "
        f"{by_rule} by a test of the rules alone, {unnoticed} by nothing"
    )


INTRODUCTION = """\
# Sabotages

One thing at a time is broken on purpose, by hand, in a copy of the package, and the laws
([property-testing.md](property-testing.md)) are run until one fails.

{score}. That takes a core {minutes:.0f} minutes.

```console
$ tox run -e sabotage                                  # all of them
$ tox run -e sabotage -- --only masks                  # those with this word
$ tox run -e sabotage -- --write docs/sabotages.md     # all of them, and this page
```

It fails when one is not noticed, or does not fit the code any more. The sabotages are in
`tests/sabotage/sabotages.toml`; a new rule gets one, and a test of the ordinary suite keeps that table, this
page and the code together. The laws draw the same examples every time, a hundred each, as in CI. The
test that is named is the first that failed, not the only one that would.
"""


def page(outcomes: Sequence[Outcome], seconds: float) -> str:
    """The page of a whole run."""
    parts = [INTRODUCTION.format(score=score(outcomes), minutes=seconds / 60)]
    for group in dict.fromkeys(outcome.sabotage.group for outcome in outcomes):
        rows = [_cells(outcome) for outcome in outcomes if outcome.sabotage.group == group]
        head = ["| what is broken | in | noticed by |", "| --- | --- | --- |"]
        parts.append("\n".join((f"## {group.capitalize()}\n", *head, *rows)) + "\n")
    return "\n".join(parts)


def _cells(outcome: Outcome) -> str:
    sabotage = outcome.sabotage
    noticed = f"`{outcome.test.rpartition('::')[2]}`" if outcome.test else "**nothing**"
    if outcome.test and not outcome.by_law:
        noticed = f"no law: {sabotage.unnoticed}. By `{outcome.test.replace('::', '`: `')}`"
    return f"| {sabotage.what} | `{sabotage.file}` | {noticed} |"


def busy() -> float:
    """Seconds that the processes of this run have kept a core busy, however busy it is otherwise."""
    spent = os.times()
    return spent.children_user + spent.children_system


def say(text: str) -> None:
    """Print a line at once, also into a file."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def chosen(arguments: Sequence[str] | None) -> tuple[list[Sabotage], Path | None]:
    """Read the command line: which sabotages, and the page to write."""
    parser = argparse.ArgumentParser(description="Break one thing at a time, and see which law notices.")
    parser.add_argument("--only", metavar="WORD", default="", help="those whose description or file holds it")
    parser.add_argument("--write", metavar="PAGE", type=Path, help="write the page; needs all of them")
    options = parser.parse_args(arguments)
    sabotages = [each for each in table() if options.only in f"{each.group} {each.what} {each.file}"]
    if not sabotages:
        parser.error(f"no sabotage has the word {options.only!r}")
    if options.only and options.write:
        parser.error("a page shows all of the sabotages: leave out --only")
    return sabotages, options.write


def main(arguments: Sequence[str] | None = None) -> int:
    """Attempt the sabotages; 1 when one of them is not noticed, or does not fit the code."""
    sabotages, target = chosen(arguments)
    outcomes: list[Outcome] = []
    try:
        for number, outcome in enumerate(attempts(sabotages), 1):
            say(row(number, len(sabotages), outcome))
            outcomes.append(outcome)
    except ValueError as error:
        say(str(error))
        return 1
    say(score(outcomes))
    if target:
        target.write_text(page(outcomes, busy()), encoding="utf-8")
    return int(not all(outcome.test for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
