"""Which commands there are, and which options each of them takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_gpudiscover.cli.arguments import values

OVERLAP_POLICIES = ("newest_covering", "ollama")
"""Those of `selection.POLICIES`, whose import would cost as much as all the rest; a test compares the two."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command, as `--help` shows it.

    Attributes:
        usage: the line behind "usage:".
        purpose: what it does, in a few words.
        exit_codes: what its own exit codes mean, by code; 2 and 130 are the same for all.
    """

    usage: str
    purpose: str
    exit_codes: dict[str, str]


COMMANDS: Mapping[str, Command] = {
    "list": Command(
        usage="gpudiscover [list] [options]",
        purpose="list the GPUs that can really be used, and say why the others cannot",
        exit_codes={"0": "discovery ran, with devices or without"},
    ),
    "check": Command(
        usage="gpudiscover check [--min-devices N] [options]",
        purpose="check that this machine has the GPUs that are needed",
        exit_codes={"0": "the requirement is met", "1": "it is not met"},
    ),
    "run": Command(
        usage="gpudiscover run [--gpus N] [options] -- COMMAND ...",
        purpose="hold GPUs for a command that sees only those; wait while others hold them",
        exit_codes={
            "...": "that of COMMAND, once it has started",
            "1": "this machine has no such GPUs",
            "124": "waited too long",
            "126": "COMMAND cannot be started",
            "127": "there is no COMMAND",
        },
    ),
    "leases": Command(
        usage="gpudiscover leases [--json] [--leases DIR]",
        purpose="say who holds which GPU since when, and who waits",
        exit_codes={"0": "the leases could be read, whether there are any or not"},
    ),
    "doctor": Command(
        usage="gpudiscover doctor [--json] [options]",
        purpose="walk through what a discovery depends on, and say what to do next",
        exit_codes={"0": "no problem was found", "1": "a problem was found"},
    ),
    "matrix": Command(
        usage="gpudiscover matrix [--json] [options]",
        purpose="print the GPUs in one line of JSON: the matrix of a CI job",
        exit_codes={"0": "discovery ran, with devices or without"},
    ),
    "frameworks": Command(
        usage="gpudiscover frameworks [--json] [options]",
        purpose="check that torch, CuPy and JAX, where installed, see the same GPUs",
        exit_codes={"0": "those that are installed do", "1": "one sees others, or could not be asked"},
    ),
}

_ALL = tuple(COMMANDS)
_DISCOVERING = ("list", "check", "run", "doctor", "matrix", "frameworks")
_NEEDING = ("check", "run")


@dataclass(frozen=True)
class Option:
    """One option: how it is written, which commands take it, and what argparse must know of it."""

    name: str
    flags: tuple[str, ...]
    commands: tuple[str, ...]
    details: dict[str, Any]

    @property
    def flag(self) -> str:
        """How it is written, in full."""
        return self.flags[-1]


def _option(*flags: str, of: tuple[str, ...], name: str = "", **details: Any) -> Option:
    return Option(name or flags[-1].lstrip("-").replace("-", "_"), flags, of, details)


_ASKED = (
    _option(
        "--runner",
        of=_ALL,
        help="native (default), ollama, fake (a simulated machine, that of $FAKE_RUNNER_HOST if it is set), "
        "or a command line",
    ),
    _option(
        "--library-root",
        of=_DISCOVERING,
        metavar="DIR",
        help="the directory that holds the variants; not for native and fake",
    ),
    _option("--variant", of=_DISCOVERING, metavar="NAME", help="ask this variant only"),
    _option(
        "--without-variant",
        of=_DISCOVERING,
        name="without_variants",
        metavar="NAME",
        action="append",
        help="leave this variant out; repeatable",
    ),
    _option(
        "--overlap",
        of=_DISCOVERING,
        choices=OVERLAP_POLICIES,
        help="which variant serves a device that several can: the newest that covers most (default), "
        "or the one that Ollama takes",
    ),
    _option(
        "--timeout",
        of=_DISCOVERING,
        metavar="SECONDS",
        type=values.seconds,
        help="the limit of each enumerate and each verify probe, and of each question to a framework",
    ),
)
_NEEDED = (
    _option(
        "--min-devices",
        of=("check",),
        metavar="N",
        type=values.count,
        help="at least so many devices (default: 1)",
    ),
    _option("--gpus", of=("run",), metavar="N", type=values.count, help="so many GPUs (default: 1)"),
    _option(
        "--library",
        of=_NEEDING,
        metavar="NAME",
        help="only devices of this library: CUDA, ROCm, Vulkan, ...",
    ),
    _option(
        "--min-memory",
        of=_NEEDING,
        metavar="SIZE",
        type=values.size,
        help="each with so much memory in all: 16GiB",
    ),
    _option(
        "--min-compute",
        of=_NEEDING,
        metavar="X",
        type=values.compute,
        help="each of this compute capability or higher: 8.9, gfx1030",
    ),
)
_HELD = (
    _option(
        "--share",
        of=("run",),
        action="store_true",
        help="hold only --min-memory of each GPU, and leave the rest to others who share it",
    ),
    _option(
        "--wait",
        of=("run",),
        metavar="SECONDS",
        type=values.patience,
        help="give up after so long; 0: at once (default: wait as long as it takes)",
    ),
    _option(
        "--leases",
        of=("run", "leases", "doctor"),
        metavar="DIR",
        type=values.directory,
        help="the directory of the leases (default: $GPUDISCOVER_LEASES, else the one of this machine)",
    ),
)
_PRINTED = (
    _option(
        "--json",
        of=("list", "check", "leases", "doctor", "matrix", "frameworks"),
        action="store_true",
        help="print one JSON object and nothing else",
    ),
    _option(
        "-v",
        "--verbose",
        of=_ALL,
        name="verbosity",
        action="count",
        help="show the log on stderr; -vv: also what runners write",
    ),
)
GROUPS: Mapping[str, tuple[Option, ...]] = {
    "what is needed": _NEEDED,
    "how GPUs are held": _HELD,
    "what is asked, and how": _ASKED,
    "what is printed": _PRINTED,
}
VERSION = _option("--version", of=_ALL, action="store_true", help="print the version, and exit")
OPTIONS = (VERSION, *(option for options in GROUPS.values() for option in options))
