"""Words and numbers for people: nothing that came from outside reaches a terminal or a log as it came.

Pure: no I/O here.
"""

from __future__ import annotations

import re

from pytest_gpudiscover.errors import RequirementError

GIB = 1 << 30
"""Bytes in a GiB."""

_UNITS = {"": 1} | {
    prefix + unit: base**power
    for unit, base in (("ib", 1024), ("b", 1000))
    for power, prefix in enumerate("kmgt", start=1)
}
_SHOWN = {name: _UNITS[name.lower()] for name in ("GiB", "GB", "MiB", "MB")}
_SIZE = re.compile(r"\s*([0-9]{1,20}(?:\.[0-9]{1,20})?)\s*([a-z]*)\s*", re.ASCII | re.IGNORECASE)


def printable(text: str, limit: int = 300) -> str:
    """Make text from outside safe to show: control characters escaped, on one line, at most `limit` long."""
    if len(text) <= limit and text.isprintable():
        return text
    shown = "".join(char if char.isprintable() else _escaped(char) for char in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "backslashreplace").decode("ascii")


def gibibytes(size: int) -> str:
    """Show bytes in GiB with one decimal: `23.5 GiB`."""
    return f"{size / GIB:.1f} GiB"


def exact_unit(size: int) -> str:
    """The first of GiB, GB, MiB, MB and bytes in which one decimal says a size exactly, as it was typed."""
    return next(
        (name for name, unit in _SHOWN.items() if _tenths(size, unit, up=True) * unit // 10 == size), "bytes"
    )


def in_unit(size: int, unit: str, *, up: bool = False) -> str:
    """Show bytes in a unit with one decimal, rounded down, or `up`: `23.9 GiB`; `bytes` have no decimal."""
    if unit not in _SHOWN:
        return f"{size} {unit}"
    tenths = _tenths(size, _SHOWN[unit], up=up)
    return f"{tenths // 10}.{tenths % 10} {unit}"


def _tenths(size: int, unit: int, *, up: bool) -> int:
    return -(-size * 10 // unit) if up else size * 10 // unit


def parse_size(text: str) -> int:
    """Read a size: plain bytes, or a number with KiB, MiB, GiB, TiB (powers of 1024) or KB to TB (of 1000).

    Returns:
        bytes.

    Raises:
        RequirementError: it is no size.
    """
    match = _SIZE.fullmatch(text)
    unit = match.group(2).lower().removesuffix("bytes") if match else None
    if match is None or unit not in _UNITS:
        raise RequirementError(
            f"{printable(text)!r} is no size: expected bytes, or a number with a unit such as 16GiB"
        )
    whole, _, decimals = match.group(1).partition(".")
    size: int = int(whole + decimals) * _UNITS[unit] // 10 ** len(decimals)
    return size


def count(number: int, noun: str) -> str:
    """Say how many: `1 device`, `2 devices`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
