"""The command `gpudiscover`: what it prints, and the exit codes it keeps.

Nothing is decided here about devices: `commands` asks the engine, `rows`, `rejections` and `sentences` put
its report into words, and `rendering` puts the words on a terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

from pytest_gpudiscover.cli.arguments import parse
from pytest_gpudiscover.errors import GpuDiscoverError
from pytest_gpudiscover.text import printable

COULD_NOT_RUN = 2
INTERRUPTED = 130
"""128 and the number of SIGINT, as shells have it."""

_LINE_LIMIT = 1000


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: the arguments, without the program's name; None: those of this process.

    Returns:
        the exit code: 0 discovery ran (`check`: the requirement is met), 1 `check`: it is not met,
        2 discovery could not run, 130 interrupted.
    """
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    except GpuDiscoverError as error:
        _complain(str(error))
        return COULD_NOT_RUN
    except (OSError, RuntimeError) as error:  # no file, process or thread left to be had
        _complain(f"discovery could not run: {str(error) or type(error).__name__}")
        return COULD_NOT_RUN
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED


def _run(arguments: Sequence[str]) -> int:
    try:
        options = parse(arguments)
    except SystemExit:  # --help has printed what it had to
        return _printed("", 0)
    if options.command == "version":
        return _printed(f"gpudiscover {_version()}\n", 0)
    # Only now: rich, asyncio and the rest take their time, which --help need not wait for.
    from pytest_gpudiscover.cli.commands import run

    return _printed(*run(options))


def _version() -> str:
    # The import costs more than reading the arguments.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("pytest-gpudiscover")
    except PackageNotFoundError:
        return "of unknown version: pytest-gpudiscover is not installed, it runs from its sources"


def _printed(text: str, status: int) -> int:
    """Print, and keep the exit code when nobody reads any more; any other failure of stdout is an error."""
    if sys.stdout is None:  # started with a closed stdout
        return status
    try:
        _tolerant(sys.stdout).write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout)
    except OSError as error:
        _discard(sys.stdout)
        _complain(f"stdout cannot be written: {error.strerror}")
        return COULD_NOT_RUN
    return status


def _tolerant(stream: TextIO) -> TextIO:
    """Let a stream escape the characters that its encoding lacks, instead of failing at them."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    return stream


def _discard(stream: TextIO) -> None:
    """Send what a stream still holds nowhere: Python would try to write it once more at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _complain(text: str) -> None:
    """Say what is wrong on stderr, in one line."""
    if sys.stderr is not None:
        sys.stderr.write(f"gpudiscover: {printable(text, _LINE_LIMIT)}\n")
