"""What `gpudiscover list` and `gpudiscover check` do: discover, decide, and hand over what to print."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, RenderableType

from pytest_gpudiscover.blocking import run_in_thread
from pytest_gpudiscover.choosing import chosen_installation
from pytest_gpudiscover.cli.arguments import Options
from pytest_gpudiscover.cli.progress import live_progress
from pytest_gpudiscover.cli.rendering import shown_check, shown_report
from pytest_gpudiscover.cli.verbosity import log_on_stderr
from pytest_gpudiscover.engine import Discovery
from pytest_gpudiscover.recording import Observer
from pytest_gpudiscover.reports import SCHEMA, Report

MET = 0
NOT_MET = 1


def run(options: Options) -> tuple[str, int]:
    """Carry out what the user asked for.

    Returns:
        what to print on stdout, and the exit code.

    Raises:
        GpuDiscoverError: discovery could not run.
        KeyboardInterrupt: the user has had enough; no runner is left.
    """
    with log_on_stderr(options.verbosity):
        report = discovered(options)
    return _check(options, report) if options.command == "check" else _list(options, report)


def discovered(options: Options) -> Report:
    """Discover once, with progress for whoever watches."""
    with live_progress(wanted=not options.json and not options.verbosity) as observer:
        discovery = _discovery(options, observer)
        run_in_thread(discovery.devices)
    return discovery.report


def _discovery(options: Options, observer: Observer | None) -> Discovery:
    installation = chosen_installation(
        options.runner,
        library_root=options.library_root,
        variant=options.variant,
        without_variants=options.without_variants,
    )
    limits: dict[str, Any] = {}
    if options.timeout is not None:
        limits = {"enumerate_timeout": options.timeout, "verify_timeout": options.timeout}
    return Discovery(installation, overlap=options.overlap, observer=observer, **limits)


def _list(options: Options, report: Report) -> tuple[str, int]:
    if options.json:
        return _json(report.to_json()), 0
    console = _console()
    return _rendered(console, shown_report(report, console)), 0


def _check(options: Options, report: Report) -> tuple[str, int]:
    reasons = options.requirement.unmet(report.devices)
    status = NOT_MET if reasons else MET
    if options.json:
        answer = {"schema": SCHEMA, "met": not reasons, "reasons": reasons, "report": report.to_json()}
        return _json(answer), status
    return _rendered(_console(), shown_check(options.requirement, report)), status


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
