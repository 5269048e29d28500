"""The parsers: one that reads every option, and those that print the help of one command or of all."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from pytest_gpudiscover.cli.arguments.offers import COMMANDS, GROUPS, OPTIONS, VERSION, Option
from pytest_gpudiscover.errors import UsageError

_PURPOSE = "Find the GPUs of this machine that can really be used, and hold them."
_EXIT_CODES = {
    "0": "it ran (check: the requirement is met; doctor: no problem was found)",
    "1": "check, run: no such GPUs here; doctor: a problem; frameworks: they differ",
    "...": "run: that of COMMAND, and more: see gpudiscover run --help",
}
_EXIT_CODES_OF_ALL = {"2": "it could not run", "130": "interrupted"}


class _Parser(argparse.ArgumentParser):
    """A parser that raises: an error is one line, and the caller prints it."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; gpudiscover --help lists the options")


def reader() -> argparse.ArgumentParser:
    """A parser of every option and of any words; an option that was not given is missing in what it reads."""
    parser = _Parser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    parser.add_argument("words", nargs="*", default=[])
    for option in OPTIONS:
        parser.add_argument(*option.flags, dest=option.name, **option.details)
    return parser


def printer(command: str | None) -> argparse.ArgumentParser:
    """A parser that prints the help of one command, or of all (None)."""
    return _printer_of_all() if command is None else _printer_of(command)


def _printer_of_all() -> argparse.ArgumentParser:
    parser = _printer([command.usage for command in COMMANDS.values()], _PURPOSE, _EXIT_CODES)
    commands = parser.add_argument_group(
        "commands (without one: list)", "gpudiscover COMMAND --help shows the options of one command."
    )
    for name, command in COMMANDS.items():
        commands.add_argument(name, help=command.purpose)
    for title, options in GROUPS.items():
        users = [name for name in COMMANDS if any(name in option.commands for option in options)]
        shared = len(users) == len(COMMANDS)
        group = parser.add_argument_group(title if shared else f"{title} ({', '.join(users)})")
        for option in options:
            alone = len(option.commands) == 1 < len(users)
            _show(group, option, f"{option.commands[0]}: " if alone else "")
    return parser


def _printer_of(name: str) -> argparse.ArgumentParser:
    command = COMMANDS[name]
    purpose = f"{command.purpose[0].upper()}{command.purpose[1:]}."
    parser = _printer([command.usage], purpose, command.exit_codes)
    for title, options in GROUPS.items():
        group = parser.add_argument_group(title)
        for option in options:
            if name in option.commands:
                _show(group, option)
    return parser


def _printer(usage: Sequence[str], purpose: str, exit_codes: dict[str, str]) -> argparse.ArgumentParser:
    codes = "\n".join(f"  {code:<5}{meaning}" for code, meaning in (exit_codes | _EXIT_CODES_OF_ALL).items())
    parser = argparse.ArgumentParser(
        prog="gpudiscover",
        usage="\n       ".join(usage),
        description=purpose,
        epilog=f"exit codes:\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _show(parser, VERSION)
    return parser


def _show(where: argparse._ActionsContainer, option: Option, only: str = "") -> None:
    where.add_argument(*option.flags, **option.details | {"help": only + option.details["help"]})
