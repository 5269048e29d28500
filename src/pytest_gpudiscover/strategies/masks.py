"""Strategies for masks: what a user may have set before anybody looks for GPUs."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from hypothesis import strategies as st

from fake_runner import views
from pytest_gpudiscover.simulation import FakeHost
from pytest_gpudiscover.strategies.checking import chosen
from pytest_gpudiscover.strategies.values import UUIDS

Masks = dict[str, str]
"""Environment variables."""

MASKED = ("CUDA", "ROCm", "Vulkan")
"""The libraries that have masks."""

_VARIABLES = {
    "CUDA": ("CUDA_VISIBLE_DEVICES",),
    "ROCm": ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"),
    "Vulkan": ("GGML_VK_VISIBLE_DEVICES",),
}
_GARBAGE = (
    *("-1", "", " ", "x", "NoDevFiles", "GPU-", "MIG-", "0x1", "01", "1.0", "0;1"),
    "\u0663",
    "9" * 30,
)
_ABBREVIATED = len("GPU-01234567")
"""As far as people write a UUID out."""


def masks(
    host: FakeHost | None = None, *, libraries: Collection[str] = MASKED, garbage: bool = True
) -> st.SearchStrategy[Masks]:
    """Environments in which masks are set, or none: numbers and UUIDs, whole and cut short, in any order.

    They shrink towards no mask, and then towards one that names the first GPU by its number.

    Args:
        host: the machine whose GPUs the masks name, as it is when this is called; None: any.
        libraries: whose masks may be set, of `MASKED`.
        garbage: whether entries may also be such as no driver understands, or name what is not there.

    Raises:
        InvalidArgument: there is no such library, or it has no mask.
    """
    variables = {
        variable: _values(_uuids(host, library), garbage=garbage)
        for library in chosen("libraries", libraries, MASKED)
        for variable in _VARIABLES[library]
    }
    return st.fixed_dictionaries({}, optional=variables)


def _uuids(host: FakeHost | None, library: str) -> list[str]:
    """What a mask may call a library's devices, beside their numbers; Vulkan's mask knows numbers only."""
    if host is None:
        return [f"GPU-{uuid}" for uuid in UUIDS]
    of_library = [variant for variant in host.checked().variants.values() if variant.library == library]
    return list(dict.fromkeys(name for variant in of_library for name in views.names(variant)))


def _values(uuids: Sequence[str], *, garbage: bool) -> st.SearchStrategy[str]:
    numbers = [str(n) for n in range(len(uuids) + garbage)]
    names = [*numbers, *uuids, *(uuid[:_ABBREVIATED] for uuid in uuids), *(_GARBAGE if garbage else ())]
    if not names:
        return st.just("")
    separators = st.sampled_from([",", ",", ", ", ",,"] if garbage else [","])
    entries = st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=not garbage)
    return st.builds(lambda separator, entries: separator.join(entries), separators, entries)
