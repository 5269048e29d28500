"""Which installation a user means: the one word, or the command line, that options and ini keys take."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_gpudiscover.errors import HostFileError, UsageError
from pytest_gpudiscover.installations import Installation
from pytest_gpudiscover.text import printable

if TYPE_CHECKING:
    from pytest_gpudiscover.simulation import FakeHost


def chosen_installation(
    runner: str = "native",
    *,
    library_root: str | os.PathLike[str] | None = None,
    host: str | os.PathLike[str] | None = None,
    variant: str | None = None,
    without_variants: Sequence[str] = (),
) -> Installation:
    """Turn what a user typed into an installation.

    Args:
        runner: `native`, `ollama` (found on PATH), `fake` (a simulated host), or a command line, to which the
            arguments of the protocol are appended.
        library_root: where the variants are; only for `ollama` and for a command line.
        host: the host file of the simulated host; only for `fake`. None: the one that FAKE_RUNNER_HOST names,
            as for whatever else simulates a host, or else the built-in one.
        variant: ask this variant only.
        without_variants: leave these out.

    Raises:
        UsageError: a library root or a host where there can be none, or a command line that cannot be split.
        HostFileError: the host file cannot be read, or makes no sense.
    """
    if runner in ("native", "fake") and library_root is not None:
        raise UsageError(
            f"a library root goes with the runner ollama or with a command line, not with {runner}"
        )
    if runner != "fake" and host is not None:
        raise UsageError(f"a host file goes with the runner fake, not with {printable(runner, 60)}")
    if runner == "native":
        from pytest_gpudiscover.installations.native import NativeInstallation

        return NativeInstallation(variant=variant, without_variants=without_variants)
    if runner == "fake":
        return _simulated(host).installation(variant=variant, without_variants=without_variants)
    from pytest_gpudiscover.installations.ollama import OllamaInstallation

    return OllamaInstallation(
        _command(runner), library_root=library_root, variant=variant, without_variants=without_variants
    )


def _simulated(path: str | os.PathLike[str] | None) -> FakeHost:
    from pytest_gpudiscover.simulation import FakeHost, showcase
    from pytest_gpudiscover.simulation.hosts import HOST_VARIABLE

    if path is not None:
        return FakeHost.load(path)
    if not (named := os.environ.get(HOST_VARIABLE)):
        return showcase()
    try:
        return FakeHost.load(named)
    except HostFileError as error:
        raise HostFileError(f"{HOST_VARIABLE}: {error}") from error


def _command(line: str) -> list[str]:
    windows = sys.platform == "win32"
    try:
        # On Windows a backslash separates directories, and must not escape what follows it.
        words = shlex.split(line, posix=not windows)
    except ValueError as error:
        raise UsageError(f"the runner {line!r} is no command line: {error}") from error
    if not words:
        raise UsageError("the runner is empty: expected native, ollama, fake, or a command line")
    return [word.strip('"') for word in words] if windows else words
