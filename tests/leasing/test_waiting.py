"""Waiting for a lease: a clock that only passes while somebody sleeps, so that nobody does."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lessees import GIB, cards, enter
from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.errors import BookError, LeaseError, LeaseTimeoutError, UnmetLeaseError
from pytest_gpudiscover.leasing.book import Book, Entry, Ticket, holder_here
from pytest_gpudiscover.leasing.leases import Lease
from pytest_gpudiscover.leasing.waiting import acquire
from pytest_gpudiscover.masks import CUDA, ROCR, UserMasks
from pytest_gpudiscover.requirements import Requirement

CARDS = cards(3)
PCI = [f"pci 0000:0{number}:00.0" for number in range(3)]


class Clock:
    """Time that passes when somebody sleeps; at set times something happens."""

    def __init__(self, events: dict[float, Callable[[], object]] | None = None) -> None:
        self.now = 100.0
        self.slept: list[float] = []
        self._events = {self.now + after: event for after, event in (events or {}).items()}

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        for due in [due for due in self._events if due <= self.now]:
            self._events.pop(due)()


@contextmanager
def held(book: Book, card: str) -> Iterator[Ticket]:
    """A card that somebody else holds."""
    ticket = enter(book, card, purpose="test_other")
    assert ticket.grant()
    yield ticket
    ticket.release()


def taken(book: Book, devices: Collection[DeviceInfo] = CARDS, **arguments: Any) -> Lease:
    """A lease, of one card where nothing else is said."""
    requirement = Requirement(count=arguments.pop("count", 1), min_memory=arguments.pop("min_memory", None))
    settings: dict[str, Any] = {
        "share": False,
        "masks": UserMasks.read({}, "linux"),
        "holder": holder_here("test_it"),
        "timeout": 60.0,
        "clock": Clock(),
    }
    return acquire(book, requirement, [*devices], **(settings | arguments))


def test_a_lease_says_what_is_held_and_how_to_see_it(book: Book) -> None:
    rocm = DeviceInfo(library="ROCm", id="GPU-r", pci_id="0000:09:00.0", total_memory=GIB)
    with taken(book, count=2, everything=[*CARDS, rocm]) as lease:
        assert lease.devices == tuple(CARDS[:2])
        assert lease.cards == tuple(PCI[:2])
        assert lease.env == {CUDA: "GPU-0,GPU-1", ROCR: ""}
        assert lease.torch_devices == ("cuda:0", "cuda:1")
        assert lease.memory is None
        assert lease.waited == 0
        (entry,) = book.entries()
        assert (entry.needs, entry.names[PCI[0]]) == ("2 devices", "CUDA NVIDIA L4 GPU-0")
        assert entry.capacities[PCI[0]] == 23 * GIB
    assert book.entries() == []


def test_the_devices_are_in_the_order_of_the_discovery_whatever_came_free_first(book: Book) -> None:
    with held(book, PCI[1]), taken(book, count=2) as lease:
        assert lease.devices == (CARDS[0], CARDS[2])
    share = enter(book, PCI[0], memory=1, room=23 * GIB)
    share.grant()
    with taken(book, CARDS[:2], count=2, min_memory=GIB, share=True) as lease:
        assert lease.devices == (CARDS[0], CARDS[1])
    share.release()


def test_shares_are_of_the_memory_that_was_asked_for(book: Book) -> None:
    with (
        taken(book, CARDS[:1], min_memory=12 * GIB, share=True) as one,
        taken(book, CARDS[:1], min_memory=11 * GIB, share=True) as other,
    ):
        assert (one.memory, other.memory) == (12 * GIB, 11 * GIB)
        with pytest.raises(LeaseTimeoutError):
            taken(book, CARDS[:1], min_memory=GIB, share=True, timeout=0.0)


def test_who_waits_gets_the_card_when_it_is_free_and_knows_how_long_that_took(book: Book) -> None:
    with held(book, PCI[0]) as holder:
        clock = Clock({3.0: holder.release})
        with taken(book, CARDS[:1], clock=clock) as lease:
            assert lease.waited == pytest.approx(3.1, abs=0.15)


def test_between_two_questions_lies_a_tenth_of_the_time_waited(book: Book) -> None:
    clock = Clock()
    with held(book, PCI[0]), pytest.raises(LeaseTimeoutError):
        taken(book, CARDS[:1], timeout=10.0, clock=clock)
    assert clock.slept[0] == 0.02
    assert clock.slept == sorted(clock.slept[:-1]) + clock.slept[-1:]
    assert max(clock.slept) == 0.2
    assert clock.now == pytest.approx(110.0)


def test_who_has_many_before_him_asks_more_rarely(book: Book) -> None:
    clock, far_back = Clock(), Clock()
    with held(book, PCI[0]), held(book, PCI[1]):
        line = [enter(book, PCI[0]) for _ in range(8)]
        elsewhere = [enter(book, PCI[1]) for _ in range(8)]
        with pytest.raises(LeaseTimeoutError):
            taken(book, CARDS[:1], timeout=5.0, clock=clock)
        line += [enter(book, PCI[0]) for _ in range(80)]
        with pytest.raises(LeaseTimeoutError):
            taken(book, CARDS[:1], timeout=5.0, clock=far_back)
        for ticket in (*line, *elsewhere):
            ticket.release()
    assert clock.slept[0] == pytest.approx(0.06)
    assert max(clock.slept) == pytest.approx(0.6)
    assert max(far_back.slept) == 2.0


def test_waiting_is_told_after_a_second_and_then_every_ten(book: Book) -> None:
    told: list[tuple[float, list[str]]] = []

    def tell(waited: float, in_the_way: list[Entry]) -> None:
        told.append((waited, [entry.holder.purpose for entry in in_the_way]))

    with held(book, PCI[0]), pytest.raises(LeaseTimeoutError):
        taken(book, CARDS[:1], timeout=25.0, waiting=tell)
    assert [round(waited) for waited, _ in told] == [1, 11, 21]
    assert all(purposes == ["test_other"] for _, purposes in told)


def test_who_need_not_wait_long_is_told_nothing(book: Book) -> None:
    def tell(waited: float, in_the_way: list[Entry]) -> None:
        pytest.fail("told")

    with held(book, PCI[0]) as holder:
        taken(book, CARDS[:1], clock=Clock({0.5: holder.release}), waiting=tell).release()


def test_waiting_ends_with_who_holds_what_and_leaves_no_ticket(book: Book) -> None:
    with held(book, PCI[0]) as holder:
        with pytest.raises(LeaseTimeoutError) as raised:
            taken(book, CARDS[:1], timeout=2.5)
        assert [entry.number for entry in book.entries()] == [holder.number]
    assert str(raised.value).startswith("waited 2.5 s in vain for 1 device: test_other (pid ")
    assert " holds pci 0000:00:00.0 for 0 s" in str(raised.value)
    assert (raised.value.needed, raised.value.timeout) == ("1 device", 2.5)


def test_those_who_wait_before_us_are_named_too(book: Book) -> None:
    with held(book, PCI[0]):
        before = enter(book, PCI[0], purpose="test_before")
        with pytest.raises(
            LeaseTimeoutError, match=r"test_other .* holds .*; test_before .* waits for 1 of pci"
        ):
            taken(book, CARDS[:1], timeout=0.0)
        before.release()


def test_without_a_timeout_there_is_no_end(book: Book) -> None:
    with held(book, PCI[0]) as holder:
        lease = taken(book, CARDS[:1], timeout=None, clock=Clock({100.0: holder.release}))
        assert lease.waited > 100
        lease.release()


def test_with_no_time_to_wait_a_free_card_is_still_taken(book: Book) -> None:
    taken(book, timeout=0.0).release()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ZeroDivisionError])
def test_whatever_interrupts_the_wait_leaves_no_ticket(book: Book, error: type[BaseException]) -> None:
    def interrupt() -> None:
        raise error

    with held(book, PCI[0]) as holder:
        with pytest.raises(error):
            taken(book, CARDS[:1], clock=Clock({1.0: interrupt}))
        assert [entry.number for entry in book.entries()] == [holder.number]
        assert len([*book.directory.glob("*.json")]) == 1


def test_a_card_that_breaks_while_we_wait_is_no_longer_waited_for(book: Book) -> None:
    broken: set[str] = set()
    clock = Clock({1.0: lambda: broken.add(PCI[0])})
    with held(book, PCI[0]), held(book, PCI[1]) as other:
        clock._events[102.0] = other.release
        with taken(book, CARDS[:2], clock=clock, without=lambda: broken) as lease:
            assert lease.cards == (PCI[1],)
    broken.add(PCI[1])
    with pytest.raises(UnmetLeaseError, match="CUDA NVIDIA L4 GPU-0, CUDA NVIDIA L4 GPU-1"):
        taken(book, CARDS[:2], without=lambda: broken)
    assert book.entries() == []


def test_what_is_not_there_is_not_waited_for(book: Book) -> None:
    with pytest.raises(UnmetLeaseError, match="4 devices cannot be held here: needed: 4 devices; usable: 3"):
        taken(book, count=4)
    assert not book.directory.exists()


@pytest.mark.parametrize(
    "error",
    [
        BookError("/tmp/x", "No space left on device"),
        UnmetLeaseError("2 devices", ("usable: 1 of 1 device",)),
        LeaseTimeoutError("1 device", 600.0, ("test_a holds CUDA L4 for 3 s",)),
        LeaseTimeoutError("1 device", 600.0, ()),
    ],
)
def test_errors_survive_the_way_from_a_worker(error: LeaseError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (copy.args, str(copy), vars(copy)) == (error.args, str(error), vars(error))
