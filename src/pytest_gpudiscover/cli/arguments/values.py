"""What may stand behind an option. Each reader raises what argparse puts into one line, the option named."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from pathlib import Path

from pytest_gpudiscover.errors import RequirementError
from pytest_gpudiscover.requirements import Compute
from pytest_gpudiscover.text import parse_size, printable


def seconds(text: str) -> float:
    """Read a time that something may take: above 0."""
    number = _number(text)
    if not (math.isfinite(number) and number > 0):
        raise ArgumentTypeError(f"expected a positive number of seconds, got {printable(text)!r}")
    return number


def patience(text: str) -> float:
    """Read a time to wait: 0 is not to wait at all."""
    number = _number(text)
    if not (math.isfinite(number) and number >= 0):
        raise ArgumentTypeError(f"expected a number of seconds, 0 or more, got {printable(text)!r}")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def count(text: str) -> int:
    """Read a number of devices: 1 or more."""
    # Ten digits are more devices than there are, and more than 4,300 would not even convert.
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) > 0):
        raise ArgumentTypeError(f"expected a number of devices, 1 or more, got {printable(text)!r}")
    return int(text)


def size(text: str) -> int:
    """Read a size in bytes, written as `text.parse_size` takes it."""
    try:
        return parse_size(text)
    except RequirementError as error:
        raise ArgumentTypeError(str(error)) from error


def compute(text: str) -> Compute:
    """Read a compute capability."""
    try:
        return Compute.parse(text)
    except RequirementError as error:
        raise ArgumentTypeError(str(error)) from error


def directory(text: str) -> Path:
    """Read the name of a directory; an empty one is a variable that nobody set."""
    if not text:
        raise ArgumentTypeError("expected a directory, got ''")
    return Path(text)
