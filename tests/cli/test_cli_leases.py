"""`gpudiscover leases`: who holds what and who waits, in words, in JSON, on a terminal."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from pytest_gpudiscover.cli.holding import holding, to_json
from pytest_gpudiscover.cli.lease_rendering import shown_leases
from pytest_gpudiscover.leasing.arbitration import Wish
from pytest_gpudiscover.leasing.book import Entry, Holder, book_for, holder_here, machine_of
from pytest_gpudiscover.simulation import FakeHost

Command = Callable[..., subprocess.CompletedProcess[str]]

NOW = time.mktime((2026, 3, 14, 15, 9, 26, 0, 0, -1))
FIRST, SECOND = "pci 0000:01:00.0", "pci 0000:02:00.0"
UUID = "GPU-5d2a7c0e-93b1-4f6e-8a47-1c60e2b9d384"
NAMES = {FIRST: f"CUDA NVIDIA GeForce RTX 4090 {UUID}", SECOND: "ROCm AMD Radeon RX 7900 XTX 0"}
HELD = Entry(
    number=1,
    holder=Holder(pid=4711, user="ann", host="here", purpose="python train.py --epochs 3"),
    asked=NOW - 400,
    wish=Wish(alternatives=((FIRST, SECOND),), count=2),
    needs="2 devices",
    cards=(FIRST, SECOND),
    since=NOW - 300,
    names=NAMES,
)
WAITING = Entry(
    number=2,
    holder=Holder(pid=4712, user="bob", host="elsewhere", purpose="tests/test_a.py::test_b", run="abc"),
    asked=NOW - 60,
    wish=Wish(alternatives=((FIRST,),), count=1),
    needs="1 CUDA device",
    names=NAMES,
)


def shared(entry: Entry, memory: int) -> Entry:
    return replace(entry, wish=replace(entry.wish, memory=memory))


def shown(*entries: Entry, width: int = 80) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, color_system=None, markup=False, highlight=False)
    for renderable in shown_leases(entries, console, now=NOW, host="here"):
        console.print(renderable)
    return file.getvalue()


def test_what_is_held_is_named_with_its_holder_and_the_time() -> None:
    said = holding(HELD, now=NOW, host="here")
    assert (said.purpose, said.who) == ("python train.py --epochs 3", "pid 4711 of ann")
    assert said.what == (NAMES[FIRST], NAMES[SECOND])
    assert (said.since, said.duration) == ("15:04:26", "5 min")


def test_who_waits_says_what_for_and_since_he_asked() -> None:
    said = holding(WAITING, now=NOW, host="elsewhere")
    assert (said.what, said.since, said.duration) == (("1 CUDA device",), "15:08:26", "60 s")


def test_a_holder_in_another_container_is_named_with_its_host() -> None:
    assert holding(WAITING, now=NOW, host="here").who == "pid 4712 of bob on elsewhere"


def test_a_share_says_how_much_of_each() -> None:
    both = shared(HELD, 8 << 30)
    assert holding(both, now=NOW, host="").what[-1] == "(8.0 GiB each, shared)"
    one = replace(both, cards=(FIRST,))
    assert holding(one, now=NOW, host="").what == (NAMES[FIRST], "(8.0 GiB, shared)")


def test_what_began_on_another_day_says_which() -> None:
    old = replace(HELD, since=NOW - 24 * 60 * 60)
    assert holding(old, now=NOW, host="").since == "2026-03-13"


@pytest.mark.parametrize("since", [1e300, -1e300, 1e15])
def test_a_ticket_that_somebody_made_up_is_shown_all_the_same(since: float) -> None:
    made_up = replace(HELD, since=since, cards=("\x1b[2J",), names={}, needs="")
    assert "\x1b" not in shown(made_up)
    assert "python train.py" in shown(made_up, replace(made_up, since=None))


def test_json_has_every_fact_and_keeps_holders_and_waiters_apart() -> None:
    found = to_json([HELD, WAITING], 1)
    assert found["schema"] == 1
    assert [set(ticket) for ticket in (*found["held"], *found["waiting"])] == [
        {"ticket", "pid", "user", "host", "purpose", "run", "needs", "memory", "asked", "since", "gpus"}
    ] * 2
    (held,), (waiting,) = found["held"], found["waiting"]
    assert (held["ticket"], held["pid"], held["since"], held["memory"]) == (1, 4711, NOW - 300, None)
    assert held["gpus"] == [{"card": card, "name": NAMES[card]} for card in (FIRST, SECOND)]
    assert (waiting["ticket"], waiting["run"], waiting["since"], waiting["gpus"]) == (2, "abc", None, [])
    assert to_json([shared(HELD, 5)], 1)["held"][0]["memory"] == 5


def test_every_fact_is_whole_at_80_columns() -> None:
    text = shown(HELD, WAITING)
    facts = (
        "pid 4711 of ann",
        UUID,
        NAMES[SECOND],
        "15:04:26",
        "5 min",
        "test_a.py::test_b",
        "1 CUDA device",
    )
    assert [fact for fact in facts if fact not in text] == []
    assert text.index(UUID) < text.index("Waiting") < text.index("1 CUDA device")


def test_a_long_command_does_not_break_a_uuid_at_80_columns() -> None:
    long = replace(HELD, holder=replace(HELD.holder, purpose="python train.py " + "--option value " * 6))
    assert UUID in shown(long)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("entries", [(HELD,), (WAITING,), (HELD, WAITING)])
def test_nothing_is_wider_than_the_terminal(width: int, entries: Sequence[Entry]) -> None:
    long = [replace(one, holder=replace(one.holder, purpose="z" * 300)) for one in entries]
    assert max(map(len, shown(*long, width=width).splitlines())) <= width


def test_square_brackets_from_outside_are_no_markup() -> None:
    bold = replace(HELD, holder=replace(HELD.holder, purpose="[bold]x[/bold]"))
    assert "[bold]x[/bold]" in shown(bold)


def test_where_nothing_is_held_a_sentence_says_so_and_nothing_is_made(
    gpudiscover: Command, leases: Path
) -> None:
    done = gpudiscover("leases")
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "No GPU is held, and nobody waits for one.\n",
        "",
    )
    assert json.loads(gpudiscover("leases", "--json").stdout) == {"schema": 1, "held": [], "waiting": []}
    assert not leases.exists()


def test_leases_are_listed_without_a_discovery(gpudiscover: Command, tmp_path: Path) -> None:
    host = FakeHost.of("RTX 4090").save(tmp_path / "host.json")
    book = book_for(machine_of(host.installation()), tmp_path / "there")
    wish = Wish(alternatives=((FIRST,),), count=1)
    ticket = book.enter(wish, holder_here("a test"), needs="1 device", capacities={}, names=NAMES)
    assert ticket.grant()
    options = ("--leases", str(tmp_path / "there"), "--runner", "fake")
    done = gpudiscover("leases", *options, FAKE_RUNNER_HOST=str(host.path), COLUMNS="80")
    assert (done.returncode, done.stderr) == (0, "")
    assert UUID in done.stdout
    assert host.calls == ()
    ticket.release()
    done = gpudiscover("leases", *options, FAKE_RUNNER_HOST=str(host.path))
    assert done.stdout == "No GPU is held, and nobody waits for one.\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows asks the directory above first")
def test_leases_that_cannot_be_read_are_2_in_one_line(gpudiscover: Command, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = gpudiscover("leases", "--leases", str(tmp_path / "file" / "leases"))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "GPUDISCOVER_LEASES" in done.stderr
