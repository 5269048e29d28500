"""Duplicates: each physical GPU survives once."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_gpudiscover.devices import Comparison, DeviceInfo
from pytest_gpudiscover.reports import Phase, Reason, Rejection
from pytest_gpudiscover.text import printable

PREFERRED_LIBRARIES = ("CUDA", "ROCm")
"""A GPU that one of these serves is not served through another library."""


def without_duplicates(devices: Iterable[DeviceInfo]) -> tuple[list[DeviceInfo], list[Rejection]]:
    """Keep one of the devices that are one GPU (`DeviceInfo.compare`).

    Within a library the first stays. Between libraries CUDA and ROCm win over the rest, of those two the
    earlier; between two others the later stays. A winner that comes later takes the loser's place.

    Returns:
        the kept devices, and a rejection for each of the others that names the winner.
    """
    kept: list[DeviceInfo] = []
    rejected: list[Rejection] = []
    for device in devices:
        rivals = [other for other in kept if other.compare(device) is not Comparison.UNIQUE]
        winner = next((rival for rival in rivals if _stays(rival, device)), device)
        if winner is not device:
            rejected.append(_duplicate(device, winner))
        elif rivals:
            # The slices of one card are several rivals: all of them go, and the winner takes the first place.
            rejected.extend(_duplicate(rival, device) for rival in rivals)
            kept = [device if other is rivals[0] else other for other in kept if other not in rivals[1:]]
        else:
            kept.append(device)
    return kept, rejected


def _stays(earlier: DeviceInfo, later: DeviceInfo) -> bool:
    return earlier.library == later.library or earlier.library in PREFERRED_LIBRARIES


def _duplicate(loser: DeviceInfo, winner: DeviceInfo) -> Rejection:
    detail = f"the same GPU is served through {printable(winner.library, 60)}"
    return Rejection.of(loser, Phase.DUPLICATE, Reason.DUPLICATE, detail)


def without_repeats(entries: Iterable[DeviceInfo | Rejection]) -> list[DeviceInfo | Rejection]:
    """Refuse the second device of one answer that has the library and the id of an earlier one.

    Nothing tells the two apart.
    """
    seen = set()
    result: list[DeviceInfo | Rejection] = []
    for entry in entries:
        if isinstance(entry, DeviceInfo) and entry.device_id in seen:
            detail = f"the runner lists {_named(entry)} twice, so that nothing tells the two apart"
            result.append(Rejection.of(entry, Phase.ENUMERATE, Reason.DUPLICATE, detail))
            continue
        if isinstance(entry, DeviceInfo):
            seen.add(entry.device_id)
        result.append(entry)
    return result


def _named(device: DeviceInfo) -> str:
    return printable(f"{device.library} {device.id}", 60)
