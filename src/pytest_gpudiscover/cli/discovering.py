"""One discovery for a command: what the options ask for, with progress for whoever watches."""

from __future__ import annotations

from typing import Any

from pytest_gpudiscover.blocking import run_in_thread
from pytest_gpudiscover.choosing import chosen_installation
from pytest_gpudiscover.cli.arguments import Options
from pytest_gpudiscover.cli.progress import live_progress
from pytest_gpudiscover.engine import Discovery
from pytest_gpudiscover.installations import Installation
from pytest_gpudiscover.recording import Observer
from pytest_gpudiscover.reports import Report


def installation(options: Options) -> Installation:
    """What the options discover with.

    Raises:
        GpuDiscoverError: there can be none such.
    """
    return chosen_installation(
        options.runner,
        library_root=options.library_root,
        variant=options.variant,
        without_variants=options.without_variants,
    )


def discovered(options: Options) -> Report:
    """Discover once.

    Raises:
        GpuDiscoverError: discovery could not run.
    """
    with live_progress(wanted=not options.json and not options.verbosity) as observer:
        discovery = _discovery(options, observer)
        run_in_thread(discovery.devices)
    return discovery.report


def _discovery(options: Options, observer: Observer | None) -> Discovery:
    limits: dict[str, Any] = {}
    if options.timeout is not None:
        limits = {"enumerate_timeout": options.timeout, "verify_timeout": options.timeout}
    return Discovery(installation(options), overlap=options.overlap, observer=observer, **limits)
