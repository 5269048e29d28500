"""The arguments of `gpudiscover`, read into one frozen object.

Nothing here imports what a discovery needs: `gpudiscover --help` answers at once.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from pytest_gpudiscover.errors import RequirementError, UsageError
from pytest_gpudiscover.requirements import Compute, Requirement
from pytest_gpudiscover.text import parse_size, printable

if TYPE_CHECKING:
    from pytest_gpudiscover.selection import Policy

COMMANDS = ("list", "check")
OVERLAP_POLICIES = ("newest_covering", "ollama")
"""Those of `selection.POLICIES`, whose import would cost as much as all the rest; a test compares the two."""

_SEE_HELP = "; gpudiscover --help lists the options"
_USAGE = """\
gpudiscover [list] [options]
       gpudiscover check [--min-devices N] [--library NAME] [--min-memory SIZE] [--min-compute X] [options]"""
_EPILOG = """\
exit codes: 0 discovery ran (check: the requirement is met), 1 check: it is not met,
2 discovery could not run, 130 interrupted
"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user asked for.

    Attributes:
        command: `list`, `check`, or `version`, which is an option for users.
        json: print JSON and nothing else.
        verbosity: 0: no log; 1: down to debug; 2 and more: down to trace.
        runner: as `choosing.chosen_installation` takes it.
        library_root: the directory that holds the variants; None: looked for.
        variant: ask this variant only.
        without_variants: leave these out.
        overlap: the overlap policy.
        timeout: seconds for each enumerate and each verify probe; None: the engine's.
        requirement: what `check` checks.
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


def parse(arguments: Sequence[str]) -> Options:
    """Read the arguments; `--help` prints and raises SystemExit, as argparse does.

    Raises:
        UsageError: they make no sense.
    """
    # Intermixed, so that an option may stand before and after the command.
    given, unknown = _parser().parse_known_intermixed_args(list(arguments))
    if unknown:
        raise UsageError(f"there is no option {unknown[0]}{_SEE_HELP}")
    command = "version" if given.version else _command(given.words)
    if command != "check":
        _refuse_requirements(given)
    return Options(
        command=command,
        json=given.json,
        verbosity=given.verbose,
        runner=given.runner,
        library_root=given.library_root,
        variant=given.variant,
        without_variants=tuple(given.without_variant),
        overlap=given.overlap,
        timeout=given.timeout,
        requirement=Requirement(
            count=given.min_devices or 1,
            library=given.library,
            min_memory=given.min_memory,
            min_compute=given.min_compute,
        ),
    )


def _command(words: Sequence[str]) -> str:
    if not words:
        return "list"
    if len(words) > 1 or words[0] not in COMMANDS:
        raise UsageError(
            f"there is no command {' '.join(words)}: expected {' or '.join(COMMANDS)}{_SEE_HELP}"
        )
    return words[0]


def _refuse_requirements(given: argparse.Namespace) -> None:
    for name in ("min_devices", "library", "min_memory", "min_compute"):
        if getattr(given, name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} is for check: expected gpudiscover check {option} ...")


class _Parser(argparse.ArgumentParser):
    """A parser that raises: an error is one line, and the caller prints it."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}{_SEE_HELP}")


def _parser() -> _Parser:
    parser = _Parser(
        prog="gpudiscover",
        usage=_USAGE,
        description="List the GPUs of this machine that can really be used, and say why the others cannot.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version, and exit")
    parser.add_argument(
        "words", metavar="list|check", nargs="*", help="list the devices (default), or check that they do"
    )
    _add_discovery(parser.add_argument_group("what is asked, and how"))
    _add_output(parser.add_argument_group("what is printed"))
    _add_requirement(parser.add_argument_group("what check expects"))
    return parser


def _add_discovery(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--runner",
        default="native",
        help="native (default), ollama, fake (a simulated machine), or a command line",
    )
    group.add_argument(
        "--library-root", metavar="DIR", help="the directory that holds the variants; not for native and fake"
    )
    group.add_argument("--variant", metavar="NAME", help="ask this variant only")
    group.add_argument(
        "--without-variant",
        metavar="NAME",
        action="append",
        default=[],
        help="leave this variant out; repeatable",
    )
    group.add_argument(
        "--overlap",
        choices=OVERLAP_POLICIES,
        default="newest_covering",
        help="which variant serves a device that several can: the newest that covers most (default), "
        "or the one that Ollama takes",
    )
    group.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        help="the limit of each enumerate and each verify probe",
    )


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    group.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0,
        help="show the log on stderr; -vv: also what runners write",
    )


def _add_requirement(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--min-devices", metavar="N", type=_count, help="at least so many devices (default: 1)"
    )
    group.add_argument(
        "--library", metavar="NAME", help="only devices of this library: CUDA, ROCm, Vulkan, ..."
    )
    group.add_argument(
        "--min-memory", metavar="SIZE", type=_size, help="each with so much memory in all: 16GiB"
    )
    group.add_argument(
        "--min-compute",
        metavar="X",
        type=_compute,
        help="each of this compute capability or higher: 8.9, gfx1030",
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise argparse.ArgumentTypeError(f"expected a positive number of seconds, got {printable(text)!r}")
    return seconds


def _count(text: str) -> int:
    # Ten digits are more devices than there are, and more than 4,300 would not even convert.
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected a number of devices, 1 or more, got {printable(text)!r}")
    return int(text)


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except RequirementError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _compute(text: str) -> Compute:
    try:
        return Compute.parse(text)
    except RequirementError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
