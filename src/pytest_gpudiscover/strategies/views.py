"""Strategies for what the libraries make of a machine: tables of a host file, one for each variant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from hypothesis import strategies as st

from pytest_gpudiscover.strategies.cards import Card
from pytest_gpudiscover.strategies.choices import nth_order, orders, subsets

LOSSES = ("no_pci_ids", "odd_pci_ids", "numbers", "reordered", "renumbered", "partial", "no_flags")
"""How a library's view of a machine may differ from the truth (docs/property-testing.md explains each)."""

USUAL_LOSSES = tuple(loss for loss in LOSSES if loss != "renumbered")
"""Those that views are drawn with unless others are asked for.

No real library is known whose variants give one number to two GPUs. Where they do, nobody who goes by the ids
can tell which devices are one, and the engine does not try.
"""

_VARIANTS: Mapping[str, tuple[str, ...]] = {
    "CUDA": ("cuda_v13", "cuda_v12", "cuda_v13_1", "cuda_v9"),
    "ROCm": ("rocm", "rocm_v7_2", "rocm_v6_10", "rocm_v6_4"),
    "Vulkan": ("vulkan",),
    "Level Zero": ("level_zero",),
}
_ON_A_JETSON = ("cuda_jetpack6", "cuda_jetpack5")
_BY_NUMBER = ("ROCm", "Level Zero")
"""The libraries that number their devices, unless the host file says otherwise."""

_Table = dict[str, Any]
_Gpus = Mapping[str, Card]
"""By the name of a GPU: the card that it is, or is a slice of."""
_Picture = dict[str, str]
"""By the name of a GPU, in the order of a list: how it is listed there, as it is or with a loss."""
_AS_IT_IS = "as it is"


@st.composite
def views_of(
    draw: st.DrawFn, there: Sequence[Card], *, max_variants: int, losses: tuple[str, ...]
) -> dict[str, _Table]:
    """Each variant's table, by its name. There is none of a library that knows none of the cards."""
    if any(card.profile.vendor == "Apple" for card in there):
        return {"": {"library": "Metal", "devices": [card.name for card in there]}}
    on_a_jetson = any(card.profile.jetson for card in there)
    tables: dict[str, _Table] = {}
    for library, every in _VARIANTS.items():
        if gpus := _known_to(library, there):
            names = draw(subsets(_ON_A_JETSON if on_a_jetson else every, most=max_variants))
            tables |= draw(_views(library, names, gpus, losses))
    return tables


def _known_to(library: str, there: Sequence[Card]) -> _Gpus:
    """What a library would list: CUDA sees the slices of a card, Vulkan the card."""
    makers: Mapping[str, Callable[[Card], bool]] = {
        "CUDA": lambda card: card.profile.vendor == "NVIDIA",
        "ROCm": lambda card: card.profile.vendor == "AMD",
        "Vulkan": lambda card: bool(card.profile.vulkan),
        "Level Zero": lambda card: card.profile.vendor == "Intel",
    }
    known = [card for card in there if makers[library](card)]
    return {name: card for card in known for name in (library == "CUDA" and card.slices) or [card.name]}


@st.composite
def _views(
    draw: st.DrawFn, library: str, names: Sequence[str], gpus: _Gpus, losses: tuple[str, ...]
) -> dict[str, _Table]:
    """The variants of one library. Unless they are renumbered, an id means the same GPU in all of them."""
    usual = "number" if library in _BY_NUMBER else "uuid"
    ids = _other(usual) if _may_be_numbered_otherwise(gpus, losses) and draw(st.booleans()) else usual
    pictures = [draw(_pictures(tuple(gpus), losses)) for _ in names]
    if ids == "number" and "renumbered" not in losses:
        pictures = [_with_the_list_of(pictures[0], picture) for picture in pictures]
    tables: dict[str, _Table] = {}
    for name, picture in zip(names, pictures, strict=True):
        spelled = _SPELLINGS[draw(_spellings(losses))]
        listed = [(gpu, entry) for gpu, entry in picture.items() if entry != "partial"]
        devices = [_listing(library, gpu, gpus[gpu], entry, spelled) for gpu, entry in listed]
        tables[name] = {"library": library, **({} if ids == usual else {"ids": ids}), "devices": devices}
    return tables


@st.composite
def _pictures(draw: st.DrawFn, gpus: tuple[str, ...], losses: tuple[str, ...]) -> _Picture:
    order = nth_order(gpus, draw(orders(len(gpus)))) if "reordered" in losses else list(gpus)
    return {gpu: draw(_entries(losses)) for gpu in order}


def _with_the_list_of(first: _Picture, picture: _Picture) -> _Picture:
    """A picture of the same GPUs in the same order as the first, so that they have the same numbers."""
    return {
        gpu: "partial" if entry == "partial" else picture[gpu].replace("partial", _AS_IT_IS)
        for gpu, entry in first.items()
    }


def _other(ids: str) -> str:
    return "uuid" if ids == "number" else "number"


def _may_be_numbered_otherwise(gpus: _Gpus, losses: tuple[str, ...]) -> bool:
    # No real view gives a slice a number: beside its card's PCI id, that would be all it is known by.
    return "numbers" in losses and not any(card.slices for card in gpus.values())


@cache
def _entries(losses: tuple[str, ...]) -> st.SearchStrategy[str]:
    """How one GPU is listed: as it is, which is most common, or worse."""
    worse = [loss for loss in ("no_pci_ids", "partial", "no_flags") if loss in losses]
    return st.sampled_from([_AS_IT_IS] * 3 + worse)


@cache
def _spellings(losses: tuple[str, ...]) -> st.SearchStrategy[str]:
    return st.sampled_from(list(_SPELLINGS) if "odd_pci_ids" in losses else ["true"])


def _listing(
    library: str, gpu: str, card: Card, entry: str, spelled: Callable[[str], str]
) -> str | dict[str, Any]:
    """One entry of a list: the GPU, and what is said of it otherwise than the truth."""
    said: dict[str, Any] = {}
    if library == "Vulkan" and card.profile.vulkan != card.profile.description:
        said["description"] = card.profile.vulkan
    pci_id = "" if entry == "no_pci_ids" else spelled(card.pci_id)
    if pci_id != card.pci_id:
        said["pci_id"] = pci_id
    if entry == "no_flags" and card.profile.integrated:
        said["integrated"] = False
    return {"gpu": gpu, **said} if said else gpu


def _wide(pci_id: str) -> str:
    domain, _, rest = pci_id.partition(":")
    return f"{domain:0>8}:{rest}"


def _short(pci_id: str) -> str:
    """As the first releases of Ollama's runner wrote it, where that says which card it is."""
    domain, bus, rest = pci_id.split(":")
    device, function = rest.split(".")
    return (
        f"{bus}:{device}.{int(domain, 16):x}" if function == "0" and int(domain, 16) < 16 else _wide(pci_id)
    )


_SPELLINGS: Mapping[str, Callable[[str], str]] = {
    "true": str,
    "upper": str.upper,
    "wide": lambda pci_id: _wide(pci_id) if pci_id else "",
    "short": lambda pci_id: _short(pci_id) if pci_id else "",
}
"""Ways to write a PCI id that say the same."""
