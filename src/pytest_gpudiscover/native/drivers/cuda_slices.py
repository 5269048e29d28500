"""CUDA: the devices that it hides behind a slice of a card, and NVML knows.

NVIDIA's Multi-Instance GPU User Guide: CUDA shows a process one slice at most, and with it no whole card. A
process whose mask names another of them does see that one. So they are all there, each for a process of its
own, and all are listed: as far as the mask lets them.

Pure: cards in, cards and entries out.
"""

from __future__ import annotations

from pytest_gpudiscover.native.drivers import CUDA
from pytest_gpudiscover.native.drivers.interface import Entry, Unusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from pytest_gpudiscover.native.drivers.nvml import Card

UUIDS = ("GPU-", "MIG-")
"""How the names of cards and of slices begin, in masks and elsewhere."""


def hidden_behind(
    shown: Collection[str], cards: Sequence[Card], mask: str | None, lost: Collection[str] = ()
) -> list[Card]:
    """The cards and slices that CUDA does not show, and that are there for another process.

    Without a mask these are all slices; if there are any, all cards that are not cut as well; and the cards
    that nobody can use (`problem`). With one, they are those that it names by UUID.

    Args:
        shown: the ids of the devices that CUDA shows.
        cards: what NVML knows.
        mask: `CUDA_VISIBLE_DEVICES`; None without.
        lost: the ids of those that CUDA shows and NVML calls lost: where it lists a lost card without an id,
            it is one of these, as long as there are any.
    """
    candidates = _all(cards) if mask is None else _named(mask, cards)
    without_id = len({*lost} - {card.id for card in cards})
    hidden: list[Card] = []
    for card in candidates:
        if card.lost and not card.id and without_id:
            without_id -= 1
        elif card.id not in shown and card not in hidden:
            hidden.append(card)
    return hidden


def entry_of(card: Card, place: int, driver: tuple[int, int]) -> Entry:
    """What the answer says of a device that CUDA does not show.

    Args:
        card: what NVML knows of it.
        place: in the answer, behind what CUDA shows.
        driver: major and minor version of CUDA that the driver speaks.
    """
    why = problem(card)
    return Entry(
        id=card.id or str(place),
        backend=CUDA.library,
        name=f"{CUDA.library}{place}",
        description=card.description,
        index=place,
        pci_id=card.pci_id,
        total_memory=card.total_memory,
        free_memory=card.total_memory if card.free_memory is None else card.free_memory,
        compute=card.compute,
        driver=driver,
        unusable=Unusable("unusable", why) if why else None,
    )


def problem(card: Card) -> str:
    """Why nobody can use a card that NVML knows; "" when somebody may."""
    if card.lost:
        return LOST
    if card.slices is not None and not card.slices:
        return (
            "the card is in MIG mode, and there is no slice of it that this process may see: cut it"
            " (nvidia-smi mig -cgi ... -C), give the container a slice, or leave MIG mode (nvidia-smi -mig 0)"
        )
    return ""


LOST = (
    "NVML says that the GPU is lost (15), off the PCI bus: look for 'Xid 79' in the kernel's log, and restart"
    " the machine; if that comes again, check its power and its seat"
)


def _all(cards: Sequence[Card]) -> Iterator[Card]:
    cut = any(card.slices for card in cards)
    for card in cards:
        if problem(card) or (cut and card.slices is None):
            yield card
        yield from card.slices or ()


def _named(mask: str, cards: Sequence[Card]) -> Iterator[Card]:
    """What a mask names, up to the first entry that ends it.

    A number may name anything, and may end the list: what CUDA shows of it and behind it is all there is.
    """
    for entry in mask.split(","):
        named = _meant(entry.strip(), cards)
        if named is None:
            return
        # A card that is cut stands for a slice that CUDA chooses, and shows.
        if not named.slices:
            yield named


def _meant(entry: str, cards: Sequence[Card]) -> Card | None:
    """The one that a UUID means, which may be cut short; None when it means none, or several."""
    if not entry.startswith(UUIDS):
        return None
    everything = [each for card in cards for each in (card, *(card.slices or ()))]
    meant = [card for card in everything if card.id.startswith(entry) or card.placed == entry]
    return meant[0] if len(meant) == 1 else None
