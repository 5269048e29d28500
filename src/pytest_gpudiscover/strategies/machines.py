"""Strategies for whole machines."""

from __future__ import annotations

from collections.abc import Collection

from hypothesis import strategies as st

from pytest_gpudiscover.simulation import MACHINES, FakeHost

VENDORS = ("NVIDIA", "AMD", "Intel", "Apple")
"""The makers of GPUs that a machine is drawn from."""


def hosts(
    *,
    min_gpus: int = 0,
    max_gpus: int = 4,
    vendors: Collection[str] = VENDORS,
    max_variants: int = 3,
    lossy: bool = True,
    with_faults: bool | Collection[str] = False,
) -> st.SearchStrategy[FakeHost]:
    """Machines: physical GPUs first, then what each library makes of them.

    Args:
        min_gpus: the fewest cards.
        max_gpus: the most cards; slices of a card count as one.
        vendors: whose cards there may be, of `VENDORS`.
        max_variants: the most variants of one library.
        lossy: whether the libraries' views are as bad as real ones: without PCI ids or with odd ones, in
            another order, with numbers for ids, and with only some of the cards.
        with_faults: whether something goes wrong, too: anything, or some of these faults.
    """
    return st.sampled_from(list(MACHINES.values())).map(lambda build: build())
