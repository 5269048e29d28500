"""What is said around the tables, in sentences. Pure: no terminal here."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.recording import ANSWERED, Progress
from pytest_gpudiscover.reports import Phase, Reason, Report
from pytest_gpudiscover.requirements import Requirement
from pytest_gpudiscover.text import count, printable

_NAME_LIMIT = 160
_MASK_LIMIT = 300

_DOING = {Phase.ENUMERATE: "listing devices", Phase.VERIFY: "verifying devices", Phase.REFRESH: "refreshing"}


def progress(now: Progress) -> str:
    """Say what is going on while probes run."""
    doing = _DOING.get(now.phase, str(now.phase))
    variant = f" with {printable(now.variant, 30)}" if now.variant else ""
    return f"{doing}{variant}: {count(now.running, 'runner')} at work, {now.finished} done"


def summary(report: Report) -> str:
    """Say in one line what came of a discovery."""
    parts = [
        count(len(report.devices), "usable GPU"),
        f"{len(report.rejected)} rejected",
        f"{count(len(report.probes), 'runner')} started",
        f"{report.duration:.1f} s",
    ]
    return ", ".join(parts)


def masks(report: Report) -> str:
    """Name the masks that the user has set; "" when there are none."""
    if not report.masks:
        return ""
    shown = ", ".join(f"{name}={printable(value, _MASK_LIMIT)!r}" for name, value in report.masks.items())
    verb = "is" if len(report.masks) == 1 else "are"
    return f"{shown} {verb} set: devices hidden that way are not seen."


def nothing_found(report: Report) -> list[str]:
    """Say that no GPU was found, what was tried, and what to do next; empty when there is one."""
    if report.devices:
        return []
    if not (report.probes or report.rejected):
        return ["No GPU was looked for: every variant was left out. Leave out fewer (--without-variant)."]
    return ["No usable GPU was found on this machine.", *_tried(report), *_next_steps(report)]


def _tried(report: Report) -> Iterator[str]:
    asked = [probe for probe in report.probes if probe.phase is Phase.ENUMERATE]
    if asked:
        outcomes = (f"{_variant(probe.variant)} {_outcome(probe.outcome)}" for probe in asked)
        yield f"Asked: {', '.join(outcomes)}."
    names = {probe.variant for probe in asked}
    skipped = [
        _variant(rejection.variant)
        for rejection in report.rejected
        if rejection.device is None and rejection.variant not in names
    ]
    if skipped:
        yield f"Not asked: {', '.join(skipped)}."


def _variant(name: str) -> str:
    return printable(name, _NAME_LIMIT) or "the runner"


def _outcome(outcome: str) -> str:
    return "answered" if outcome == ANSWERED else f"failed ({outcome})"


def _next_steps(report: Report) -> Iterator[str]:
    if report.masks:
        yield f"Unset {' and '.join(report.masks)}, and try again: a mask can hide every device."
    if all(rejection.reason is Reason.DRIVER_MISSING for rejection in report.rejected) and not report.probes:
        yield "If there is a GPU, install its driver. gpudiscover --runner fake shows a simulated machine."
    elif report.rejected:
        yield "The reasons are below; gpudiscover -vv shows what the runners wrote."
    else:
        yield "If there is a GPU, see whether its driver finds it: nvidia-smi, rocminfo or vulkaninfo tell."


def met(requirement: Requirement, report: Report) -> list[str]:
    """Say that a requirement is met, and by which devices."""
    fitting = requirement.selected(report.devices)
    first = f"needed: {requirement}; usable: {len(fitting)} of {count(len(report.devices), 'device')}"
    return [first, *(_named(device) for device in fitting)]


def _named(device: DeviceInfo) -> str:
    identity = printable(f"{device.library} {device.id}", _NAME_LIMIT)
    return f"{identity} ({printable(device.description or device.name, 60)})"
