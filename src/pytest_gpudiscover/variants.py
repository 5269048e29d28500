"""Variants: the directories of GPU libraries a runner can be pointed at, and their order.

Pure: no I/O here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

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


def version(name: str) -> tuple[str, tuple[int, ...]]:
    """Split a variant's name into its family and its version.

    The version is the trailing run of integers: `cuda_v13_1` is (`cuda_v`, (13, 1)), `cuda_jetpack6` is
    (`cuda_jetpack`, (6,)). A name without one, such as `rocm`, has the version (), older than any other.
    """
    match = _VERSION.search(name)
    if match is None:
        return name, ()
    return name[: match.start()], tuple(int(number) for number in _NUMBER.findall(match.group()))


def newest_first(names: Iterable[str]) -> list[str]:
    """Sort variants by family name, the newest version of a family first."""
    return sorted(names, key=_order)


def _order(name: str) -> tuple[str, tuple[int, ...], str]:
    family, numbers = version(name)
    # Negated numbers sort the newest first; the closing 1 puts a version before its own beginnings
    # (13,1 before 13), because every negated number is below it. The name settles `v013` against `v13`.
    return family.rstrip("_v"), (*(-number for number in numbers), 1), name
