"""The arguments of `gpudiscover`, read into one frozen object.

`offers` says which commands and options there are, `values` reads what stands behind an option. Nothing here
imports what a discovery needs: `gpudiscover --help` answers at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from pytest_gpudiscover.cli.arguments.offers import COMMANDS, OPTIONS, OVERLAP_POLICIES
from pytest_gpudiscover.cli.arguments.options import Options
from pytest_gpudiscover.cli.arguments.parsers import printer, reader
from pytest_gpudiscover.errors import UsageError
from pytest_gpudiscover.requirements import Requirement
from pytest_gpudiscover.text import printable

__all__ = ["OVERLAP_POLICIES", "Options", "parse"]

_REQUIREMENT = ("min_devices", "gpus", "library", "min_memory", "min_compute")
_SEE_HELP = "; gpudiscover --help lists the options"


def parse(arguments: Sequence[str]) -> Options:
    """Read the arguments; `--help` prints and raises SystemExit, as argparse does.

    Raises:
        UsageError: they make no sense.
    """
    ours, behind = _parted(arguments)
    if {"-h", "--help"} & {*ours}:
        _help(ours)
    # Intermixed, so that an option may stand before and after the command.
    read, unknown = reader().parse_known_intermixed_args(ours)
    given = vars(read)
    words, program = _words_and_program(given.pop("words"), behind)
    if unknown:
        raise UsageError(f"there is no option {unknown[0]}{_SEE_HELP}")
    if "version" in given:
        return Options(command="version")
    command = _command(words)
    _refuse_foreign(command, given)
    if command == "run":
        _check_run(given, program)
    return _options(command, given, program)


def _parted(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What is ours, and what stands behind the first `--`."""
    here = arguments.index("--") if "--" in arguments else len(arguments)
    return list(arguments[:here]), list(arguments[here + 1 :])


def _help(ours: Sequence[str]) -> NoReturn:
    printer(next((word for word in ours if word in COMMANDS), None)).print_help()
    raise SystemExit(0)


def _words_and_program(words: list[str], behind: list[str]) -> tuple[list[str], list[str]]:
    """What stands behind `--` is the program of `run`; elsewhere it is words that cannot be options."""
    if words[:1] != ["run"]:
        return [*words, *behind], []
    if misplaced := words[1:]:
        # Before anything else: what is meant for the program may look like a wrong option of ours.
        _refuse_program(f"{printable(misplaced[0], 60)} ...")
    return words, behind


def _refuse_program(program: str) -> NoReturn:
    raise UsageError(f"run takes its command behind --: expected gpudiscover run [options] -- {program}")


def _command(words: Sequence[str]) -> str:
    if not words:
        return "list"
    if len(words) > 1 or words[0] not in COMMANDS:
        raise UsageError(
            f"there is no command {' '.join(words)}: expected {_listed(COMMANDS, 'or')}{_SEE_HELP}"
        )
    return words[0]


def _refuse_foreign(command: str, given: Mapping[str, Any]) -> None:
    for option in OPTIONS:
        if option.name in given and command not in option.commands:
            example = f"gpudiscover {option.commands[0]} {option.flag} ..."
            raise UsageError(f"{option.flag} is for {_listed(option.commands, 'and')}: expected {example}")


def _check_run(given: Mapping[str, Any], program: Sequence[str]) -> None:
    if not program:
        _refuse_program("COMMAND ...")
    if "share" in given and "min_memory" not in given:
        raise UsageError(
            "--share needs the memory to share: expected gpudiscover run --share --min-memory SIZE ..."
        )


def _options(command: str, given: Mapping[str, Any], program: Sequence[str]) -> Options:
    wanted = {name: given[name] for name in _REQUIREMENT if name in given}
    wanted["count"] = wanted.pop("min_devices", wanted.pop("gpus", 1))
    others = {name: value for name, value in given.items() if name not in _REQUIREMENT}
    others["without_variants"] = tuple(others.get("without_variants", ()))
    return Options(command=command, requirement=Requirement(**wanted), program=tuple(program), **others)


def _listed(names: Iterable[str], conjunction: str) -> str:
    *others, last = names
    return f"{', '.join(others)} {conjunction} {last}" if others else last
