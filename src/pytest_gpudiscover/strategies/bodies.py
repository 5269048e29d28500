"""Strategies for the bytes of a runner's answer: as it should be, changed as JSON, and changed as bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.strategies.body import Body
from pytest_gpudiscover.strategies.checking import within
from pytest_gpudiscover.strategies.choices import built
from pytest_gpudiscover.strategies.values import devices

_KEYS = {
    "id": "id",
    "backend": "library",
    "name": "name",
    "description": "description",
    "integration": "integrated",
    "pci_id": "pci_id",
    "total_memory": "total_memory",
    "free_memory": "free_memory",
    "ComputeMajor": "compute_major",
    "ComputeMinor": "compute_minor",
    "driver_major": "driver_major",
    "driver_minor": "driver_minor",
    "LibraryPath": "library_path",
    "gfx_target": "gfx_target",
    "index": "index",
}
"""By the keys of the wire: the attributes of a device."""

_LEFT_OUT = {
    "backend": "",
    "integration": False,
    "pci_id": "",
    "free_memory": 0,
    "gfx_target": "",
    "index": None,
}
_LEFT_OUT |= {"driver_major": 0, "driver_minor": 0}
"""What a runner leaves out, and when."""


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as its pairs: a broken one may have a key twice."""


def body_of(listed: Iterable[DeviceInfo]) -> bytes:
    """An answer that lists some devices, as a runner writes it (docs/wire.md)."""
    return _printed([_entry(device) for device in listed]).encode()


def bodies(*, max_devices: int = 4) -> st.SearchStrategy[Body]:
    """Answers as they should be, in any of the ways in which JSON can say the same.

    Args:
        max_devices: the most devices that are listed.

    Raises:
        InvalidArgument: it is negative.
    """
    return built(_valid, _listed(within("max_devices", max_devices, 0)), _STYLES)


def mutated_bodies(*, max_devices: int = 4) -> st.SearchStrategy[Body]:
    """Answers that are JSON, in which something is wrong with some of the entries.

    Keys are taken out, given twice, or have another value; an entry is something else than an object.

    Args:
        max_devices: the most entries.

    Raises:
        InvalidArgument: it is not positive: there must be something to change.
    """
    within("max_devices", max_devices, 1)
    harm = st.lists(st.tuples(st.integers(0, max_devices - 1), _MUTATIONS), min_size=1, max_size=3)
    return built(_mutated, _listed(max_devices), harm)


def damaged_bodies(*, max_devices: int = 4) -> st.SearchStrategy[bytes]:
    """Answers in which any bytes have been changed. Nothing is known of what is left.

    Args:
        max_devices: the most devices that were listed before.

    Raises:
        InvalidArgument: it is not positive.
    """
    harm = st.lists(st.tuples(st.integers(0, 2**12), st.integers(0, 2**5), _BYTES), min_size=1, max_size=4)
    whole = bodies(max_devices=max_devices) | mutated_bodies(max_devices=max_devices)
    return built(_damaged, whole, harm)


def _listed(max_devices: int) -> st.SearchStrategy[list[DeviceInfo]]:
    # As a runner knows them: no discovery has done anything with them yet.
    reported = devices().map(lambda device: replace(device, variant="", filtered_id="", stale=False))
    return st.lists(reported, max_size=max_devices)


def _entry(device: DeviceInfo) -> _Pairs:
    values = [(key, getattr(device, attribute)) for key, attribute in _KEYS.items()]
    return _Pairs((key, value) for key, value in values if key not in _LEFT_OUT or value != _LEFT_OUT[key])


def _printed(value: Any, *, comma: str = ",", colon: str = ":", ascii_only: bool = True) -> str:
    """A value as JSON; keys that are given twice stay so."""

    def printed(value: Any) -> str:
        if isinstance(value, _Pairs):
            return "{" + comma.join(printed(key) + colon + printed(held) for key, held in value) + "}"
        if isinstance(value, list | tuple):
            return "[" + comma.join(map(printed, value)) + "]"
        return json.dumps(value, ensure_ascii=ascii_only)

    return printed(value)


# As it should be: the case of the keys, their order and what else is there, and blanks and escapes.

_Style = tuple[Callable[[str], str], Callable[[_Pairs], _Pairs], dict[str, Any]]
_CASES: Sequence[Callable[[str], str]] = (str, str.lower, str.upper, str.title)
_ORDERS: Sequence[Callable[[_Pairs], _Pairs]] = (
    _Pairs,
    lambda pairs: _Pairs(reversed(pairs)),
    lambda pairs: _Pairs([*pairs, ("unknown", _Pairs([("a", [1.5, None])])), ("", "")]),
)
_PRINTINGS: Sequence[dict[str, Any]] = ({}, {"comma": " ,\n", "colon": "\t: "}, {"ascii_only": False})
_STYLES: st.SearchStrategy[_Style] = st.tuples(
    st.sampled_from(_CASES), st.sampled_from(_ORDERS), st.sampled_from(_PRINTINGS)
)


def _valid(listed: Sequence[DeviceInfo], style: _Style) -> Body:
    case, order, printing = style
    entries = [order(_Pairs((case(key), value) for key, value in _entry(device))) for device in listed]
    return Body(_printed(entries, **printing).encode(), tuple(listed))


# Changed as JSON: what becomes of one entry.

_Mutation = Callable[[_Pairs], Any]
_ODD_TEXTS = ("", "0", "\x00", "\ud800", "\x1b[2J", "a,b", "x" * 200)
_NOT_FOR_USE = _Pairs([("reason", "cpu"), ("detail", "a CPU posing as a GPU")])
_ODD_VALUES = st.sampled_from(
    (None, True, -1, 0, 1.0, 2**64, 10**400, [], [None], _Pairs(), _NOT_FOR_USE, *_ODD_TEXTS)
)
_KEY = st.sampled_from((*_KEYS, "unusable", "filtered_id", "filter_id"))


def _with_value(key: str, value: Any) -> _Mutation:
    return lambda entry: _Pairs([pair for pair in entry if pair[0] != key] + [(key, value)])


def _without(key: str) -> _Mutation:
    return lambda entry: _Pairs(pair for pair in entry if pair[0] != key)


def _with_repeated(key: str, value: Any) -> _Mutation:
    return lambda entry: _Pairs([*entry, (key, value), (key.upper(), value)])


def _replaced(value: Any) -> _Mutation:
    return lambda _entry: value


_MUTATIONS: st.SearchStrategy[_Mutation] = st.one_of(
    st.builds(_with_value, _KEY, _ODD_VALUES),
    st.builds(_without, _KEY),
    st.builds(_with_repeated, _KEY, _ODD_VALUES),
    st.builds(_replaced, _ODD_VALUES),
)


def _mutated(listed: Sequence[DeviceInfo], harm: Sequence[tuple[int, _Mutation]]) -> Body:
    mutations = {n: mutation for n, mutation in harm if n < len(listed)}
    entries = [mutations.get(n, _Pairs)(_entry(device)) for n, device in enumerate(listed)]
    whole = tuple(device for n, device in enumerate(listed) if n not in mutations)
    return Body(_printed(entries).encode(), whole)


# Changed as bytes: at a place, so many of them make way for others.

_PIECES = (b"[", b"]", b"{", b'"', b",", b"\\u", b"\xff", b"e999", b"NaN")
_BYTES = st.binary(max_size=3) | st.sampled_from(_PIECES)


def _damaged(body: Body, harm: Iterable[tuple[int, int, bytes]]) -> bytes:
    content = body.content
    for place, length, other in harm:
        at = place % (len(content) + 1)
        content = content[:at] + other + content[at + length :]
    return content
