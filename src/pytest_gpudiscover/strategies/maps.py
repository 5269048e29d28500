"""Strategies for what the overlap rule is asked: which variant supports which device."""

from __future__ import annotations

from itertools import count

from hypothesis import strategies as st

Supported = dict[str, dict[str, dict[str, int]]]
"""By library, by variant, by device id: an index of its own."""

_VARIANTS = {
    "CUDA": ("cuda_v13", "cuda_v12", "cuda_v9", "cuda_v13_1", "cuda_v110", "cuda_jetpack6", "cuda"),
    "ROCm": ("rocm", "rocm_v7_2", "rocm_v6_10", "rocm_v6_4"),
    "Vulkan": ("vulkan", "vulkan_v2"),
}


def supported_maps(
    *, max_libraries: int = 3, max_variants: int = 4, max_devices: int = 4
) -> st.SearchStrategy[Supported]:
    """What `selection.overlapping` takes, in any order; variants that support nothing included.

    Args:
        max_libraries: the most libraries.
        max_variants: the most variants of one library.
        max_devices: the most devices of one library.
    """
    ids = st.sampled_from([f"GPU-{letter}" for letter in "abcdefgh"[: max(max_devices, 1)]])
    listed = st.lists(ids, max_size=max_devices, unique=True)
    by_variant = {
        library: st.dictionaries(st.sampled_from(names), listed, max_size=max_variants)
        for library, names in _VARIANTS.items()
    }
    libraries = st.lists(st.sampled_from(list(_VARIANTS)), max_size=max_libraries, unique=True)
    maps = libraries.flatmap(lambda some: st.fixed_dictionaries({name: by_variant[name] for name in some}))
    return maps.map(_indexed)


def _indexed(ids: dict[str, dict[str, list[str]]]) -> Supported:
    numbers = count()
    return {
        library: {variant: {each: next(numbers) for each in listed} for variant, listed in variants.items()}
        for library, variants in ids.items()
    }
