"""What a test asks for: the arguments of its marker, read.

Pure: a mark in, data or an error out.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeGuard

from pytest_gpudiscover.errors import RequirementError
from pytest_gpudiscover.requirements import Compute, Requirement
from pytest_gpudiscover.text import parse_size, printable

if TYPE_CHECKING:
    import pytest

_LEAST_MEMORY = 1 << 20
"""Bytes. Who writes `min_memory=16` means no bytes, and must not get every GPU there is."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a test asks for.

    Attributes:
        requirement: how many devices of what kind.
        exclusive: whether the test needs them for itself, whatever else it says.
    """

    requirement: Requirement = field(default_factory=Requirement)
    exclusive: bool = False

    @property
    def share(self) -> bool:
        """Whether a lease holds `min_memory` bytes of each device, and not the whole of it."""
        return self.requirement.min_memory is not None and not self.exclusive

    @classmethod
    def by(cls, mark: pytest.Mark) -> Asked:
        """Read the arguments of a marker.

        Raises:
            RequirementError: they make no sense.
        """
        try:
            bound = inspect.signature(_asked).bind(*mark.args, **mark.kwargs)
        except TypeError as error:
            raise RequirementError(str(error)) from error
        return _asked(*bound.args, **bound.kwargs)


def _asked(
    count: object = 1,
    library: object = None,
    min_memory: object = None,
    min_compute: object = None,
    exclusive: object = False,
) -> Asked:
    if not isinstance(exclusive, bool):
        raise _senseless("exclusive", "True or False", exclusive)
    requirement = Requirement(
        count=_count(count),
        library=_library(library),
        min_memory=None if min_memory is None else _memory(min_memory),
        min_compute=None if min_compute is None else _compute(min_compute),
    )
    return Asked(requirement=requirement, exclusive=exclusive)


def _count(count: object) -> int:
    if not _is_whole(count) or count < 1:
        raise _senseless("count", "a whole number above 0", count)
    return count


def _library(library: object) -> str | None:
    if library is None or (isinstance(library, str) and library.strip()):
        return library
    raise _senseless("library", "a name such as 'CUDA', or None for any", library)


def _memory(memory: object) -> int:
    if not isinstance(memory, str) and not _is_whole(memory):
        raise _senseless("min_memory", "bytes as a whole number, or text such as '16GiB'", memory)
    try:
        size = parse_size(memory) if isinstance(memory, str) else memory
    except RequirementError as error:
        raise RequirementError(f"min_memory: {error}") from error
    if size < _LEAST_MEMORY:
        raise _senseless("min_memory", "1 MiB or more, as bytes or as text such as '16GiB'", memory)
    return size


def _compute(compute: object) -> Compute:
    try:
        return Compute.parse(_dotted(compute))
    except RequirementError as error:
        raise _senseless("min_compute", "'8.9', 8.9, (8, 9), or 'gfx90a' for ROCm", compute) from error


def _dotted(compute: object) -> str:
    match compute:
        case str():
            return compute
        case int() | float() if not isinstance(compute, bool) and compute == round(compute, 1):
            return str(compute)  # of two decimals the second is lost where it is 0: 8.10 is 8.1
        case (major, minor) if _is_whole(major) and _is_whole(minor):
            return f"{major}.{minor}"
        case _:
            return ""


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _senseless(name: str, expected: str, found: object) -> RequirementError:
    return RequirementError(f"{name}: expected {expected}, got {printable(repr(found), 60)}")
