"""`gpudiscover doctor`: read this machine, discover, and judge both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pytest_gpudiscover.cli.arguments import Options
from pytest_gpudiscover.cli.discovering import discovered
from pytest_gpudiscover.doctor.findings import Finding, Severity, to_json
from pytest_gpudiscover.doctor.gathering import gathered
from pytest_gpudiscover.doctor.rules import findings
from pytest_gpudiscover.errors import InstallationError, VariantNotFoundError
from pytest_gpudiscover.reports import Report
from pytest_gpudiscover.surroundings import Surroundings


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What came of looking at this machine.

    Attributes:
        findings: in the order in which a discovery depends on what they are about.
        report: of the discovery, or why there could be none.
        simulated: whether that was of a simulated machine.
    """

    findings: list[Finding]
    report: Report | str
    simulated: bool

    @property
    def has_problem(self) -> bool:
        """Whether anything keeps a GPU from being used."""
        return any(finding.severity is Severity.PROBLEM for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """The object that `gpudiscover doctor --json` prints."""
        report = None if isinstance(self.report, str) else self.report.to_json()
        return to_json(self.findings, simulated=self.simulated, report=report)


def examination(options: Options) -> Examination:
    """Examine this machine.

    Raises:
        GpuDiscoverError: options that make no sense, or a variant that is not there.
    """
    report = _report(options)
    machine = gathered(Surroundings.current(), leases=options.leases)
    simulated = options.runner == "fake"
    return Examination(
        findings=findings(machine, report, simulated=simulated), report=report, simulated=simulated
    )


def _report(options: Options) -> Report | str:
    """Discover, or say why that is not possible here: the rest of the machine is looked at all the same."""
    try:
        return discovered(options)
    except VariantNotFoundError:
        raise
    except InstallationError as error:
        return str(error)
