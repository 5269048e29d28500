"""Draw `docs/picture/list.svg`: what `gpudiscover list --runner fake` looks like.

Run it from anywhere, with the project installed: `python docs/picture/make.py`.
"""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from pytest_gpudiscover import discover
from pytest_gpudiscover.choosing import chosen_installation
from pytest_gpudiscover.cli.rendering import shown_report

COMMAND = "gpudiscover list --runner fake"
PICTURE = Path(__file__).with_name("list.svg")
WIDTH = 88
"""Columns: a README shows no more without shrinking the letters."""


def drawn(columns: int) -> str:
    """Discover the simulated machine, and draw its report on a terminal that wide, as SVG."""
    report = discover(chosen_installation("fake"))
    console = Console(
        record=True, width=columns, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(Text.assemble(("$ ", "bold green"), COMMAND, "\n"))
    for renderable in shown_report(report, console):
        console.print(renderable)
    # A fixed name: a random one would change the file with every run.
    return console.export_svg(title=COMMAND, theme=MONOKAI, unique_id="gpudiscover")


if __name__ == "__main__":
    PICTURE.write_text(drawn(WIDTH), encoding="utf-8")
