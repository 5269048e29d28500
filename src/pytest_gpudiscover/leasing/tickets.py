"""Tickets: what stands in a ticket's file, in words that any process of the machine can read.

Pure: bytes in, values out. A file may have been written by anybody: what cannot be read is refused, keys that
are not known are passed over, and no text reaches a terminal as it came.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pytest_gpudiscover.leasing.arbitration import Standing, Wish
from pytest_gpudiscover.text import printable

VERSION = 1
"""Grows when a key changes its meaning; who reads a newer ticket takes from it what can be read."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds or waits, for people to read: nothing is decided by these.

    Attributes:
        pid: of the process, in its own container.
        user: who runs it.
        host: what its machine, or its container, is called.
        purpose: the test's id, or the command.
        run: the uid of the pytest run; "" for none.
    """

    pid: int
    user: str
    host: str
    purpose: str
    run: str = ""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One ticket, as its file says.

    Attributes:
        number: tickets are served in this order.
        holder: whose it is.
        asked: when it was taken, in seconds since the epoch.
        wish: what is wanted.
        needs: the same in words.
        cards: what it holds; empty while it waits.
        since: when it got them, in seconds since the epoch; None while it waits.
        names: by card, what to call it in a sentence.
        capacities: by card, the bytes that shares may take together, as its run sees it.
        passed_on: whether it was left to a command, whose end is no accident.
    """

    number: int
    holder: Holder
    asked: float
    wish: Wish
    needs: str = ""
    cards: tuple[str, ...] = ()
    since: float | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    capacities: Mapping[str, int] = field(default_factory=dict)
    passed_on: bool = False

    @property
    def standing(self) -> Standing:
        """What arbitration needs to know of it."""
        return Standing(ticket=self.number, wish=self.wish, granted=self.cards)


def dumps(entry: Entry) -> bytes:
    """Write a ticket; its number stands in the file's name."""
    wish = entry.wish
    content = {
        "version": VERSION,
        "holder": holder_to_json(entry.holder),
        "asked": entry.asked,
        "wish": {"alternatives": wish.alternatives, "count": wish.count, "memory": wish.memory},
        "needs": entry.needs,
        "cards": entry.cards,
        "since": entry.since,
        "names": dict(entry.names),
        "capacities": dict(entry.capacities),
        "passed_on": entry.passed_on,
    }
    return json.dumps(content).encode("ascii")


@lru_cache(maxsize=512)  # who waits reads the same tickets again and again
def loads(number: int, content: bytes) -> Entry:
    """Read a ticket.

    Raises:
        ValueError: it is none.
    """
    found = json_object(content)
    wish = _object(found, "wish")
    return Entry(
        number=number,
        holder=holder_from_json(_object(found, "holder")),
        asked=_seconds(found, "asked"),
        wish=Wish(
            alternatives=tuple(_texts(cards) for cards in _list(wish.get("alternatives"))),
            count=_count(wish.get("count"), least=1),
            memory=None if wish.get("memory") is None else _count(wish.get("memory")),
        ),
        needs=_text(found, "needs"),
        cards=_texts(found.get("cards")),
        since=None if found.get("since") is None else _seconds(found, "since"),
        names={card: _text(found["names"], card) for card in _object(found, "names")},
        capacities={card: _count(size) for card, size in _object(found, "capacities").items()},
        passed_on=found.get("passed_on") is True,
    )


def holder_to_json(holder: Holder) -> dict[str, Any]:
    """Write who somebody is."""
    return {
        "pid": holder.pid,
        "user": holder.user,
        "host": holder.host,
        "purpose": holder.purpose,
        "run": holder.run,
    }


def holder_from_json(found: Mapping[str, Any]) -> Holder:
    """Read who somebody is.

    Raises:
        ValueError: it does not say.
    """
    return Holder(
        pid=_count(found.get("pid")),
        user=_text(found, "user"),
        host=_text(found, "host"),
        purpose=_text(found, "purpose"),
        run=_text(found, "run"),
    )


def json_object(content: bytes) -> dict[str, Any]:
    """Read an object that anybody may have written.

    Raises:
        ValueError: it is none.
    """
    try:
        found = json.loads(content)
    except RecursionError as error:
        raise ValueError("the file is nested too deeply") from error
    return _object({"file": found}, "file")


def _object(found: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = found.get(key)
    if not isinstance(value, dict):
        raise ValueError(f"{key}: expected an object, got {value!r:.60}")  # noqa: TRY004 - what a file says
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"expected a list, got {value!r:.60}")  # noqa: TRY004 - what a file says
    return value


def _texts(value: object) -> tuple[str, ...]:
    texts = _list(value)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"expected texts, got {texts!r:.60}")
    return tuple(texts)


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{key}: expected a text, got {value!r:.60}")  # noqa: TRY004 - what a file says
    return printable(value)


def _count(value: object, least: int = 0) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"expected {least} or more, got {value!r:.60}")
    return value


def _seconds(found: Mapping[str, Any], key: str) -> float:
    value = found.get(key)
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{key}: expected seconds, got {value!r:.60}")
    return float(value)
