"""The command `gpudiscover`: what it prints, and the exit codes it keeps.

Nothing is decided here about devices: `commands` asks the engine and the book of leases, `examining` the
machine. What they say is put into words by `rows`, `rejections`, `holding`, `matrix` and `sentences`, and on
a terminal by `rendering`, `lease_rendering` and `doctor_rendering`. `running` becomes another command.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pytest_gpudiscover.cli.arguments import parse
from pytest_gpudiscover.cli.streams import COULD_NOT_RUN, complain, printed
from pytest_gpudiscover.errors import GpuDiscoverError

INTERRUPTED = 130
"""128 and the number of SIGINT, as shells have it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: the arguments, without the program's name; None: those of this process.

    Returns:
        the exit code: 0 it ran (`check`: the requirement is met; `doctor`: no problem was found), 1 `check`,
        `run`: it is not met, `doctor`: a problem was found, 2 it could not run, 124, 126 and 127 `run`: see
        there, 130 interrupted. Where `run` starts a command, that takes our place, and this does not return;
        on Windows it returns the command's own exit code.
    """
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    except GpuDiscoverError as error:
        complain(str(error))
        return COULD_NOT_RUN
    except (OSError, RuntimeError) as error:  # no file, process or thread left to be had
        complain(f"could not run: {str(error) or type(error).__name__}")
        return COULD_NOT_RUN
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED


def _run(arguments: Sequence[str]) -> int:
    try:
        options = parse(arguments)
    except SystemExit:  # --help has printed what it had to
        return printed("", 0)
    if options.command == "version":
        return printed(f"gpudiscover {_version()}\n", 0)
    # Only now: rich, asyncio and the rest take their time, which --help need not wait for.
    from pytest_gpudiscover.cli.commands import run

    return printed(*run(options))


def _version() -> str:
    # The import costs more than reading the arguments.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("pytest-gpudiscover")
    except PackageNotFoundError:
        return "of unknown version: pytest-gpudiscover is not installed, it runs from its sources"
