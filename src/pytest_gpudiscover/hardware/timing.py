"""How long each probe of a discovery took, as a table. Pure: a report in, text out."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_gpudiscover.reports import ProbeRecord, Report
from pytest_gpudiscover.text import printable

_ROW = "{:<10}{:<14}{:>10}{:>10}{:>10}  {:<12}{}"


def timings(report: Report) -> Iterator[str]:
    """A line for each probe in the order of their starts, below a line that names the columns."""
    yield _ROW.format("phase", "variant", "started", "answered", "ended", "outcome", "mask").rstrip()
    for probe in report.probes:
        yield _row(probe).rstrip()
    yield f"the whole discovery took {_seconds(report.duration)}"


def _row(probe: ProbeRecord) -> str:
    mask = " ".join(f"{name}={printable(value, 60)}" for name, value in probe.mask.items())
    answered = "" if probe.ready is None else _seconds(probe.ready)
    variant = printable(probe.variant or "-", 13)
    times = (_seconds(probe.started), answered, _seconds(probe.ended))
    return _ROW.format(probe.phase, variant, *times, probe.outcome, mask)


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f} s"
