"""The container that we are in: whether GPUs were passed to it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from pytest_gpudiscover.doctor.facts import AMD, INTEL, NVIDIA, Machine
from pytest_gpudiscover.doctor.findings import Finding, Name, Severity, Topic
from pytest_gpudiscover.doctor.rules.nodes import PASSING
from pytest_gpudiscover.text import printable

_finding = partial(Finding, topic=Topic.CONTAINER)

PASSED = "NVIDIA_VISIBLE_DEVICES"
"""Read by NVIDIA's container runtime: what to pass."""


def about_container(machine: Machine) -> Iterator[Finding]:
    """Say that we are in one, and whether the host has GPUs that were not passed."""
    container = machine.container
    if container is None:
        return
    came = f"this is a container ({container.kind}: {container.evidence})"
    yield _finding(name=Name.IN_CONTAINER, severity=Severity.NOTE, came=came)
    driven = [vendor for vendor in (NVIDIA, AMD, INTEL) if machine.drives(vendor)]
    kept = [vendor for vendor in driven if not machine.has_nodes_of(vendor)]
    if kept:
        yield _not_passed(machine, kept)


def _not_passed(machine: Machine, vendors: list[str]) -> Finding:
    wanted = machine.variables.get(PASSED)
    said = f" ({PASSED}={printable(wanted)!r})" if wanted is not None and NVIDIA in vendors else ""
    return _finding(
        name=Name.CONTAINER_WITHOUT_GPUS,
        # Which of a host's GPUs a container gets is a choice; to get none at all is seldom meant.
        severity=Severity.NOTE if machine.nodes else Severity.PROBLEM,
        came=f"the host drives GPUs of {' and '.join(vendors)}; none of these was passed to us{said}",
        expected="their device nodes below /dev",
        next_step="; ".join(PASSING[vendor] for vendor in vendors),
    )
