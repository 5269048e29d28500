"""Leases, with real processes on the cards of this machine."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pytest_gpudiscover.explaining import why_none
from pytest_gpudiscover.hardware.machine import Machine
from pytest_gpudiscover.hardware.talking import PATIENCE, Program
from pytest_gpudiscover.leasing.book import Book, Entry, book_for, machine_of
from pytest_gpudiscover.leasing.cards import card_name
from pytest_gpudiscover.leasing.reach import everything_listed, within_reach
from pytest_gpudiscover.leasing.showing import lease_env
from pytest_gpudiscover.masks import VARIABLES
from pytest_gpudiscover.plugin.refusing import refuse

_POLL = 0.05
"""Seconds between two looks into the book."""
_CLAIMANT = f"""
import json, os, sys
print(json.dumps({{name: os.environ[name] for name in {VARIABLES!r} if name in os.environ}}), flush=True)
sys.stdin.readline()
"""

Start = Callable[[int], Program]


@pytest.fixture
def book(machine: Machine, tmp_path: Path) -> Book:
    """A book of the test's own: it takes no card from anybody."""
    return book_for(machine_of(machine.session.installation), tmp_path)


@pytest.fixture
def start(machine: Machine, tmp_path: Path) -> Iterator[Start]:
    """Starts a process that holds so many GPUs, says which masks it was given, and ends at a word."""
    with ExitStack() as programs:

        def claimant(gpus: int) -> Program:
            options = ("--leases", str(tmp_path), "--gpus", str(gpus), "--", sys.executable, "-c", _CLAIMANT)
            command = machine.command("run", *options)
            return programs.enter_context(Program(command, machine.session.surroundings.environment))

        yield claimant


def test_two_processes_never_hold_the_same_card(
    machine: Machine, book: Book, start: Start, request: pytest.FixtureRequest
) -> None:
    """With every card held, one more process waits, and gets what the first one gives back."""
    cards = {card_name(device) for device in within_reach(machine.report).devices}
    if not cards:
        refuse(request.config, why_none(machine.report))
    holders = [start(gpus) for gpus in (len(cards) - 1, 1) if gpus]
    said = [holder.hear() for holder in holders]
    assert len({*said}) == len(said), f"two processes were given the same: {said[0]}"
    shown = [json.loads(masks) for masks in said]
    entries = book.entries()
    held = [card for entry in entries for card in entry.cards]
    assert sorted(held) == sorted(cards)
    assert all(masks in [_masks(machine, entry) for entry in entries] for masks in shown)
    late = start(1)
    assert _waiting(book), f"nobody waits, though all of {len(cards)} cards are held"
    assert not late.has_spoken
    (first,) = [entry for entry in entries if _masks(machine, entry) == shown[0]]
    holders[0].say("enough")
    late.hear()
    (heir,) = [entry for entry in book.entries() if entry.number not in {one.number for one in entries}]
    assert set(heir.cards) <= set(first.cards)
    machine.notes.append(f"leases: {len(cards)} cards held by {len(holders)} processes while another waited")


def _masks(machine: Machine, entry: Entry) -> dict[str, str]:
    """What a process must see of the cards that it holds."""
    devices = [device for device in machine.devices if card_name(device) in entry.cards]
    return lease_env(devices, everything_listed(within_reach(machine.report)), machine.session.masks)


def _waiting(book: Book) -> bool:
    """Wait until somebody stands in line."""
    deadline = time.monotonic() + PATIENCE
    while not any(entry.since is None for entry in book.entries()):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True
