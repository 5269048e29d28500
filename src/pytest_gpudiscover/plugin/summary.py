"""The lines at the end of a run about what its GPUs did.

Pure: a ledger in, text out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pytest_gpudiscover.plugin.ledger import DeviceUse, Facts, Ledger
from pytest_gpudiscover.text import gibibytes, printable

_FIGURES = "{:>8}{:>11}{:>11}"


def name_of(device: Facts) -> str:
    """The library and the product name of a device: `CUDA NVIDIA L4`."""
    return f"{printable(device['library'], 20)} {printable(device['description'] or device['id'], 60)}"


def table(ledger: Ledger, width: int) -> Iterator[str]:
    """What each device did, a line each, in a table at most `width` wide; nothing where none was leased."""
    uses = ledger.devices()
    if not uses:
        return
    rows = [("device", _FIGURES.format("leases", "held", "waited"))]
    rows += [(name, _row(use)) for name, use in zip(_distinct(uses), uses, strict=True)]
    room = min(max(len(name) for name, _ in rows), width - len(rows[0][1]) - 1)
    for name, figures in rows:
        yield f"{printable(name, room):<{room}}{figures}"


def _row(use: DeviceUse) -> str:
    return _FIGURES.format(use.leases, f"{use.held:.1f} s", f"{use.waited:.1f} s")


def _distinct(uses: list[DeviceUse]) -> list[str]:
    """Names that tell devices apart, by where they are if need be."""
    hosts = len({use.host for use in uses}) > 1
    names = [(f"{use.host}: " if hosts else "") + name_of(use.device) for use in uses]
    seen = Counter(names)
    return [
        f"{use.device['card']}: {name}" if seen[name] > 1 else name
        for name, use in zip(names, uses, strict=True)
    ]


def troubles(ledger: Ledger) -> Iterator[str]:
    """Devices that were lost, and memory that tests left behind, a line each."""
    for lost in ledger.quarantined():
        yield f"lost: {_place(lost)}: {printable(lost['detail'])}"
    for left in ledger.memory_left():
        yield f"left behind by {left['test']}: {gibibytes(left['bytes'])} on {_place(left)}"


def _place(device: Facts) -> str:
    return f"{name_of(device)} ({printable(device['id'], 60)})"
