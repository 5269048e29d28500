"""Overlap: each device of a library is served by exactly one variant of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Literal, get_args

from pytest_gpudiscover.text import printable
from pytest_gpudiscover.variants import newest_first

Policy = Literal["newest_covering", "ollama"]
POLICIES: tuple[Policy, ...] = get_args(Policy)

_Indexes = Mapping[str, Mapping[str, int]]
"""By variant, by device id: the device's index in the list the result refers to."""


def overlapping(supported: Mapping[str, _Indexes], policy: Policy = "newest_covering") -> frozenset[int]:
    """Decide which (device, variant) pairs go, so that each device is served once.

    Args:
        supported: by library, by variant, by device id: an index that names the pair.
        policy: `newest_covering`, or `ollama` for the reference's choice, mistakes included.

    Returns:
        The indexes of the pairs to leave out.

    Raises:
        ValueError: there is no policy of that name.
    """
    if policy == "newest_covering":
        return frozenset(index for indexes in supported.values() for index in _left_over(indexes))
    if policy == "ollama":
        return frozenset(index for indexes in supported.values() for index in _dropped_by_ollama(indexes))
    raise ValueError(f"no overlap policy {printable(str(policy))!r}: expected one of {', '.join(POLICIES)}")


def assignment(supported: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Give each device id of one library the variant that serves it.

    The variant that serves the most devices not yet served takes them, the newest of several; then again,
    until every device has one. So the newest variant that covers all devices takes them all.
    """
    order = newest_first(supported)
    left = {device_id for ids in supported.values() for device_id in ids}
    served: dict[str, str] = {}
    while left:
        # max() keeps the first of several equals, which is the newest.
        variant = max(order, key=lambda name: len(left.intersection(supported[name])))
        taken = left.intersection(supported[variant])
        served.update(dict.fromkeys(taken, variant))
        left -= taken
    return served


def _left_over(indexes: _Indexes) -> Iterator[int]:
    served = assignment(indexes)
    for variant, by_id in indexes.items():
        yield from (index for device_id, index in by_id.items() if served[device_id] != variant)


def _dropped_by_ollama(indexes: _Indexes) -> Iterator[int]:
    """Ollama's choice, bit for bit: kept for those who must predict what Ollama itself would do.

    Two things make it differ: versions are compared as text, and `mismatch` is never reset, so that after any
    mismatch the last variant tried, the lowest name, is preferred whatever it covers.
    """
    order = sorted(indexes, reverse=True)
    preferred, mismatch = "", False
    for preferred in order:
        mismatch = mismatch or any(indexes[preferred].keys() != indexes[other].keys() for other in order)
        if not mismatch:
            break
    for variant in order:
        if variant != preferred:
            yield from (
                index for device_id, index in indexes[variant].items() if device_id in indexes[preferred]
            )
