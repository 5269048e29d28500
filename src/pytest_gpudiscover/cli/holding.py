"""The leases of a machine, as JSON and as the words of a table. Pure: no terminal here."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pytest_gpudiscover.leasing.tickets import Entry
from pytest_gpudiscover.leasing.wording import duration
from pytest_gpudiscover.text import exact_unit, in_unit, printable

NOTHING = "No GPU is held, and nobody waits for one."

_PURPOSE_LIMIT = 120
"""Characters of a command or a test in the table; `--json` has more."""
_A_DAY = 24 * 60 * 60


@dataclass(frozen=True, kw_only=True)
class Holding:
    """One ticket in words.

    Attributes:
        purpose: what the GPUs are held, or wanted, for.
        who: the process, and the user behind it.
        what: the GPUs, each in words, and how much of them; of one that waits, what it needs.
        since: the time of day, or the date when it is not of the last 24 hours.
        duration: how long that is ago.
    """

    purpose: str
    who: str
    what: tuple[str, ...]
    since: str
    duration: str


def holding(entry: Entry, *, now: float, host: str) -> Holding:
    """Put a ticket into words.

    Args:
        entry: the ticket.
        now: seconds since the epoch.
        host: where we are; a holder elsewhere, in another container say, is named with its host.
    """
    began = entry.asked if entry.since is None else entry.since
    holder = entry.holder
    elsewhere = f" on {holder.host}" if holder.host != host else ""
    return Holding(
        purpose=printable(holder.purpose or "a process", _PURPOSE_LIMIT),
        who=f"pid {holder.pid} of {holder.user}{elsewhere}",
        what=(entry.needs,) if entry.since is None else _held(entry),
        since=_moment(began, now),
        duration=duration(now - began),
    )


def _held(entry: Entry) -> tuple[str, ...]:
    memory = entry.wish.memory
    each = " each" if len(entry.cards) > 1 else ""
    share = () if memory is None else (f"({in_unit(memory, exact_unit(memory))}{each}, shared)",)
    return (*(gpu["name"] for gpu in _gpus(entry)), *share)


def _moment(when: float, now: float) -> str:
    try:
        return time.strftime("%H:%M:%S" if now - when < _A_DAY else "%Y-%m-%d", time.localtime(when))
    except (ValueError, OverflowError, OSError):  # anybody can write a ticket, with any number in it
        return "unknown"


def to_json(entries: Iterable[Entry], schema: int) -> dict[str, Any]:
    """What `gpudiscover leases --json` prints: Unix time in seconds, memory in bytes of each GPU."""
    listed = list(entries)
    return {
        "schema": schema,
        "held": [_ticket(entry) for entry in listed if entry.since is not None],
        "waiting": [_ticket(entry) for entry in listed if entry.since is None],
    }


def _ticket(entry: Entry) -> dict[str, Any]:
    holder = entry.holder
    return {
        "ticket": entry.number,
        "pid": holder.pid,
        "user": holder.user,
        "host": holder.host,
        "purpose": holder.purpose,
        "run": holder.run,
        "needs": entry.needs,
        "memory": entry.wish.memory,
        "asked": entry.asked,
        "since": entry.since,
        "gpus": _gpus(entry),
    }


def _gpus(entry: Entry) -> list[dict[str, str]]:
    return [
        {"card": printable(card), "name": entry.names.get(card) or printable(card)} for card in entry.cards
    ]
