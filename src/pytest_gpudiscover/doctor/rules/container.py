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

_NOTHING = frozenset({"", "none", "void"})
"""With these, NVIDIA's container runtime passes no GPU."""


def about_container(machine: Machine) -> Iterator[Finding]:
    """Say that we are in one, and whether the host has GPUs that were not passed."""
    container = machine.container
    if container is None:
        return
    came = f"this is a container ({container.kind}: {container.evidence})"
    yield _finding(name=Name.IN_CONTAINER, severity=Severity.NOTE, came=came)
    vendors = [vendor for vendor in (NVIDIA, AMD, INTEL) if machine.drives(vendor)]
    if vendors and not machine.nodes:
        yield _nothing_passed(machine, vendors)
    elif machine.variables.get(PASSED, "all") in _NOTHING and machine.has_gpu_of(NVIDIA):
        yield _switched_off(machine.variables[PASSED])


def _nothing_passed(machine: Machine, vendors: list[str]) -> Finding:
    wanted = machine.variables.get(PASSED)
    said = f" ({PASSED}={printable(wanted)!r})" if wanted is not None and NVIDIA in vendors else ""
    return _finding(
        name=Name.CONTAINER_WITHOUT_GPUS,
        severity=Severity.PROBLEM,
        came=f"the host drives GPUs of {' and '.join(vendors)}, and none was passed to this container{said}",
        expected="their device nodes below /dev",
        next_step="; ".join(PASSING[vendor] for vendor in vendors),
    )


def _switched_off(value: str) -> Finding:
    return _finding(
        name=Name.CONTAINER_WITHOUT_GPUS,
        severity=Severity.WARNING,
        came=f"{PASSED}={printable(value)!r}: NVIDIA's container runtime passes no GPU",
        expected="all, or the GPUs to pass",
        next_step="leave the variable out of the image and of docker run, or name GPUs with --gpus",
    )
