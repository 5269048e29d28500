"""Views: what the libraries make of a machine, as tables of a host file, one for each variant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from hypothesis import strategies as st

from pytest_gpudiscover.simulation import PROFILES
from pytest_gpudiscover.strategies.cards import Card, Kinds
from pytest_gpudiscover.strategies.choices import ORDERS, nth_order, subsets

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
    "Metal": ("",),
}
_ON_A_JETSON = ("cuda_jetpack6", "cuda_jetpack5")
_MAKERS = {"CUDA": "NVIDIA", "ROCm": "AMD", "Level Zero": "Intel", "Metal": "Apple"}
_BY_UUID = ("CUDA", "Vulkan")
"""The libraries that list UUIDs unless the host file says otherwise; the others list numbers."""

_AS_IT_IS = "as it is"


@dataclass(frozen=True, kw_only=True)
class View:
    """How one variant sees a machine, whatever cards are in it.

    Attributes:
        library: the kind of library.
        variant: the variant's name.
        ids: `uuid` or `number`.
        spelling: how it writes PCI ids.
        order: which of all orders its devices are in.
    """

    library: str
    variant: str
    ids: str
    spelling: str
    order: int

    def knows(self, kind: str) -> bool:
        """Whether it lists cards of this kind."""
        profile = PROFILES[kind]
        if self.library == "Vulkan":
            return bool(profile.vulkan)
        return profile.vendor == _MAKERS[self.library]

    @property
    def sees_slices(self) -> bool:
        """Whether it lists the slices of a card, and knows nothing of the whole."""
        return self.library == "CUDA"

    def gpus_of(self, card: Card) -> Sequence[str]:
        """The GPUs that it lists of a card, by name."""
        if not self.knows(card.kind):
            return ()
        return card.slices if card.slices and self.sees_slices else (card.name,)


Listing = Mapping[str, str]
"""By the name of a GPU: how it is listed, as it is or with one of the losses."""


@st.composite
def views_of(draw: st.DrawFn, kinds: Kinds, *, max_variants: int, losses: tuple[str, ...]) -> list[View]:
    """The views of a machine with cards of some kinds; no card is listed yet."""
    on_a_jetson = any(PROFILES[kind].jetson for kind in kinds)
    views = []
    for library, every in _VARIANTS.items():
        variants = draw(subsets(_ON_A_JETSON if on_a_jetson else every, most=max_variants, simplest=1))
        usual = "uuid" if library in _BY_UUID else "number"
        ids = draw(_ids(losses)) or usual
        for variant in variants:
            spelling, order = draw(_spellings(losses)), draw(_orders(losses))
            view = View(library=library, variant=variant, ids=ids, spelling=spelling, order=order)
            if any(view.knows(kind) for kind in kinds):
                views.append(view)
    return views


@cache
def _ids(losses: tuple[str, ...]) -> st.SearchStrategy[str]:
    return st.sampled_from(("", "", "number", "uuid") if "numbers" in losses else ("",))


@cache
def _spellings(losses: tuple[str, ...]) -> st.SearchStrategy[str]:
    return st.sampled_from(list(_SPELLINGS) if "odd_pci_ids" in losses else ["true"])


@cache
def _orders(losses: tuple[str, ...]) -> st.SearchStrategy[int]:
    return ORDERS if "reordered" in losses else st.just(0)


@cache
def entries(losses: tuple[str, ...]) -> st.SearchStrategy[str]:
    """How one GPU is listed by one variant: as it is, which is most common, or worse."""
    worse = [loss for loss in ("no_pci_ids", "partial", "no_flags") if loss in losses]
    return st.sampled_from([_AS_IT_IS] * 3 + worse)


def tables_of(
    views: Sequence[View], cards: Sequence[Card], listings: Mapping[str, Listing], *, renumbered: bool
) -> dict[str, dict[str, Any]]:
    """The table of each variant, by its name.

    Args:
        views: the variants.
        cards: what is in the machine.
        listings: how each GPU is listed, by variant.
        renumbered: whether the variants of one library may give one number to different GPUs.
    """
    first: dict[str, View] = {}
    tables = {}
    for view in views:
        of_first = first.setdefault(view.library, view)
        gpus = {gpu: card for card in cards for gpu in view.gpus_of(card)}
        # No real view gives a slice a number: beside its card's PCI id, that would be all it is known by.
        numbered = view.ids == "number" and not any(card.slices for card in gpus.values())
        alike = of_first if numbered and not renumbered else view
        listed = [
            gpu for gpu in nth_order(list(gpus), alike.order) if listings[alike.variant][gpu] != "partial"
        ]
        devices = [_entry(view, gpu, gpus[gpu], listings[view.variant][gpu]) for gpu in listed]
        usual = view.library not in _BY_UUID
        ids = {} if numbered is usual else {"ids": "number" if numbered else "uuid"}
        tables[view.variant] = {"library": view.library, **ids, "devices": devices}
    return tables


def _entry(view: View, gpu: str, card: Card, entry: str) -> str | dict[str, Any]:
    """One entry of a list: the GPU, and what is said of it otherwise than the truth."""
    said: dict[str, Any] = {}
    if view.library == "Vulkan" and card.profile.vulkan != card.profile.description:
        said["description"] = card.profile.vulkan
    pci_id = "" if entry == "no_pci_ids" else _SPELLINGS[view.spelling](card.pci_id)
    if pci_id != card.pci_id:
        said["pci_id"] = pci_id
    if entry == "no_flags" and card.profile.integrated:
        said["integrated"] = False
    return {"gpu": gpu, **said} if said else gpu


def _wide(pci_id: str) -> str:
    domain, _, rest = pci_id.partition(":")
    return f"{domain:0>8}:{rest}" if pci_id else ""


def _short(pci_id: str) -> str:
    """As the first releases of Ollama's runner wrote it, where that says which card it is."""
    domain, _, rest = pci_id.partition(":")
    if not rest.endswith(".0") or int(domain, 16) > 0xF:
        return _wide(pci_id)
    return f"{rest[:-1]}{int(domain, 16):x}"


_SPELLINGS: Mapping[str, Callable[[str], str]] = {
    "true": str,
    "upper": str.upper,
    "wide": _wide,
    "short": _short,
}
"""Ways to write a PCI id that say the same."""
