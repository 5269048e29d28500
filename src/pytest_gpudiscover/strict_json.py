"""Reading JSON that somebody else wrote: strict about types and ranges, and nothing is lost of it.

Whatever cannot be taken is a `RefusedError`, and its text is a sentence. Pure: no I/O here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pytest_gpudiscover.text import printable

Reader = Callable[[object], Any]
"""Turns a JSON value into ours; raises RefusedError for one that it does not take."""

_MAX_DIGITS = 20  # of 2^64; longer ones are not even converted
_MAX_PROBLEMS = 5  # named in one refusal: a runner must not fill a terminal
_SMALL_INTEGERS = range(-(2**31), 2**31)
_SIZES = range(2**64)


class RefusedError(Exception):
    """Why a value, or a whole body, is not taken; its text is a sentence."""


class Object:
    """A JSON object with its pairs as they came: repeated keys must not disappear."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


class HugeInteger:
    """An integer too long to convert; whoever wanted a number refuses it."""


def _integer(text: str) -> int | HugeInteger:
    return int(text) if len(text.lstrip("-")) <= _MAX_DIGITS else HugeInteger()


def _real(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise RefusedError(f"the answer holds a number that is too large: {printable(text, 40)}")
    return number


def _constant(text: str) -> float:
    raise RefusedError(f"the answer is not JSON: it holds {text}")


_DECODER = json.JSONDecoder(
    object_pairs_hook=Object, parse_int=_integer, parse_float=_real, parse_constant=_constant
)


def decoded(body: bytes) -> Any:
    """Read a whole body; objects come as `Object`, integers too long to convert as `HugeInteger`.

    Raises:
        RefusedError: it is not UTF-8, or not JSON, or nests too deep, or holds a number that overflows.
    """
    try:
        return _DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RefusedError(f"the answer is not UTF-8: byte {error.start} cannot be read") from error
    except RecursionError as error:
        raise RefusedError("the answer nests deeper than any list of devices") from error
    except ValueError as error:
        raise RefusedError(f"the answer is not JSON: {printable(str(error))}") from error


def kind(value: object) -> str:
    """Name a JSON value for a sentence; what it holds is not repeated."""
    kinds: dict[type, str] = {
        bool: "a boolean",
        dict: "an object",
        Object: "an object",
        float: "a fraction",
        int: "an integer",
        list: "a list",
        HugeInteger: "an integer of more than 20 digits",
        str: "a string",
        type(None): "null",
    }
    return kinds[type(value)]


def read_text(value: object) -> str:
    """A string that can be written out again."""
    if not isinstance(value, str):
        raise RefusedError(f"a string was expected, got {kind(value)}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RefusedError("a string holds half a surrogate pair") from error
    return value


def read_flag(value: object) -> bool:
    """True or false, and no number that stands for it."""
    if not isinstance(value, bool):
        raise RefusedError(f"true or false was expected, got {kind(value)}")
    return value


def read_integer(value: object, allowed: range) -> int:
    """An integer in a range; `1.0` is none, nor is `true`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise RefusedError(f"an integer was expected, got {kind(value)}")
    if value not in allowed:
        raise RefusedError(f"{value} is out of range: {allowed.start} to {allowed.stop - 1} was expected")
    return value


def read_size(value: object) -> int:
    """Bytes: 0 to 2^64-1."""
    return read_integer(value, _SIZES)


def read_small_integer(value: object) -> int:
    """An integer of 32 bits, signed."""
    return read_integer(value, _SMALL_INTEGERS)


def read_texts(value: object) -> tuple[str, ...]:
    """A list of strings."""
    if not isinstance(value, list):
        raise RefusedError(f"a list of strings was expected, got {kind(value)}")
    return tuple(read_text(item) for item in value)


def in_one_sentence(problems: list[str]) -> str:
    """What is wrong with an object, the first few things by name."""
    more = [f"and {len(problems) - _MAX_PROBLEMS} more"] if len(problems) > _MAX_PROBLEMS else []
    return "; ".join(problems[:_MAX_PROBLEMS] + more)


def read_fields(entry: Object, known: Mapping[str, tuple[str, Reader]]) -> tuple[dict[str, Any], list[str]]:
    """Read what can be read, and say of the rest why not, so that a refused device can still be named.

    Args:
        entry: the object.
        known: by key in lower case, what the value is called, and how it is read. Other keys are ignored.

    Returns:
        the values by those names, and the problems, each a sentence.
    """
    fields: dict[str, Any] = {}
    problems = [f"{printable(key, 40)}: given twice" for key in repeated_keys(entry)]
    for key, value in entry.pairs:
        attribute, read = known.get(key.lower(), (None, read_text))
        if attribute is None:
            continue
        try:
            fields[attribute] = read(value)
        except RefusedError as refusal:
            problems.append(f"{key}: {refusal}")
    return fields, problems


def repeated_keys(entry: Object) -> Iterator[str]:
    """The keys that an object has already given, compared without case."""
    seen: set[str] = set()
    for key, _ in entry.pairs:
        name = key.lower()
        if name in seen:
            yield key
        seen.add(name)
