"""Sentences about who holds what and who waits, for those who wait behind them.

Pure: the time is an argument.
"""

from __future__ import annotations

from collections.abc import Iterable

from pytest_gpudiscover.leasing.tickets import Entry, Holder
from pytest_gpudiscover.text import exact_unit, in_unit, printable


def in_the_way_in_words(entries: Iterable[Entry], *, now: float, host: str = "") -> list[str]:
    """Say of each ticket what it holds or waits for, and for how long.

    Args:
        entries: as `Ticket.in_the_way` lists them.
        now: seconds since the epoch.
        host: where we are; a holder elsewhere, in another container say, is named with its host.
    """
    return [_in_words(entry, now, host) for entry in entries]


def _in_words(entry: Entry, now: float, host: str) -> str:
    who = in_words(entry.holder, host)
    if entry.since is None:
        return f"{who} waits for {entry.needs} for {duration(now - entry.asked)}"
    return f"{who} holds {held(entry)} for {duration(now - entry.since)}"


def in_words(holder: Holder, host: str = "") -> str:
    """Say who somebody is: `tests/test_a.py::test_b (pid 123 of alice)`."""
    elsewhere = f" on {holder.host}" if holder.host != host else ""
    return f"{holder.purpose or 'a process'} (pid {holder.pid} of {holder.user}{elsewhere})"


def held(entry: Entry) -> str:
    """Say what a ticket holds: `CUDA NVIDIA L4 GPU-1fd4`, or `8.0 GiB of ...`."""
    cards = ", ".join(entry.names.get(card) or printable(card) for card in entry.cards)
    memory = entry.wish.memory
    return cards if memory is None else f"{in_unit(memory, exact_unit(memory))} of {cards}"


def duration(seconds: float) -> str:
    """Show a duration by its size: `7 s`, `4 min`, `2 h 5 min`; a clock that was set back gives `0 s`."""
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    minutes = whole // 60
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
