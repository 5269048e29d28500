"""Wording: who holds what, for those who wait."""

from __future__ import annotations

import pytest

from pytest_gpudiscover.leasing.arbitration import Wish
from pytest_gpudiscover.leasing.tickets import Entry, Holder
from pytest_gpudiscover.leasing.wording import duration, held, in_the_way_in_words, in_words

HOLDER = Holder(pid=12, user="alice", host="lab", purpose="tests/test_a.py::test_b")
WISH = Wish(alternatives=(("pci 0", "pci 1"),), count=1)
HOLDS = Entry(
    number=1,
    holder=HOLDER,
    asked=900.0,
    wish=WISH,
    cards=("pci 0", "pci 1"),
    since=1000.0,
    names={"pci 0": "CUDA NVIDIA L4 GPU-a"},
)
SHARES = Entry(
    number=2,
    holder=HOLDER,
    asked=900.0,
    wish=Wish(alternatives=(("pci 0",),), count=1, memory=8 << 30),
    cards=("pci 0",),
    since=1000.0,
)
WAITS = Entry(number=3, holder=HOLDER, asked=940.0, wish=WISH, needs="1 CUDA device")


def test_it_is_said_who_holds_what_and_for_how_long() -> None:
    assert in_the_way_in_words([HOLDS, SHARES, WAITS], now=1042.4, host="lab") == [
        "tests/test_a.py::test_b (pid 12 of alice) holds CUDA NVIDIA L4 GPU-a, pci 1 for 42 s",
        "tests/test_a.py::test_b (pid 12 of alice) holds 8.0 GiB of pci 0 for 42 s",
        "tests/test_a.py::test_b (pid 12 of alice) waits for 1 CUDA device for 102 s",
    ]


def test_a_holder_in_another_container_is_named_with_it() -> None:
    assert in_words(HOLDER, "build-7") == "tests/test_a.py::test_b (pid 12 of alice on lab)"


def test_a_holder_without_a_purpose_is_a_process() -> None:
    assert in_words(Holder(pid=1, user="bob", host="", purpose="")) == "a process (pid 1 of bob)"


def test_a_card_without_a_name_is_shown_safely() -> None:
    evil = Entry(number=1, holder=HOLDER, asked=0, wish=WISH, cards=("a\x1b[2J",), since=0)
    assert held(evil) == r"a\x1b[2J"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "0 s"), (0.4, "0 s"), (119.4, "119 s"), (120, "2 min"), (3599, "59 min"), (7500, "2 h 5 min")],
)
def test_a_duration_is_shown_by_its_size(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
