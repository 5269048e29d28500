"""Reports on a terminal: what the rows and sentences look like.

Every text is a `Text`, so that nothing from outside is read as markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD, Box
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pytest_gpudiscover.cli import sentences
from pytest_gpudiscover.cli.rejections import Entry, Fact, Group, groups
from pytest_gpudiscover.cli.rows import Row, row
from pytest_gpudiscover.explaining import unmet
from pytest_gpudiscover.reports import Report
from pytest_gpudiscover.requirements import Requirement
from pytest_gpudiscover.text import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_SIMPLE_HEAD_ASCII = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)

_LINE_LIMIT = 1000
_FLAT = ("Library", "Variant", "Device", "ID", "Compute", "Driver", "Free GiB", "PCI ID")
_STACKED = (("Library", "variant"), ("Device", "id"), ("Compute", "driver"), ("Free GiB", "PCI id"))


def shown_report(report: Report, console: Console) -> Iterator[RenderableType]:
    """What `gpudiscover list` prints."""
    rows = [row(device) for device in report.devices]
    if rows:
        yield device_table(rows, console)
    yield from _nothing_found(report)
    yield Text()
    yield Text(sentences.summary(report), style="bold")
    if masks := sentences.masks(report):
        yield Text(masks, style="yellow")
    yield from _groups(report)


def shown_check(requirement: Requirement, report: Report) -> Iterator[RenderableType]:
    """What `gpudiscover check` prints: the devices that do, or every reason why they do not."""
    reasons = unmet(requirement, report)
    if not reasons:
        yield from _verdict(("Met", "bold green"), sentences.met(requirement, report))
        return
    yield from _verdict(("Not met", "bold red"), reasons)
    yield from _nothing_found(report)
    yield from _groups(report)


def _verdict(word: tuple[str, str], lines: Sequence[str]) -> Iterator[RenderableType]:
    first, *others = (printable(line, _LINE_LIMIT) for line in lines)
    yield Text.assemble(word, f", {first}")
    for line in others:
        yield _item(Text(line))


def _nothing_found(report: Report) -> Iterator[RenderableType]:
    for number, sentence in enumerate(sentences.nothing_found(report)):
        yield Text(sentence, style="yellow" if number == 0 else "")


def _groups(report: Report) -> Iterator[RenderableType]:
    for group in groups(report):
        yield Text()
        yield from _shown_group(group)


def device_table(rows: Sequence[Row], console: Console) -> Table:
    """One line for each device where that fits, else two."""
    flat = _flat_table(rows, console)
    fits = Measurement.get(console, console.options.update(width=10_000), flat).maximum <= console.width
    return flat if fits else _stacked_table(rows, console)


def _flat_table(rows: Iterable[Row], console: Console) -> Table:
    table = plain_table(console)
    for title in _FLAT:
        table.add_column(title, overflow="fold")
    for one in rows:
        first, second = _halves(one)
        table.add_row(*(cell for pair in zip(first, second, strict=True) for cell in pair))
    return table


def _stacked_table(rows: Sequence[Row], console: Console) -> Table:
    table = plain_table(console)
    for upper, lower in _STACKED:
        table.add_column(Text.assemble(upper, "\n", (lower, "not bold dim")), overflow="fold")
    for one in rows:
        first, second = _halves(one)
        table.add_row(*first)
        # Two rows, so that a product name on two lines does not push the lower half of its neighbours apart.
        table.add_row(*second, style="dim", end_section=one is not rows[-1])
    return table


def plain_table(console: Console) -> Table:
    """A table with nothing but a rule below its titles, in whatever characters the console has."""
    box = _SIMPLE_HEAD_ASCII if console.options.ascii_only else SIMPLE_HEAD
    return Table(box=box, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))


def _halves(one: Row) -> tuple[tuple[Text, ...], tuple[Text, ...]]:
    """What matters first, and what matters second."""
    first = (
        Text(one.library, "cyan"),
        Text(one.description, "bold"),
        Text(one.compute),
        Text(one.memory, "green"),
    )
    return first, tuple(Text(cell) for cell in (one.variant, one.id, one.driver, one.pci_id))


def _shown_group(group: Group) -> Iterator[RenderableType]:
    yield Text(group.title, style="dim" if group.dull else "bold red")
    for entry in group.entries:
        for subject in entry.subjects:
            yield _item(Text(subject, style="dim" if group.dull else "bold"))
        for line in _facts(entry, dull=group.dull):
            yield Padding(line, (0, 0, 0, 4), expand=False)


def _item(text: Text) -> RenderableType:
    """A list item: a long one goes on below its own first word."""
    item = Table.grid(padding=(0, 1, 0, 0))
    item.add_row(Text("-", style=text.style), text)
    return item


def _facts(entry: Entry, *, dull: bool) -> Iterator[Text]:
    for fact in entry.facts:
        yield _fact(fact, dull=dull)
    if entry.usable_through:
        yield Text(f"usable all the same, through {entry.usable_through}", style="green")


def _fact(fact: Fact, *, dull: bool) -> Text:
    where = f" ({fact.where})" if fact.where else ""
    return Text.assemble(
        (fact.reason, "" if dull else "red"), f"{where}: {fact.sentence}", style="dim" if dull else ""
    )
