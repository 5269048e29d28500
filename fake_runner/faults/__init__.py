"""The fault vocabulary: what can go wrong with a runner, each fault one function that edits a script."""

from fake_runner.faults.registry import CONDUCT, ENTRIES, LETTERS, VOCABULARY, Fault, apply

# Importing a module registers its faults; the order is that in which they act.
from fake_runner.faults import listings, figures, memory, bodies, answers, processes  # isort: skip

__all__ = [
    "CONDUCT",
    "ENTRIES",
    "LETTERS",
    "VOCABULARY",
    "Fault",
    "answers",
    "apply",
    "bodies",
    "figures",
    "listings",
    "memory",
    "processes",
]
