"""Which model goes to which GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_gpudiscover import DeviceInfo

RESERVE = 512 * 1024**2
"""Bytes that stay free on every GPU: a context takes about 300 MB before a model has loaded anything."""


class DoesNotFitError(Exception):
    """A model has no place on this machine."""


def room(device: DeviceInfo) -> int:
    """Bytes of a GPU that models may fill."""
    return max(device.free_memory - RESERVE, 0)


def placed(models: Mapping[str, int], devices: Sequence[DeviceInfo]) -> dict[str, DeviceInfo]:
    """Give each model a GPU, the largest first, each where the least room is left beside it.

    Args:
        models: bytes that each of them needs.
        devices: the GPUs that can be used.

    Raises:
        DoesNotFitError: a model finds no GPU with room for it.
    """
    left = {device: room(device) for device in devices}
    places = {}
    for model in sorted(models, key=lambda name: (-models[name], name)):
        fitting = [device for device in devices if left[device] >= models[model]]
        if not fitting:
            raise DoesNotFitError(
                f"{model} needs {models[model]} bytes; the GPUs have {[*left.values()]} left"
            )
        places[model] = min(fitting, key=lambda device: left[device])
        left[places[model]] -= models[model]
    return places
