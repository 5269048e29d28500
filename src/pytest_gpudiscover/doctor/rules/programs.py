"""What else lies on the machine: an installation of Ollama, and the directory of the leases."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from pytest_gpudiscover.doctor.facts import LeaseFolder, Machine, Ollama
from pytest_gpudiscover.doctor.findings import Finding, Name, Severity, Topic
from pytest_gpudiscover.text import printable

_finding = partial(Finding, topic=Topic.PROGRAMS)


def about_programs(machine: Machine) -> Iterator[Finding]:
    """Whether Ollama can be asked, and whether GPUs can be leased."""
    if machine.ollama:
        yield _about_ollama(machine.ollama)
    if machine.leases:
        yield _about_leases(machine.leases)


def _about_ollama(ollama: Ollama) -> Finding:
    if ollama.problem:
        return _finding(
            name=Name.OLLAMA_UNUSABLE,
            severity=Severity.WARNING,
            came=f"{ollama.path} cannot be asked: {printable(ollama.problem)}",
            expected="its libraries beside it",
            next_step="install it anew, or name its libraries with --library-root",
        )
    variants = ", ".join(map(printable, ollama.variants)) or "no variants: what it has is built in"
    came = f"Ollama is at {printable(ollama.path)}, its libraries at {printable(ollama.root)}: {variants}"
    return _finding(name=Name.OLLAMA_FOUND, severity=Severity.OK, came=came)


def _about_leases(leases: LeaseFolder) -> Finding:
    if leases.problem:
        return _finding(
            name=Name.LEASES_IMPOSSIBLE,
            severity=Severity.WARNING,
            came=f"GPUs cannot be leased in {printable(leases.path)}: {printable(leases.problem)}",
            expected="a directory that every user of the machine may write to",
            next_step="name another one with GPUDISCOVER_LEASES or --leases, or have this one put right",
        )
    came = f"GPUs can be leased: {printable(leases.path)} can be written to"
    return _finding(name=Name.LEASES_POSSIBLE, severity=Severity.OK, came=came)
