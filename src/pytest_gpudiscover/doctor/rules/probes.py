"""What the probes of a discovery said: usable devices, and rejections with what to do about each."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from pytest_gpudiscover.devices import Comparison
from pytest_gpudiscover.doctor.facts import Machine
from pytest_gpudiscover.doctor.findings import Finding, Name, Severity, Topic
from pytest_gpudiscover.reports import Reason, Rejection, Report
from pytest_gpudiscover.text import count, gibibytes, printable

_finding = partial(Finding, topic=Topic.PROBES)

_DETAIL_LIMIT = 600
_SEE_LOG = "see what the runner wrote: gpudiscover -vv"
_WHERE_TO_BEGIN = "begin with the first problem of this list; if this is the only one, see gpudiscover -vv"
_READ_DETAIL = "do what the runner says above"
_FAULT_OF_RUNNER = "a fault of the runner: update it, and see its answer with gpudiscover -vv"

STEPS = {
    Reason.UNREADABLE: "check the directory and its permissions",
    Reason.NOT_STARTED: "read why; raise the limits of processes and open files where they are low (ulimit)",
    Reason.PORT_TAKEN: "run it again; if it stays, look for a program that grabs every port: ss -ltnp",
    Reason.EXITED: _SEE_LOG,
    Reason.CRASHED: f"{_SEE_LOG}; update the driver, or leave the variant out with --without-variant",
    Reason.TIMEOUT: "run it again, with a longer --timeout; if it stays, the driver hangs: try its own tool",
    Reason.UNSUPPORTED: "update the runner",
    Reason.RUNNER_ERROR: _READ_DETAIL,
    Reason.BAD_ANSWER: _FAULT_OF_RUNNER,
    Reason.BAD_DEVICE: _FAULT_OF_RUNNER,
    Reason.UNUSABLE: _READ_DETAIL,
    Reason.NOT_LISTED: f"update the driver, or the library; {_SEE_LOG}",
    Reason.MASK_IGNORED: _FAULT_OF_RUNNER,
    Reason.VANISHED: "check the card and its driver: it was there a moment ago",
}
"""What to do about what failed; docs/reasons.md says more."""

QUIET = {
    Reason.DRIVER_MISSING: "",
    Reason.CPU: "",
    Reason.NO_MEMORY: "",
    Reason.APPEARED: "run it again",
}
"""Where nothing has failed, and what to do, if anything."""


_FAILED = frozenset(Reason)
"""The outcomes of probes that brought no answer."""

SERVED = frozenset({Reason.OVERLAP, Reason.DUPLICATE})
"""The same GPU, listed once more: nothing is wrong."""


def about_probes(machine: Machine, report: Report, *, simulated: bool) -> Iterator[Finding]:
    """What came of the discovery."""
    if simulated:
        yield _finding(
            name=Name.SIMULATED,
            severity=Severity.NOTE,
            came="what the probes say is of a simulated machine; everything above is of this one",
            next_step="leave out --runner fake to ask this machine's drivers",
        )
    yield _usable(report) if report.devices else _nothing_usable(machine, report, simulated=simulated)
    yield from _asked(report)
    for rejection in report.rejected:
        if rejection.reason not in SERVED:
            yield _rejected(machine, rejection, report, simulated=simulated)
    if served := [rejection for rejection in report.rejected if rejection.reason in SERVED]:
        came = f"listed once more, and served another way: {count(len(served), 'device')}"
        yield _finding(name=Name.SERVED_ANOTHER_WAY, severity=Severity.OK, came=came)


def about_refusal(refusal: str) -> Finding:
    """Why nothing could be asked."""
    return _finding(
        name=Name.NOT_ASKED,
        severity=Severity.PROBLEM,
        came=f"nothing was asked: {printable(refusal, _DETAIL_LIMIT)}",
        expected="a runner that can be started",
        next_step="name one that is there with --runner; without it this machine's drivers are asked",
    )


def _asked(report: Report) -> Iterator[Finding]:
    outcomes = dict.fromkeys(
        f"{printable(probe.variant, 60) or 'the runner'} ({probe.phase}): {probe.outcome}"
        for probe in report.probes
    )
    if outcomes:
        came = f"asked, in {count(len(report.probes), 'probe')}: {'; '.join(outcomes)}"
        failed = any(probe.outcome in _FAILED for probe in report.probes)
        yield _finding(name=Name.ASKED, severity=Severity.NOTE if failed else Severity.OK, came=came)


def _usable(report: Report) -> Finding:
    named = "; ".join(
        f"{printable(device.description or device.name, 80)} through {printable(device.library, 40)}"
        f" ({gibibytes(device.total_memory)})"
        for device in report.devices
    )
    came = f"{count(len(report.devices), 'usable GPU')}: {named}"
    return _finding(name=Name.USABLE_GPUS, severity=Severity.OK, came=came)


def _nothing_usable(machine: Machine, report: Report, *, simulated: bool) -> Finding:
    expected_one = machine.has_gpu or simulated
    return _finding(
        name=Name.NO_USABLE_GPU,
        severity=Severity.PROBLEM if expected_one else Severity.NOTE,
        came=f"no usable GPU, from {count(len(report.probes), 'probe')}",
        expected="one or more" if expected_one else "",
        next_step=_WHERE_TO_BEGIN if expected_one else "",
    )


def _rejected(machine: Machine, rejection: Rejection, report: Report, *, simulated: bool) -> Finding:
    detail = printable(rejection.detail, _DETAIL_LIMIT)
    quiet = rejection.reason in QUIET
    elsewhere = _usable_elsewhere(rejection, report)
    harmless = elsewhere or (rejection.device is None and not _may_have_gpu(machine, simulated=simulated))
    severity = Severity.NOTE if quiet else Severity.WARNING if harmless else Severity.PROBLEM
    also = "; it is usable another way" if elsewhere and not quiet else ""
    return _finding(
        name=Name.REJECTED,
        severity=severity,
        came=f"{_subject(rejection)}: {rejection.reason} ({_where(rejection)}): {detail}{also}",
        expected=""
        if quiet
        else "an answer with devices"
        if rejection.device is None
        else "a device that works",
        next_step=QUIET[rejection.reason] if quiet else STEPS[rejection.reason],
    )


def _may_have_gpu(machine: Machine, *, simulated: bool) -> bool:
    """Whether what answers nothing may keep a GPU from being used: elsewhere than on Linux nobody knows."""
    return machine.has_gpu or simulated or machine.system != "linux"


def _subject(rejection: Rejection) -> str:
    if rejection.device is None:
        return printable(rejection.variant, 60) or "the runner"
    device = rejection.device
    name = printable(device.description or device.name, 80)
    return " ".join(part for part in (name, printable(device.library, 40), printable(device.id, 80)) if part)


def _where(rejection: Rejection) -> str:
    variant = f", {printable(rejection.variant, 60)}" if rejection.device and rejection.variant else ""
    return f"{rejection.phase}{variant}"


def _usable_elsewhere(rejection: Rejection, report: Report) -> bool:
    mine = rejection.device
    return mine is not None and any(mine.compare(other) is not Comparison.UNIQUE for other in report.devices)
