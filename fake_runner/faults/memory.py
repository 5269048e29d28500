"""Faults of free memory over time: it drifts, stands still, or comes back late."""

from __future__ import annotations

from fake_runner.faults.figures import bytes_of
from fake_runner.faults.registry import ENTRIES, fault, whole
from fake_runner.hashing import fraction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from fake_runner.scripts import Script
    from fake_runner.triggers import Mark


@fault(ENTRIES, "R", traits="per_device remembers", seed=whole(0, 0, 2**32), percent=whole(10, 1, 100))
def memory_drift(script: Script, *, device: str, marks: Sequence[Mark], seed: int, percent: int) -> None:
    """At each start up to so many `percent` of the free memory are taken; the `seed` decides."""
    for entry in script.entries:
        if device in ("", entry.gpu):
            taken = fraction(f"{seed} {entry.gpu} {len(marks)}") * percent / 100
            entry.wire["free_memory"] = int(bytes_of(entry.wire, "free_memory") * (1 - taken))


@fault(ENTRIES, "EVR", traits="per_device remembers")
def memory_frozen(script: Script, *, device: str, marks: Sequence[Mark]) -> None:
    """Free memory stays what it was at the first start, whatever the host file says later."""
    for entry in script.entries:
        if device in ("", entry.gpu):
            known = [free for mark in marks if (free := free_of(mark, entry.gpu)) is not None]
            if known:
                entry.wire["free_memory"] = known[0]


@fault(ENTRIES, "EVR", traits="per_device remembers", calls=whole(1, 1, 1000))
def memory_lag(script: Script, *, device: str, marks: Sequence[Mark], calls: int) -> None:
    """Memory that was taken still looks taken for so many `calls` after it has become free."""
    for entry in script.entries:
        if device in ("", entry.gpu):
            recent = [free_of(mark, entry.gpu) for mark in marks[-calls - 1 :]]
            now = bytes_of(entry.wire, "free_memory")
            entry.wire["free_memory"] = min([now, *(free for free in recent if free is not None)])


def free_of(mark: Mark, gpu: str) -> int | None:
    """The free memory of a GPU as it truly was at some start; None when the GPU was not listed then."""
    free = mark["free"]
    assert isinstance(free, dict)
    found = free.get(gpu)
    return found if isinstance(found, int) else None
