"""Tickets: what a file says, whoever wrote it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpudiscover.leasing.arbitration import Standing, Wish
from pytest_gpudiscover.leasing.tickets import Entry, Holder, dumps, loads

HOLDER = Holder(pid=12, user="alice", host="lab", purpose="tests/test_a.py::test_b[é]", run="r1")
ENTRY = Entry(
    number=7,
    holder=HOLDER,
    asked=1000.5,
    wish=Wish(alternatives=(("A", "B"), ("C",)), count=1, memory=8),
    needs="1 device",
    cards=("A",),
    since=1001.0,
    names={"A": "CUDA NVIDIA L4"},
    capacities={"A": 24, "B": 0},
    passed_on=True,
)
WAITING = Entry(number=8, holder=HOLDER, asked=1.0, wish=Wish(alternatives=(("A",),), count=1))

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def content(entry: Entry = ENTRY) -> dict[str, Any]:
    """What stands in a ticket's file."""
    found: dict[str, Any] = json.loads(dumps(entry))
    return found


@pytest.mark.parametrize("entry", [ENTRY, WAITING])
def test_what_is_written_is_read(entry: Entry) -> None:
    assert loads(entry.number, dumps(entry)) == entry


def test_a_newer_ticket_is_read_as_far_as_it_is_known() -> None:
    newer = content() | {"version": 9, "priority": {"deep": []}}
    assert loads(7, json.dumps(newer).encode()) == ENTRY


def test_arbitration_learns_who_wants_what_and_who_has_it() -> None:
    assert ENTRY.standing == Standing(ticket=7, wish=ENTRY.wish, granted=("A",))


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe",
        dumps(ENTRY)[:-20],
        dumps(ENTRY) + b"}",
        b"[" * 100_000,
        b'{"asked": 1' + b"0" * 5000 + b"}",
    ],
    ids=["empty", "cut", "null", "list", "no text", "half", "more", "deep", "long number"],
)
def test_a_file_that_is_no_ticket_is_refused(written: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        loads(7, written)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("holder", None),
        ("holder", {"pid": "12", "user": "", "host": "", "purpose": "", "run": ""}),
        ("holder", {"pid": True, "user": "", "host": "", "purpose": "", "run": ""}),
        ("asked", float("nan")),
        ("asked", "now"),
        ("since", float("inf")),
        ("wish", {"alternatives": "AB", "count": 1, "memory": None}),
        ("wish", {"alternatives": [["A"]], "count": 0, "memory": None}),
        ("wish", {"alternatives": [["A"]], "count": 1, "memory": -1}),
        ("wish", {"alternatives": [["A"]], "count": 1.0, "memory": None}),
        ("cards", "AB"),
        ("cards", [["A"]]),
        ("names", {"A": 1}),
        ("capacities", {"A": -1}),
        ("capacities", []),
    ],
)
def test_a_value_of_another_kind_is_refused(key: str, value: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        loads(7, json.dumps(content() | {key: value}).encode())


@given(st.sampled_from(sorted(content())), VALUES)
def test_nothing_but_a_refusal_comes_of_nonsense(key: str, value: object) -> None:
    written = json.dumps(content() | {key: value}).encode()
    try:
        read = loads(7, written)
    except ValueError:
        return
    assert loads(7, dumps(read)) == read


def test_nothing_reaches_a_terminal_as_it_came() -> None:
    evil = "x\x1b[31m\n" + "y" * 1000
    entry = content() | {
        "holder": {"pid": 1, "user": evil, "host": evil, "purpose": evil, "run": evil},
        "needs": evil,
        "names": {"A": evil},
    }
    read = loads(7, json.dumps(entry).encode())
    who = read.holder
    for shown in (who.user, who.host, who.purpose, who.run, read.needs, read.names["A"]):
        assert shown.isprintable()
        assert len(shown) == 300
