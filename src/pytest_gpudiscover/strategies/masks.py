"""Strategies for masks: what a user may have set before anybody looks for GPUs."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

from hypothesis import strategies as st

from fake_runner import views
from pytest_gpudiscover.simulation import FakeHost
from pytest_gpudiscover.strategies.checking import chosen
from pytest_gpudiscover.strategies.choices import ORDERS, nth_order, subsets
from pytest_gpudiscover.strategies.values import UUIDS

Masks = dict[str, str]
"""Environment variables."""

MASKED = ("CUDA", "ROCm", "Vulkan", "Level Zero")
"""The libraries that have masks."""

_VARIABLES = {
    "CUDA": ("CUDA_VISIBLE_DEVICES",),
    "ROCm": ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"),
    "Vulkan": ("GGML_VK_VISIBLE_DEVICES",),
    "Level Zero": ("ZE_AFFINITY_MASK",),
}
_BY_NUMBER = (*_VARIABLES["Vulkan"], *_VARIABLES["Level Zero"])
_GARBAGE = (
    *("-1", "", " ", "x", "NoDevFiles", "GPU-", "MIG-", "0x1", "01", "1.0", "0;1"),
    *("99", "GPU-ffffffff-ffff-ffff-ffff-ffffffffffff"),  # of no machine that is drawn
    "\u0663",
    "9" * 30,
)
_REPEATED = "the first entry"
_ABBREVIATED = len("GPU-01234567")
"""As far as people write a UUID out."""


def masks(
    host: FakeHost | None = None, *, libraries: Collection[str] = MASKED, garbage: bool = True
) -> st.SearchStrategy[Masks]:
    """Environments in which masks are set, or none: numbers and UUIDs, whole and cut short, in any order.

    They shrink towards no mask, and then towards one that names the first GPU by its number.

    Args:
        host: the machine whose GPUs the masks name, as it is when this is called; a library that lists
            nothing has no mask then. None: any machine.
        libraries: whose masks may be set, of `MASKED`.
        garbage: whether there may also be an entry that is repeated, empty, or makes no sense to a driver.

    Raises:
        InvalidArgument: there is no such library, or it has no mask.
    """
    uuids: dict[str, tuple[str, ...]] = {}
    for library in chosen("libraries", libraries, MASKED):
        if names := _uuids(host, library):
            # Of two libraries that read one variable, the first is the one that it is meant for.
            uuids = {**dict.fromkeys(_VARIABLES[library], names), **uuids}
    return _masks(uuids, garbage=garbage)


def _uuids(host: FakeHost | None, library: str) -> tuple[str, ...]:
    """What a mask may call the devices that a library lists, beside their numbers."""
    if host is None:
        return tuple(f"GPU-{uuid}" for uuid in UUIDS)
    of_library = [variant for variant in host.checked().variants.values() if variant.library == library]
    return tuple(dict.fromkeys(name for variant in of_library for name in views.names(variant)))


@st.composite
def _masks(draw: st.DrawFn, uuids: dict[str, tuple[str, ...]], *, garbage: bool) -> Masks:
    return {
        variable: draw(_values(uuids[variable], by_number_only=variable in _BY_NUMBER, garbage=garbage))
        for variable in draw(subsets(tuple(uuids)))
    }


@st.composite
def _values(draw: st.DrawFn, uuids: tuple[str, ...], *, by_number_only: bool, garbage: bool) -> str:
    order = nth_order(range(len(uuids)), draw(ORDERS))
    spelled = _number if by_number_only else draw(_SPELLINGS)
    entries = [spelled(n, uuids[n]) for n in order[: draw(_lengths(len(uuids)))]]
    if garbage and (odd := draw(_TROUBLE)) is not None:
        entries.insert(draw(_lengths(len(uuids))), entries[0] if odd == _REPEATED else odd)
    return ",".join(entries)


@cache
def _lengths(most: int) -> st.SearchStrategy[int]:
    return st.integers(1, most)


def _number(n: int, _uuid: str) -> str:
    return str(n)


def _uuid(_n: int, uuid: str) -> str:
    return uuid


def _cut_short(_n: int, uuid: str) -> str:
    return uuid[:_ABBREVIATED]


def _mixed(n: int, uuid: str) -> str:
    return uuid if n % 2 else str(n)


_SPELLINGS = st.sampled_from((_number, _uuid, _cut_short, _mixed))
_TROUBLE = st.sampled_from((None, None, *_GARBAGE, _REPEATED))
