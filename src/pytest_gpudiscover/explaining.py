"""Sentences about a whole report, for people who wonder where their GPU is.

Pure: a report in, text out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_gpudiscover.blaming import masks_in_words
from pytest_gpudiscover.devices import Comparison, DeviceInfo
from pytest_gpudiscover.reports import Phase, Rejection, Report
from pytest_gpudiscover.requirements import Requirement, unserved
from pytest_gpudiscover.text import count, gibibytes, printable

_DULL = (Phase.OVERLAP, Phase.DUPLICATE)
"""Rejections of these phases cost nobody a GPU: another device serves it."""


def failures(report: Report) -> list[Rejection]:
    """The rejections that cost a GPU: all but those whose GPU is served another way."""
    return [rejection for rejection in report.rejected if rejection.phase not in _DULL]


def named(rejection: Rejection, *others: Rejection) -> str:
    """Say in a few words what a rejection is about, or several of one device in one variant each."""
    variants = [printable(each.variant, 60) or "the runner" for each in (rejection, *others)]
    device, variant = rejection.device, " and ".join(dict.fromkeys(variants))
    if device is None:
        return variant
    name = printable(device.description or device.name or "a device without a name", 60)
    return f"{name} ({printable(device.library) or variant} {printable(device.id, 60)} in {variant})"


def why_none(report: Report) -> str:
    """Say why no device is usable: the masks that are set, what was tried, and what became of it."""
    return "no usable GPU was found: " + "; ".join([*masks_in_words(None, report), *_left_out(report)])


def why_not(requirement: Requirement, report: Report) -> str:
    """Say why a requirement is not met; "" when it is.

    On one line: what was asked, the masks that matter to it, what each usable device lacks, and why each
    other one was left out.
    """
    return why_not_all([requirement], report)


def why_not_all(requirements: Iterable[Requirement], report: Report) -> str:
    """Say why several requirements, each with devices of its own, are not met together; "" when they are."""
    return "; ".join(reasons_against(requirements, report))


def reasons_against(requirements: Iterable[Requirement], report: Report) -> list[str]:
    """What `why_not_all` says, one by one; empty when the requirements are met together."""
    asked = list(requirements)
    lacking = unserved(asked, report.devices)
    reasons = [reason for requirement in lacking for reason in _against(requirement, asked, report)]
    return list(dict.fromkeys([*reasons, *_left_out(report)])) if lacking else []


def unmet(requirement: Requirement, report: Report) -> list[str]:
    """Say why the usable devices do not do, without what was left out; empty when they do."""
    return _against(requirement, [requirement], report) if unserved([requirement], report.devices) else []


def _against(requirement: Requirement, asked: Sequence[Requirement], report: Report) -> list[str]:
    needed, *lacking = requirement.unmet(report.devices) or [_beside(requirement, asked, report)]
    return [needed, *masks_in_words(requirement.library, report), *lacking]


def _beside(requirement: Requirement, asked: Sequence[Requirement], report: Report) -> str:
    others = ", ".join(str(other) for other in asked if other is not requirement)
    fitting, all_of_them = requirement.selected(report.devices), count(len(report.devices), "device")
    return (
        f"needed: {requirement}, with other devices for {others}; "
        f"usable: {len(fitting)} of {all_of_them}, too few for all"
    )


def _left_out(report: Report) -> list[str]:
    """Say of each device that nobody serves why; those with one reason are named together."""
    lost: dict[str, dict[object, list[Rejection]]] = {}
    for each in failures(report):
        if not _is_served(each, report):
            identity = (each.library, each.id, each.description)
            lost.setdefault(each.detail, {}).setdefault(identity, []).append(each)
    if not lost and not report.devices:
        return [f"{count(len(report.probes), 'runner')} started, and none listed a device"]
    return [
        f"{', '.join(named(*rejections) for rejections in devices.values())}: {detail}"
        for detail, devices in lost.items()
    ]


def _is_served(rejection: Rejection, report: Report) -> bool:
    """Whether another variant of the same library serves what was left out."""
    device = rejection.device
    if device is None or rejection.phase is Phase.REFRESH:
        return False
    return any(kept.compare(device) is Comparison.SAME_BACKEND for kept in report.devices)


def in_one_line(devices: tuple[DeviceInfo, ...]) -> str:
    """Name the devices: `2 devices: CUDA NVIDIA L4 (24.0 GiB), ...`."""
    names = [f"{_name(device)} ({gibibytes(device.total_memory)})" for device in devices]
    return f"{count(len(devices), 'device')}: {', '.join(names)}"


def _name(device: DeviceInfo) -> str:
    return f"{printable(device.library)} {printable(device.description or device.name, 60)}"
