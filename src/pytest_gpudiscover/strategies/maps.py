"""Strategies for what the overlap rule is asked: which variant supports which device."""

from __future__ import annotations

from itertools import count

from hypothesis import strategies as st

from pytest_gpudiscover.strategies.checking import within
from pytest_gpudiscover.strategies.choices import subsets

Supported = dict[str, dict[str, dict[str, int]]]
"""By library, by variant, by device id: an index of its own."""

_VARIANTS = {
    "CUDA": ("cuda_v13", "cuda_v12", "cuda_v9", "cuda_v13_1", "cuda_v110", "cuda_jetpack6", "cuda"),
    "ROCm": ("rocm", "rocm_v7_2", "rocm_v6_10", "rocm_v6_4"),
    "Vulkan": ("vulkan", "vulkan_v2"),
}
_IDS = tuple(f"GPU-{letter}" for letter in "abcdefgh")


def supported_maps(
    *, max_libraries: int = 3, max_variants: int = 4, max_devices: int = 4
) -> st.SearchStrategy[Supported]:
    """What `selection.overlapping` takes. A variant may also support nothing.

    Args:
        max_libraries: the most libraries.
        max_variants: the most variants of one library.
        max_devices: the most devices of one library, up to 8.

    Raises:
        InvalidArgument: one of them is negative, or there are more than 8 devices.
    """
    libraries = subsets(tuple(_VARIANTS), most=within("max_libraries", max_libraries, 0))
    ids = subsets(_IDS[: within("max_devices", max_devices, 0, len(_IDS))])
    most = within("max_variants", max_variants, 0)
    return _maps(libraries, {name: subsets(each, most=most) for name, each in _VARIANTS.items()}, ids)


_Names = st.SearchStrategy[tuple[str, ...]]


@st.composite
def _maps(draw: st.DrawFn, libraries: _Names, variants: dict[str, _Names], ids: _Names) -> Supported:
    numbers = count()
    return {
        library: {
            variant: {device: next(numbers) for device in draw(ids)} for variant in draw(variants[library])
        }
        for library in draw(libraries)
    }
