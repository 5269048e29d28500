"""Choices that several strategies make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations
from typing import Any, TypeVar

from hypothesis import strategies as st

_Item = TypeVar("_Item")


@cache
def subsets(
    names: tuple[str, ...], *, most: int | None = None, simplest: int = 0
) -> st.SearchStrategy[tuple[str, ...]]:
    """Some of the names, in their order: so many of them are the simplest, and all ways are drawn as often.

    A list of unique elements would mostly be empty or full.
    """
    counts = sorted(range(len(names) + 1), key=lambda count: (count != simplest, count))
    counts = [count for count in counts if most is None or count <= most]
    return st.sampled_from([some for count in counts for some in combinations(names, count)])


def mostly(
    usual: st.SearchStrategy[_Item], other: st.SearchStrategy[_Item], times: int = 6
) -> st.SearchStrategy[_Item]:
    """The usual one, so many times as often as the other. `one_of` takes each of its strategies once."""
    which = st.sampled_from((True,) * times + (False,))
    return which.flatmap(lambda is_usual: usual if is_usual else other)


@st.composite
def built(draw: st.DrawFn, build: Callable[..., _Item], *parts: st.SearchStrategy[Any]) -> _Item:
    """As `st.builds`, but a failure shows the value itself, where that would show a call of ours."""
    return build(*map(draw, parts))


ORDERS = st.integers(0, 23)
"""For `nth_order`: all orders of four things; 0, the order in which they are, is the simplest."""


def nth_order(items: Sequence[_Item], nth: int) -> list[_Item]:
    """The nth of all orders of some items; where there are fewer, they are counted around."""
    left, result = list(items), []
    for size in range(len(items), 0, -1):
        nth, place = divmod(nth, size)
        result.append(left.pop(place))
    return result
