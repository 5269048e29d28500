"""Strategies for what the overlap rule is asked: which variant supports which device."""

from __future__ import annotations

from hypothesis import strategies as st

Supported = dict[str, dict[str, dict[str, int]]]
"""By library, by variant, by device id: an index."""


def supported_maps(
    *, max_libraries: int = 3, max_variants: int = 4, max_devices: int = 4
) -> st.SearchStrategy[Supported]:
    """What `selection.overlapping` takes: each (library, variant, device) with an index of its own."""
    return st.just({"CUDA": {"cuda_v13": {"GPU-a": 0}}})
