"""Findings on a terminal. Every text is a `Text`, so that nothing from outside is read as markup."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from pytest_gpudiscover.doctor.findings import Finding, Severity, Topic, summary
from pytest_gpudiscover.text import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

TITLES = {
    Topic.CARDS: "Cards and kernel drivers",
    Topic.NODES: "Device nodes",
    Topic.LIBRARIES: "Libraries",
    Topic.CONTAINER: "Container",
    Topic.MASKS: "Masks",
    Topic.VARIABLES: "Other variables",
    Topic.LIMITS: "Limits",
    Topic.PROGRAMS: "Ollama and leases",
    Topic.PROBES: "What the probes said",
}
_STYLES = {
    Severity.PROBLEM: "bold red",
    Severity.WARNING: "yellow",
    Severity.NOTE: "cyan",
    Severity.OK: "green",
}
_WIDEST = max(len(severity) for severity in Severity)
_LIMIT = 2000


def shown_findings(findings: Sequence[Finding]) -> Iterator[RenderableType]:
    """What `gpudiscover doctor` prints."""
    for topic, about in groupby(findings, key=lambda finding: finding.topic):
        yield Text(TITLES[topic], style="bold")
        for finding in about:
            yield _shown(finding)
        yield Text()
    worst = min((finding.severity for finding in findings), key=list(Severity).index)
    yield Text(summary(findings), style="bold red" if worst is Severity.PROBLEM else "bold")


def _shown(finding: Finding) -> Table:
    """A severity, and beside it what there is to say: long lines go on below their own first word."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=_WIDEST)
    table.add_column(overflow="fold")
    style = _STYLES[finding.severity]
    table.add_row(Text(str(finding.severity), style=style), Text(printable(finding.came, _LIMIT)))
    for line in _more(finding):
        table.add_row("", line)
    return table


def _more(finding: Finding) -> Iterator[Text]:
    if finding.expected:
        yield Text.assemble("expected: ", printable(finding.expected, _LIMIT), style="dim")
    if finding.next_step:
        yield Text.assemble(("next: ", "bold"), printable(finding.next_step, _LIMIT))
    if finding.command:
        yield Text.assemble(("$ ", "dim"), (printable(finding.command, _LIMIT), "cyan"))
