"""What a bootstrap found, as text: one process discovers, and hands it to the others.

The text is JSON with every field. Reading it builds the values below and nothing else: no name in it is ever
looked up, no code in it is ever run. Pure: no I/O here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from math import isfinite
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.reports import Report
from pytest_gpudiscover.text import printable

ARCHIVE = "pytest-gpudiscover snapshot"
"""What the text says that it is."""
SCHEMA = 1
"""The version of the text; it grows with every change of a field, since no version reads another's."""


_NAMES = {str: "a text", int: "a whole number", bool: "true or false", list: "a list", dict: "an object"}


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What a bootstrap found, for `Discovery.resume`.

    Attributes:
        report: the bootstrap's; its `masks` are those of the user that it was found under.
        listed: every device that any variant listed, survivors and rejected ones, before renumbering.
    """

    report: Report
    listed: tuple[DeviceInfo, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Archive:
    archive: str
    schema: int
    snapshot: Snapshot


def dumps(snapshot: Snapshot) -> str:
    """Write a snapshot as one line of ASCII.

    Raises:
        ValueError: a time is no finite number.
    """
    return json.dumps(_plain(_Archive(archive=ARCHIVE, schema=SCHEMA, snapshot=snapshot)), allow_nan=False)


def loads(text: str) -> Snapshot:
    """Read what `dumps` of this version wrote: `loads(dumps(snapshot)) == snapshot`.

    Raises:
        ValueError: it is anything else.
    """
    try:
        plain = json.loads(text)
        _check_version(plain)
        archive: _Archive = _built(_Archive, plain, "archive")
    except RecursionError:
        raise ValueError("no snapshot of a discovery: it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"no snapshot of a discovery: {error}") from error
    return archive.snapshot


def _check_version(plain: Any) -> None:
    given = [plain.get(name) for name in ("archive", "schema")] if isinstance(plain, dict) else [None, None]
    if given != [ARCHIVE, SCHEMA] or type(given[1]) is not int:
        kind, schema = map(_shown, given)
        raise ValueError(f"expected {ARCHIVE!r} of schema {SCHEMA}, got {kind} of schema {schema}")


def _plain(value: Any) -> Any:
    """What JSON has for a value of ours; our words are texts to it."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    return [_plain(held) for held in value] if isinstance(value, tuple) else value


def _built(kind: Any, plain: Any, where: str) -> Any:
    """Build the value of a declared type.

    Args:
        kind: the type: one of our dataclasses or enumerations, or what their fields are declared as.
        plain: what JSON had.
        where: its place in the text, for the error.

    Raises:
        ValueError: it is no such value.
    """
    if is_dataclass(kind):
        return _record(kind, plain, where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _word(kind, plain, where)
    if get_origin(kind) is tuple:
        held = get_args(kind)[0]
        return tuple(_built(held, each, f"{where}[{n}]") for n, each in enumerate(_a(list, plain, where)))
    if get_origin(kind) is Mapping:
        texts = _a(dict, plain, where)
        return {name: _a(str, text, f"{where}.{printable(name, 60)}") for name, text in texts.items()}
    if get_origin(kind) is UnionType:
        (other,) = (each for each in get_args(kind) if each is not NoneType)
        return None if plain is None else _built(other, plain, where)
    return _number(plain, where) if kind is float else _a(kind, plain, where)


def _record(kind: Any, plain: Any, where: str) -> Any:
    declared, given = _declared(kind), _a(dict, plain, where)
    if declared.keys() != given.keys():
        odd = printable(", ".join(sorted(declared.keys() ^ given.keys())))
        raise ValueError(f"{where}: fields that are missing, or too many: {odd}")
    return kind(**{name: _built(of, given[name], f"{where}.{name}") for name, of in declared.items()})


@cache
def _declared(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _word(kind: type[Enum], plain: Any, where: str) -> Enum:
    try:
        return kind(_a(str, plain, where))
    except ValueError:
        choice = ", ".join(str(word.value) for word in kind)
        raise ValueError(f"{where}: expected one of {choice}, got {_shown(plain)}") from None


def _number(plain: Any, where: str) -> float:
    # JSON has whole numbers of any length; a time that was given as 0 is written as one.
    number = float(plain) if type(plain) is int and abs(plain) < 1 << 53 else plain
    if type(number) is not float or not isfinite(number):
        raise ValueError(f"{where}: expected a finite number, got {_shown(plain)}")
    return number


def _a(kind: type[Any], plain: Any, where: str) -> Any:
    if type(plain) is not kind:  # to isinstance True is an int
        raise ValueError(f"{where}: expected {_NAMES[kind]}, got {_shown(plain)}")
    return plain


def _shown(plain: Any) -> str:
    return printable(repr(plain), 80)
