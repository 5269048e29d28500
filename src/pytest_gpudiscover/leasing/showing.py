"""What makes a program see just the devices of a lease, and what frameworks call them then.

Pure: no I/O here. docs/masks.md names the sources for what drivers do with masks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.masks import (
    CUDA,
    HIP,
    ROCR,
    UserMasks,
    mask_token,
    mask_variable,
    nothing_of,
)

_FRAMEWORK = {"CUDA": "cuda", "ROCm": "cuda", "Vulkan": "vulkan", "Level Zero": "xpu"}
"""By library, what PyTorch calls its devices; its builds for ROCm say `cuda` as well."""


def lease_env(
    devices: Sequence[DeviceInfo], everything: Iterable[DeviceInfo], masks: UserMasks
) -> dict[str, str]:
    """The masks that show a program just these devices, in order.

    They only set variables, so that they can be laid over any environment. Libraries without a mask show what
    they have.

    Args:
        devices: what to show.
        everything: what the machine has: libraries of which nothing is to be shown are hidden.
        masks: the user's own, which these replace.
    """
    env = _shown(devices, masks.system)
    for library in sorted({device.library for device in everything}):
        variable = mask_variable(library, masks.system)
        # HIP falls back to CUDA's mask: in a lease of a ROCm device that one is left as it is.
        if variable is not None and variable not in env and not (variable == CUDA and HIP in env):
            env[variable] = nothing_of(variable, masks.system)
    return env


def _shown(devices: Sequence[DeviceInfo], system: str) -> dict[str, str]:
    tokens: dict[str, list[str]] = {}
    for device in devices:
        variable = mask_variable(device.library, system)
        if variable is not None:
            tokens.setdefault(variable, []).append(mask_token(device))
    if ROCR in tokens:
        # All that ROCr shows: neither the user's own HIP mask nor CUDA's, which HIP falls back to, hides any.
        tokens[HIP] = [str(position) for position in range(len(tokens[ROCR]))]
    return {variable: ",".join(entries) for variable, entries in tokens.items()}


def torch_names(devices: Sequence[DeviceInfo], everything: Iterable[DeviceInfo] = ()) -> tuple[str, ...]:
    """What PyTorch calls these devices behind the masks of `lease_env`: `cuda:0`, `mps`, `xpu:1`.

    Args:
        devices: what is shown.
        everything: what the machine has: a library without a mask counts all its devices.
    """
    behind_masks = _positions(devices)
    unmasked = _positions(everything)
    names = []
    for device in devices:
        masked = mask_variable(device.library, "linux") is not None
        position = behind_masks[device] if masked else unmasked.get(device, behind_masks[device])
        names.append(_torch_name(device.library, position))
    return tuple(names)


def _torch_name(library: str, position: int) -> str:
    # PyTorch knows one Metal device, and gives it no number.
    return "mps" if library == "Metal" else f"{_FRAMEWORK.get(library, library.lower())}:{position}"


def _positions(devices: Iterable[DeviceInfo]) -> dict[DeviceInfo, int]:
    counted: Counter[str] = Counter()
    positions: dict[DeviceInfo, int] = {}
    for device in devices:
        positions[device] = counted[device.library]
        counted[device.library] += 1
    return positions
