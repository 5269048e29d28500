"""What each command of `gpudiscover` does: ask, decide, and hand over what to print."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable

from rich.console import Console, RenderableType

from pytest_gpudiscover.cli import holding, matrix
from pytest_gpudiscover.cli.arguments import Options
from pytest_gpudiscover.cli.discovering import discovered, installation
from pytest_gpudiscover.cli.rendering import shown_check, shown_report
from pytest_gpudiscover.cli.streams import COULD_NOT_RUN, complain
from pytest_gpudiscover.cli.verbosity import log_on_stderr
from pytest_gpudiscover.explaining import unmet
from pytest_gpudiscover.leasing.reach import within_reach
from pytest_gpudiscover.reports import SCHEMA, Report

MET = 0
NOT_MET = 1
NO_PROBLEM = 0
PROBLEM = 1


def run(options: Options) -> tuple[str, int]:
    """Carry out what the user asked for.

    Returns:
        what to print on stdout, and the exit code.

    Raises:
        GpuDiscoverError: it could not run.
        KeyboardInterrupt: the user has had enough; no runner is left.
    """
    with log_on_stderr(options.verbosity):
        match options.command:
            case "run":
                return _run(options)
            case "leases":
                return _leases(options)
            case "doctor":
                return _doctor(options)
            case "matrix":
                return _matrix(options, discovered(options))
            case "frameworks":
                return _frameworks(options, discovered(options))
            case "check":
                return _check(options, discovered(options))
            case _:
                return _list(options, discovered(options))


def _list(options: Options, report: Report) -> tuple[str, int]:
    if options.json:
        return _json(report.to_json()), 0
    console = _console()
    return _rendered(console, shown_report(report, console)), 0


def _check(options: Options, report: Report) -> tuple[str, int]:
    reasons = unmet(options.requirement, report)
    status = NOT_MET if reasons else MET
    if options.json:
        answer = {"schema": SCHEMA, "met": not reasons, "reasons": reasons, "report": report.to_json()}
        return _json(answer), status
    return _rendered(_console(), shown_check(options.requirement, report)), status


def _matrix(options: Options, report: Report) -> tuple[str, int]:
    # What a job may hold, not all that it may see: its tests, too, stay within its masks.
    include = matrix.entries(within_reach(report).devices)
    if not include:
        complain(matrix.NOTHING)
    if options.json:
        return _json({"schema": SCHEMA, "include": include}), 0
    return json.dumps({"include": include}, separators=(",", ":")) + "\n", 0


def _run(options: Options) -> tuple[str, int]:
    from pytest_gpudiscover.cli.running import hold_and_run

    return "", hold_and_run(options)


def _leases(options: Options) -> tuple[str, int]:
    from pytest_gpudiscover.cli.lease_rendering import shown_leases
    from pytest_gpudiscover.leasing.book import book_for, holder_here, machine_of

    entries = book_for(machine_of(installation(options)), options.leases).entries()
    if options.json:
        return _json(holding.to_json(entries, SCHEMA)), 0
    console = _console()
    return _rendered(console, shown_leases(entries, console, now=time.time(), host=holder_here("").host)), 0


def _doctor(options: Options) -> tuple[str, int]:
    from pytest_gpudiscover.cli.doctor_rendering import shown_findings
    from pytest_gpudiscover.cli.examining import examination

    examined = examination(options)
    status = PROBLEM if examined.has_problem else NO_PROBLEM
    if isinstance(examined.report, str):
        complain(examined.report)
        status = COULD_NOT_RUN
    if options.json:
        return _json(examined.to_json()), status
    return _rendered(_console(), shown_findings(examined.findings)), status


def _frameworks(options: Options, report: Report) -> tuple[str, int]:
    from pytest_gpudiscover.frameworks.checking import TIMEOUT, check_frameworks
    from pytest_gpudiscover.frameworks.wording import in_words

    verdicts = check_frameworks(report, timeout=options.timeout or TIMEOUT)
    status = NOT_MET if any(verdict.bad for verdict in verdicts) else MET
    if options.json:
        answer = {"schema": SCHEMA, "agree": status == MET, "frameworks": [one.to_json() for one in verdicts]}
        return _json(answer), status
    return "".join(f"{line}\n" for line in in_words(verdicts)), status


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"


def _console() -> Console:
    return Console(file=sys.stdout, markup=False, highlight=False, emoji=False)


def _rendered(console: Console, renderables: Iterable[RenderableType]) -> str:
    """Render for the terminal of a console; the writing is left to `main`, which knows what can go wrong."""
    with console.capture() as capture:
        for renderable in renderables:
            console.print(renderable)
    return capture.get()
