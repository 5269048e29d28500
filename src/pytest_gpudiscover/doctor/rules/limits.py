"""What this process may use: files, processes, locked memory, and the memory of its control group."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from pytest_gpudiscover.doctor.facts import Limits, Machine
from pytest_gpudiscover.doctor.findings import Finding, Name, Severity, Topic
from pytest_gpudiscover.text import GIB, gibibytes, in_unit

_finding = partial(Finding, topic=Topic.LIMITS)

# Figures of experience, on the safe side: drivers open dozens of files and start a few threads for each card.
_FEWEST_FILES = 256
_FEWEST_PROCESSES = 128
_LEAST_LOCKED = 1 << 16
_LEAST_MEMORY = GIB


def about_limits(machine: Machine) -> Iterator[Finding]:
    """Which limits are lower than drivers need, else what they are."""
    low = list(_low(machine.limits))
    yield from low
    if not low:
        yield _finding(
            name=Name.LIMITS_SUFFICIENT, severity=Severity.OK, came=f"sufficient: {_in_words(machine.limits)}"
        )


def _low(limits: Limits) -> Iterator[Finding]:
    if limits.files is not None and limits.files < _FEWEST_FILES:
        came = f"this process may open {limits.files} files at once"
        yield _limit_low(came, f"{_FEWEST_FILES} or more", "ulimit -n 1024")
    if limits.processes is not None and limits.processes < _FEWEST_PROCESSES:
        came = f"this user may have {limits.processes} processes and threads"
        yield _limit_low(came, f"{_FEWEST_PROCESSES} or more", "ulimit -u 4096")
    if limits.locked is not None and limits.locked < _LEAST_LOCKED:
        came = f"{limits.locked} bytes of memory may be locked, which transfers between machines need (RDMA)"
        yield _limit_low(came, f"{_LEAST_LOCKED} bytes or more", "ulimit -l unlimited")
    if limits.memory is not None and limits.memory < _LEAST_MEMORY:
        yield _finding(
            name=Name.LIMIT_LOW,
            severity=Severity.WARNING,
            came=f"the control group may use {gibibytes(limits.memory)}: a driver that needs more is killed",
            expected=f"{gibibytes(_LEAST_MEMORY)} or more",
            next_step="give the container or the job more memory (docker run --memory, Slurm's --mem)",
        )


def _limit_low(came: str, expected: str, command: str) -> Finding:
    return _finding(
        name=Name.LIMIT_LOW,
        severity=Severity.WARNING,
        came=came,
        expected=expected,
        next_step="raise the limit in the shell, or in the container's settings (docker run --ulimit)",
        command=command,
    )


def _in_words(limits: Limits) -> str:
    parts = [f"open files: {_number(limits.files)}", f"processes: {_number(limits.processes)}"]
    parts += [
        f"locked memory: {_size(limits.locked)}",
        f"memory of the control group: {_size(limits.memory)}",
    ]
    return "; ".join(parts)


def _number(limit: int | None) -> str:
    return "unlimited" if limit is None else str(limit)


def _size(limit: int | None) -> str:
    return "unlimited" if limit is None else in_unit(limit, "GiB" if limit >= GIB else "MiB")
