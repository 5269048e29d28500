"""What a run may hold of what its discovery found, and what its leases have to hide.

Pure: no I/O here.
"""

from __future__ import annotations

from dataclasses import replace

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.masks import CUDA, HIP, LEVEL_ZERO, ROCR, VULKAN
from pytest_gpudiscover.reports import Phase, Reason, Rejection, Report
from pytest_gpudiscover.text import printable

_BLIND = "Vulkan"
"""Reads none of the masks of CUDA, ROCm and Level Zero, and lists their cards."""
_EMPTY = '""'
"""How a mask without anything in it is written, as in a shell."""


def within_reach(report: Report) -> Report:
    """Leave out the devices that may lie outside the masks that the run was given.

    A card that the mask of CUDA, ROCm or Level Zero hides is listed through Vulkan, and is no duplicate
    there. Where such a mask is set, and none for Vulkan, nobody can tell whether a Vulkan device is that
    card.

    Returns:
        the report, in which such devices are rejected.
    """
    given = [name for name in (CUDA, ROCR, HIP, LEVEL_ZERO) if name in report.masks]
    if not given or VULKAN in report.masks:
        return report
    masks = " and ".join(f"{name}={printable(report.masks[name]) or _EMPTY}" for name in given)
    detail = f"it may be a card that {masks} hides; {VULKAN} would say which devices this run may use"
    outside = [device for device in report.devices if device.library == _BLIND]
    return replace(
        report,
        devices=tuple(device for device in report.devices if device not in outside),
        rejected=(
            *report.rejected,
            *(Rejection.of(device, Phase.ENUMERATE, Reason.UNUSABLE, detail) for device in outside),
        ),
    )


def everything_listed(report: Report) -> tuple[DeviceInfo, ...]:
    """The usable devices, and those of libraries that serve none: a lease has to hide these as well."""
    serving = {device.library for device in report.devices}
    left_out = [rejection.device for rejection in report.rejected if rejection.device]
    return (*report.devices, *(device for device in left_out if device.library not in serving))
