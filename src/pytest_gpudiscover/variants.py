"""Variants: the directories of GPU libraries a runner can be pointed at, and their order.

Pure: no I/O here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

_VERSION = re.compile(r"[0-9]+(?:[._-][0-9]+)*\Z", re.ASCII)
_NUMBER = re.compile(r"[0-9]+", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to start a runner.

    Attributes:
        name: the directory's name (`cuda_v13`); "" for a runner that has everything built in.
        directories: absolute paths, the ones that a probe's library search path names for this variant.
        environment: variables that choose this variant for a runner that is not pointed at directories.
    """

    name: str
    directories: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@lru_cache  # a discovery looks at the same few names again and again
def version(name: str) -> tuple[str, tuple[int, ...]]:
    """Split a variant's name into its family and its version.

    The version is the trailing run of integers: `cuda_v13_1` is (`cuda_v`, (13, 1)), `cuda_jetpack6` is
    (`cuda_jetpack`, (6,)). A name without one, such as `rocm`, has the version (), older than any other.
    """
    match = _VERSION.search(name)
    if match is None:
        return name, ()
    return name[: match.start()], tuple(int(number) for number in _NUMBER.findall(match.group()))


def in_order(names: Iterable[str]) -> list[str]:
    """Sort variants as a discovery asks them: by family name, the newest version of a family first."""
    return sorted(names, key=_place_in_order)


def newest_first(names: Iterable[str]) -> list[str]:
    """Sort the variants of one library by version alone, the newest first, whatever their family."""
    return sorted(names, key=_age)


@lru_cache
def _place_in_order(name: str) -> tuple[str, tuple[int, ...], str]:
    numbers, family, _ = _age(name)
    return family, numbers, name


@lru_cache
def _age(name: str) -> tuple[tuple[int, ...], str, str]:
    family, numbers = version(name)
    # `rocm` is the oldest of the family that `rocm_v7_2` belongs to, not a family of its own.
    family = family if numbers else f"{name}_v"
    # Negated numbers sort the newest first. The closing 1 is above every one of them, so that 13,1 comes
    # before 13, and no version at all comes last.
    return (*(-number for number in numbers), 1), family, name
