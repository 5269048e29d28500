"""Renumbering: numeric ids become positions among the survivors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from pytest_gpudiscover.devices import DeviceInfo, is_number


def renumbered(devices: Iterable[DeviceInfo]) -> list[DeviceInfo]:
    """Give every numbered device its position among its library's devices, in order.

    `filtered_id` then holds the token that a mask must use: the one it held already (the runner's number,
    translated through the user's mask), or else the runner's number. Ids that are no numbers stay, have no
    `filtered_id`, and still take up a position.
    """
    positions: Counter[str] = Counter()
    result = []
    for device in devices:
        result.append(_at(positions[device.library], device))
        positions[device.library] += 1
    return result


def _at(position: int, device: DeviceInfo) -> DeviceInfo:
    if not is_number(device.id):
        return replace(device, filtered_id="") if device.filtered_id else device
    return replace(device, id=str(position), filtered_id=device.filtered_id or device.id)
