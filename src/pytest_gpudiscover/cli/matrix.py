"""The devices of a machine as a CI matrix: one entry for each kind of device. Pure: no terminal here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.errors import RequirementError
from pytest_gpudiscover.requirements import Requirement
from pytest_gpudiscover.text import GIB

NOTHING = "no usable GPU was found, and the matrix is empty: gpudiscover list says why"

_Kind = tuple[object, ...]


def entries(devices: Iterable[DeviceInfo]) -> list[dict[str, Any]]:
    """Sort devices into kinds, in the order of their first devices.

    Returns:
        for each kind: `library`, `name`, `count`, `memory_gib` (of the smallest, one decimal, rounded down),
        `compute`, `variant`, `driver`, `require` (what the machine meets and `Requirement.parse` reads), and
        `ids`.
    """
    kinds: dict[_Kind, list[DeviceInfo]] = {}
    for device in devices:
        kinds.setdefault(_kind(device), []).append(device)
    return [_entry(same) for same in kinds.values()]


def _kind(device: DeviceInfo) -> _Kind:
    # Cards of one product differ by some MiB; products that share a name differ by GiB.
    gibibytes = round(device.total_memory / GIB)
    return (device.library, _name(device), gibibytes, device.compute, device.variant, device.driver)


def _entry(same: Sequence[DeviceInfo]) -> dict[str, Any]:
    first = same[0]
    tenths = min(device.total_memory for device in same) * 10 // GIB
    return {
        "library": first.library,
        "name": _name(first),
        "count": len(same),
        "memory_gib": tenths / 10,
        "compute": first.compute,
        "variant": first.variant,
        "driver": first.driver,
        "require": _require(same, tenths * GIB // 10),
        "ids": [device.id for device in same],
    }


def _name(device: DeviceInfo) -> str:
    return device.description or device.name


def _require(same: Sequence[DeviceInfo], memory: int) -> str:
    wanted = Requirement(count=len(same), library=same[0].library or None, min_memory=memory or None)
    # A runner may call a library anything, also what nobody can write in a requirement.
    return wanted.written if _is_met(wanted.written, same) else replace(wanted, library=None).written


def _is_met(written: str, devices: Sequence[DeviceInfo]) -> bool:
    try:
        return not Requirement.parse(written).unmet(devices)
    except RequirementError:
        return False
