"""What is said while `gpudiscover run` waits, where there is no terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_gpudiscover.cli.waiting import shown_waiting
from pytest_gpudiscover.leasing.arbitration import Wish
from pytest_gpudiscover.leasing.book import Entry, holder_here

CARD = "pci 0000:01:00.0"
HOLDER = Entry(
    number=1,
    holder=holder_here("train"),
    asked=0.0,
    wish=Wish(alternatives=((CARD,),), count=1),
    cards=(CARD,),
    since=0.0,
    names={CARD: "CUDA A Card"},
)
WAITER = replace(HOLDER, number=2, holder=holder_here("pytest"), cards=(), since=None, needs="1 device")


@pytest.mark.parametrize(
    ("in_the_way", "said"),
    [
        ([HOLDER], [f": train (pid {HOLDER.holder.pid} of ", "holds CUDA A Card for "]),
        ([HOLDER, WAITER], [" holds CUDA A Card for ", "; pytest (pid ", " waits for 1 device for "]),
        ([], [": nobody is in the way any more\n"]),
    ],
)
def test_a_log_is_told_who_is_in_the_way_in_one_line(
    in_the_way: list[Entry], said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with shown_waiting("2 devices") as watch:
        watch(1.0, in_the_way)
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert text.startswith("gpudiscover: waiting for 2 devices for 1 s: ")
    assert [words for words in said if words not in text] == []


def test_a_log_is_told_what_changes_at_once_and_what_does_not_every_minute(
    capsys: pytest.CaptureFixture[str],
) -> None:
    moments = [
        (1.0, [HOLDER, WAITER]),
        (11.0, [HOLDER, WAITER]),
        (21.0, [HOLDER]),
        (31.0, [replace(HOLDER, since=20.0)]),
        (89.0, [replace(HOLDER, since=20.0)]),
        (91.0, [replace(HOLDER, since=20.0)]),
        (101.0, []),
    ]
    said = []
    with shown_waiting("1 device") as watch:
        for waited, in_the_way in moments:
            watch(waited, in_the_way)
            if capsys.readouterr().err:
                said.append(waited)
    assert said == [1.0, 21.0, 31.0, 91.0, 101.0]
