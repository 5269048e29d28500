"""A process of its own that takes leases: it does what each line on stdin says, and answers on stdout.

A line is Python source as a JSON string. What it calls `answer`, or the error it ends with, is the reply.
Started by path: `lease_program.py DIRECTORY [UID]`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from pytest_gpudiscover.leasing.arbitration import Wish
from pytest_gpudiscover.leasing.book import Book, Ticket, holder_here


def enter(*cards: str, count: int = 1, memory: int | None = None, room: int = 24) -> Ticket:
    """Get in line for some of these cards."""
    return book.enter(
        Wish(alternatives=(cards,), count=count, memory=memory),
        holder_here("a test in another process"),
        needs=f"{count} of {', '.join(cards)}",
        capacities=dict.fromkeys(cards, room),
        names={},
    )


def answered(source: str, names: dict[str, Any]) -> Any:
    """Do what the source says."""
    names.pop("answer", None)
    try:
        exec(source, names)
    except Exception as error:
        return {"error": type(error).__name__, "text": str(error)}
    return names.get("answer")


def say(answer: object) -> None:
    """Say something that is JSON."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    book = Book(Path(sys.argv[1]))
    if len(sys.argv) > 2:
        uid = int(sys.argv[2])
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    names: dict[str, Any] = {"book": book, "enter": enter, "os": os, "sys": sys}
    say("ready")
    for line in sys.stdin:
        say(answered(json.loads(line), names))
