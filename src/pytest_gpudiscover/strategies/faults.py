"""Strategies for what goes wrong."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from hypothesis import strategies as st

from pytest_gpudiscover.simulation import FakeHost

Fault = dict[str, Any]
"""One fault, as in a host file: `host.with_fault(**fault)` or `host.inject(**fault)`."""


def faults(host: FakeHost | None = None, *, names: Collection[str] | None = None) -> st.SearchStrategy[Fault]:
    """Faults: a name of the vocabulary, its trigger and its arguments, as `FakeHost.with_fault` takes them.

    Args:
        host: the machine that they make sense on; None: they make sense on any, whatever it has.
        names: which ones (`fake-runner faults`); None: all that the machine can have.
    """
    return st.sampled_from([{"name": name} for name in names or ["exit_early", "mask_ignored"]])
