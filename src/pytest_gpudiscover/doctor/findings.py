"""What the doctor says: one finding for each thing that was looked at. Pure: data only."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pytest_gpudiscover.text import count

SCHEMA = 1
"""The version of the JSON form; it grows only when an existing key changes its meaning."""


class Severity(enum.StrEnum):
    """What a finding means to whoever wants to use a GPU, from the worst to the best."""

    PROBLEM = "problem"
    """It keeps a GPU from being used, or all of them."""
    WARNING = "warning"
    """It may: under some conditions, or for some libraries."""
    NOTE = "note"
    """Worth knowing."""
    OK = "ok"
    """As it should be."""


class Topic(enum.StrEnum):
    """What is looked at, in the order in which a discovery depends on it."""

    CARDS = "cards"
    NODES = "nodes"
    LIBRARIES = "libraries"
    CONTAINER = "container"
    MASKS = "masks"
    VARIABLES = "variables"
    LIMITS = "limits"
    PROGRAMS = "programs"
    PROBES = "probes"


class Name(enum.StrEnum):
    """Which finding it is. The list is closed; docs/doctor.md explains each."""

    CARDS_SERVED = "cards_served"
    NO_CARD = "no_card"
    CARD_WITHOUT_DRIVER = "card_without_driver"
    CARD_WITH_OTHER_DRIVER = "card_with_other_driver"
    CARD_GIVEN_AWAY = "card_given_away"
    DRIVER_LOADED = "driver_loaded"
    NODES_OPENABLE = "nodes_openable"
    NODE_FORBIDDEN = "node_forbidden"
    NODE_MISSING = "node_missing"
    LIBRARY_FOUND = "library_found"
    LIBRARY_MISSING = "library_missing"
    LIBRARY_DIFFERS = "library_differs"
    LIBRARY_COMPATIBLE = "library_compatible"
    STUB_LIBRARY = "stub_library"
    IN_CONTAINER = "in_container"
    CONTAINER_WITHOUT_GPUS = "container_without_gpus"
    NO_MASK = "no_mask"
    MASK_SET = "mask_set"
    MASK_HIDES_ALL = "mask_hides_all"
    MASK_ENTRY_UNREAD = "mask_entry_unread"
    MASK_ENTRY_NAMES_NOTHING = "mask_entry_names_nothing"
    VARIABLE_SET = "variable_set"
    FILE_MISSING = "file_missing"
    LIMITS_SUFFICIENT = "limits_sufficient"
    LIMIT_LOW = "limit_low"
    OLLAMA_FOUND = "ollama_found"
    OLLAMA_UNUSABLE = "ollama_unusable"
    LEASES_POSSIBLE = "leases_possible"
    LEASES_IMPOSSIBLE = "leases_impossible"
    SIMULATED = "simulated"
    NOT_ASKED = "not_asked"
    ASKED = "asked"
    USABLE_GPUS = "usable_gpus"
    NO_USABLE_GPU = "no_usable_gpu"
    REJECTED = "rejected"
    SERVED_ANOTHER_WAY = "served_another_way"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        topic: where it belongs.
        name: which finding it is.
        severity: what it means.
        came: what is there, in a sentence.
        expected: what should be there; "" where that is what came.
        next_step: what to do; "" for nothing.
        command: the line for a shell that does it; "" where there is no such line.
    """

    topic: Topic
    name: Name
    severity: Severity
    came: str
    expected: str = ""
    next_step: str = ""
    command: str = ""

    def to_json(self) -> dict[str, str]:
        """The object of the JSON form."""
        return {
            "topic": str(self.topic),
            "name": str(self.name),
            "severity": str(self.severity),
            "came": self.came,
            "expected": self.expected,
            "next_step": self.next_step,
            "command": self.command,
        }


def counted(findings: Iterable[Finding]) -> dict[str, int]:
    """How many findings there are of each severity, from the worst to the best."""
    numbers = Counter(finding.severity for finding in findings)
    return {str(severity): numbers[severity] for severity in Severity}


def summary(findings: Iterable[Finding]) -> str:
    """Say in one line what was found."""
    numbers = counted(findings)
    named = [count(numbers[str(each)], each) for each in Severity if each is not Severity.OK]
    return ", ".join([*named, f"{numbers['ok']} ok"])


def to_json(findings: Iterable[Finding], *, simulated: bool, report: dict[str, Any] | None) -> dict[str, Any]:
    """The object that `gpudiscover doctor --json` prints.

    Args:
        findings: in order.
        simulated: whether the report is of a simulated machine.
        report: as `list --json` prints it; None where nothing could be asked.
    """
    listed = list(findings)
    return {
        "schema": SCHEMA,
        "counts": counted(listed),
        "findings": [finding.to_json() for finding in listed],
        "simulated": simulated,
        "report": report,
    }
