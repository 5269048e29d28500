"""What a user asked for, as one value."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_gpudiscover.requirements import Requirement

if TYPE_CHECKING:
    from pytest_gpudiscover.selection import Policy


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user asked for.

    Attributes:
        command: `list`, `check`, `run`, `leases`, `doctor`, `matrix`, `frameworks`, or `version`, which is
            an option for users.
        json: print JSON and nothing else.
        verbosity: 0: no log; 1: down to debug; 2 and more: down to trace.
        runner: as `choosing.chosen_installation` takes it.
        library_root: the directory that holds the variants; None: looked for.
        variant: ask this variant only.
        without_variants: leave these out.
        overlap: the overlap policy.
        timeout: seconds for each enumerate and each verify probe, and each question to a framework; None: the
            usual ones.
        requirement: what `check` checks, and what `run` leases.
        share: whether `run` shares cards, by memory.
        wait: seconds that `run` waits for its lease; None: as long as it takes.
        leases: the directory of the leases; None: the one that all processes of the machine use.
        program: what `run` runs: a command and its arguments.
    """

    command: str = "list"
    json: bool = False
    verbosity: int = 0
    runner: str = "native"
    library_root: str | None = None
    variant: str | None = None
    without_variants: tuple[str, ...] = ()
    overlap: Policy = "newest_covering"
    timeout: float | None = None
    requirement: Requirement = field(default_factory=Requirement)
    share: bool = False
    wait: float | None = None
    leases: Path | None = None
    program: tuple[str, ...] = ()
