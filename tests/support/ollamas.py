"""Installations of Ollama, of either age, that act out a simulated host."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import fake_runner
from pytest_gpudiscover.simulation import FakeHost
from runners import library_tree

_FAKE_RUNNER = Path(fake_runner.__file__).parent / "__main__.py"
AGES = ("info", "gpu-discover")
"""What a host `speaks`: releases up to 0.2x, and from 0.30 on."""


def speaking(host: FakeHost, speaks: str) -> FakeHost:
    """The same machine, seen by a release of that age."""
    return FakeHost({**host.document, "speaks": speaks})


def installed(directory: Path, host: FakeHost, preamble: str = "") -> Path:
    """Install an `ollama` that sees a host, with the host's variants in its library root.

    Args:
        directory: where to.
        host: it is saved there.
        preamble: lines of shell that run before anything else does.

    Returns:
        the program.
    """
    program = directory / "bin" / "ollama"
    program.parent.mkdir(parents=True)
    placed = host.save(directory / "host.json")
    library_tree(directory / "lib" / "ollama", *placed.document["variant"])
    start = shlex.join([sys.executable, "-I", "-S", str(_FAKE_RUNNER)])
    variable = f"FAKE_RUNNER_HOST={shlex.quote(str(placed.path))}"
    program.write_text(f'#!/bin/sh\n{preamble}\n{variable} exec {start} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return program


def starts(host: FakeHost) -> list[str]:
    """The first word that each recorded start was given."""
    return [call.argv[1] for call in host.calls]
