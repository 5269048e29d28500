"""The rules that decide which of the listed devices survive.

Pure functions of data: no I/O, no clock. docs/rules.md says which rule is where.
"""

from pytest_gpudiscover.selection.duplicates import without_duplicates, without_repeats
from pytest_gpudiscover.selection.overlap import POLICIES, Policy, assignment, overlapping
from pytest_gpudiscover.selection.planning import may_share_card, next_to_verify
from pytest_gpudiscover.selection.renumbering import renumbered
from pytest_gpudiscover.selection.verdicts import verdict

__all__ = [
    "POLICIES",
    "Policy",
    "assignment",
    "may_share_card",
    "next_to_verify",
    "overlapping",
    "renumbered",
    "verdict",
    "without_duplicates",
    "without_repeats",
]
