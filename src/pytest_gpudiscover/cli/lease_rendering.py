"""Leases on a terminal. Every text is a `Text`, so that nothing from outside is read as markup."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from pytest_gpudiscover.cli.holding import NOTHING, Holding, holding
from pytest_gpudiscover.cli.rendering import plain_table
from pytest_gpudiscover.leasing.tickets import Entry

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

_GAPS = 5
"""Blanks between three columns, and behind the last."""


def shown_leases(
    entries: Sequence[Entry], console: Console, *, now: float, host: str
) -> Iterator[RenderableType]:
    """What `gpudiscover leases` prints.

    Args:
        entries: every ticket, in order.
        console: where it is printed.
        now: seconds since the epoch.
        host: where we are, as `Holder.host` has it.
    """
    held = [holding(entry, now=now, host=host) for entry in entries if entry.since is not None]
    waiting = [holding(entry, now=now, host=host) for entry in entries if entry.since is None]
    if not entries:
        yield Text(NOTHING)
    if held:
        yield _table(("Held for", "GPUs", "Since"), held, console)
    if held and waiting:
        yield Text()
    if waiting:
        yield _table(("Waiting", "Needs", "Since"), waiting, console)


def _table(titles: tuple[str, str, str], holdings: Sequence[Holding], console: Console) -> Table:
    who, what, since = titles
    table = plain_table(console)
    table.add_column(who, overflow="fold", max_width=_room_for_who(holdings, console.width))
    table.add_column(what, overflow="fold")
    table.add_column(since, no_wrap=True)
    for one in holdings:
        table.add_row(
            Text.assemble((one.purpose, "bold"), "\n", (one.who, "dim")),
            Text("\n".join(one.what), "green"),
            Text.assemble(one.since, "\n", (one.duration, "dim")),
            end_section=one is not holdings[-1],
        )
    return table


def _room_for_who(holdings: Sequence[Holding], width: int) -> int:
    """The width of the first column that leaves a UUID in the second one on its line, where that can be."""
    longest = max((len(word) for one in holdings for line in one.what for word in line.split()), default=0)
    times = max(len(text) for one in holdings for text in (one.since, one.duration))
    return width - min(longest, width // 2) - times - _GAPS
