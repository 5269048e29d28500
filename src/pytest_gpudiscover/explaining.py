"""Sentences about a whole report, for people who wonder where their GPU is.

Pure: a report in, text out.
"""

from __future__ import annotations

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.reports import Phase, Rejection, Report
from pytest_gpudiscover.text import count, gibibytes, printable

_DULL = (Phase.OVERLAP, Phase.DUPLICATE)
"""Rejections of these phases cost nobody a GPU: another device serves it."""


def failures(report: Report) -> list[Rejection]:
    """The rejections that cost a GPU: all but those whose GPU is served another way."""
    return [rejection for rejection in report.rejected if rejection.phase not in _DULL]


def named(rejection: Rejection) -> str:
    """Say in a few words what a rejection is about."""
    device, variant = rejection.device, printable(rejection.variant, 60) or "the runner"
    if device is None:
        return variant
    name = printable(device.description or device.name or "a device without a name", 60)
    return f"{name} ({printable(device.library) or variant} {printable(device.id, 60)} in {variant})"


def why_none(report: Report) -> str:
    """Say why no device is usable: what was tried, and what became of it."""
    lost = failures(report)
    masks = ", ".join(f"{name}={printable(value)}" for name, value in report.masks.items())
    lines = [f"masks are set: {masks}"] if masks else []
    lines += [f"{named(rejection)}: {rejection.detail}" for rejection in lost]
    if not lost:
        lines.append(f"{count(len(report.probes), 'runner')} started, and none listed a device")
    return "no usable GPU was found: " + "; ".join(lines)


def in_one_line(devices: tuple[DeviceInfo, ...]) -> str:
    """Name the devices: `2 devices: CUDA NVIDIA L4 (24.0 GiB), ...`."""
    names = [f"{_name(device)} ({gibibytes(device.total_memory)})" for device in devices]
    return f"{count(len(devices), 'device')}: {', '.join(names)}"


def _name(device: DeviceInfo) -> str:
    return f"{printable(device.library)} {printable(device.description or device.name, 60)}"
