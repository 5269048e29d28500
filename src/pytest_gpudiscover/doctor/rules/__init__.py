"""What the facts of a machine and the report of a discovery mean. Pure: findings out, nothing read.

One module for each topic, or two that are close; each rule is a function that yields findings.
"""

from __future__ import annotations

from pytest_gpudiscover.doctor.facts import Machine
from pytest_gpudiscover.doctor.findings import Finding
from pytest_gpudiscover.doctor.rules.cards import about_cards
from pytest_gpudiscover.doctor.rules.container import about_container
from pytest_gpudiscover.doctor.rules.libraries import about_libraries
from pytest_gpudiscover.doctor.rules.limits import about_limits
from pytest_gpudiscover.doctor.rules.masks import about_masks
from pytest_gpudiscover.doctor.rules.nodes import about_nodes
from pytest_gpudiscover.doctor.rules.probes import about_probes, about_refusal
from pytest_gpudiscover.doctor.rules.programs import about_programs
from pytest_gpudiscover.doctor.rules.variables import about_variables
from pytest_gpudiscover.reports import Report

_ABOUT_LINUX = (about_cards, about_nodes, about_libraries, about_container)
_ABOUT_ALL = (about_masks, about_variables, about_limits, about_programs)


def findings(machine: Machine, report: Report | str, *, simulated: bool = False) -> list[Finding]:
    """Say what is to be said, in the order in which a discovery depends on it.

    Args:
        machine: the one that we are on.
        report: what a discovery found, or why there could be none.
        simulated: whether the report is of a simulated machine.
    """
    rules = (*_ABOUT_LINUX, *_ABOUT_ALL) if machine.system == "linux" else _ABOUT_ALL
    of_machine = [finding for about in rules for finding in about(machine)]
    if isinstance(report, str):
        return [*of_machine, about_refusal(report)]
    return [*of_machine, *about_probes(machine, report, simulated=simulated)]
