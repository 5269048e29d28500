"""Live progress on stderr while runners are at work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from pytest_gpudiscover.cli import sentences
from pytest_gpudiscover.cli.streams import at_terminal
from pytest_gpudiscover.recording import Observer, Progress


@contextmanager
def live_progress(*, wanted: bool) -> Iterator[Observer | None]:
    """Show one line that follows the probes and disappears at the end.

    Args:
        wanted: False: show nothing, because somebody else writes to stderr or nobody looks.

    Yields:
        what a `Discovery` tells of its probes, from any thread; None when nothing is shown. On a terminal
        that cannot erase what it wrote, rich shows nothing by itself.
    """
    # Not rich's own idea of a terminal: FORCE_COLOR makes it see one in every pipe.
    if not (wanted and at_terminal()):
        yield None
        return
    console = Console(stderr=True, markup=False, highlight=False)
    spinner = "line" if console.options.ascii_only else "dots"
    with console.status(Text("looking for GPUs"), spinner=spinner) as status:

        def follow(now: Progress) -> None:
            status.update(Text(sentences.progress(now)))

        yield follow
