"""Choices that several strategies make."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import combinations
from math import factorial
from typing import TypeVar

from hypothesis import strategies as st

_Item = TypeVar("_Item")


@cache
def subsets(names: tuple[str, ...], *, most: int | None = None) -> st.SearchStrategy[tuple[str, ...]]:
    """Some of the names, in their order: each of all ways is drawn as often, and one name is the simplest.

    A list of unique elements would mostly be empty or full.
    """
    counts = [count for count in (1, 0, *range(2, len(names) + 1)) if most is None or count <= most]
    return st.sampled_from([some for count in counts for some in combinations(names, count)])


@cache
def orders(count: int) -> st.SearchStrategy[int]:
    """A number for `nth_order`: 0, the order in which things are, is the simplest."""
    return st.integers(0, factorial(count) - 1)


def nth_order(items: Sequence[_Item], nth: int) -> list[_Item]:
    """The nth of all orders of some items."""
    left, result = list(items), []
    for size in range(len(items), 0, -1):
        nth, place = divmod(nth, size)
        result.append(left.pop(place))
    return result
