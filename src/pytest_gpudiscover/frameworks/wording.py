"""What is said of frameworks on a terminal. Pure: no terminal here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pytest_gpudiscover.frameworks.comparing import Outcome, Verdict
from pytest_gpudiscover.text import count, printable

_SHORTLY = {
    Outcome.DIFFERS: "does not see what is shown to it",
    Outcome.FAILED: "could not be asked",
    Outcome.NO_GPU_SUPPORT: "has no GPU support",
    Outcome.NOT_INSTALLED: "is not installed",
}


def in_words(verdicts: Iterable[Verdict]) -> Iterator[str]:
    """Say of each framework what became of it, a line each, and its problems below."""
    for verdict in verdicts:
        yield f"{_named(verdict)} {_shortly(verdict)}"
        yield from (f"    {printable(problem, 600)}" for problem in verdict.problems)


def _named(verdict: Verdict) -> str:
    library = f"({verdict.library})" if verdict.library else ""
    return " ".join(part for part in (verdict.framework, printable(verdict.version, 60), library) if part)


def _shortly(verdict: Verdict) -> str:
    if verdict.outcome is not Outcome.AGREES:
        return _SHORTLY[verdict.outcome]
    if verdict.devices == 0:
        return "sees no device, and none was found for it"
    together = ", together and each alone" if verdict.devices > 1 else ""
    return f"sees what is shown to it: {count(verdict.devices, 'device')}{together}"
