"""The laws of arbitration, against an oracle that tries every combination of cards.

What each law catches (each was seen to fail on code broken that way):

| law | broken code |
| --- | --- |
| nothing is held twice | a share is not added up; whole cards take shares; grants of one call overlap |
| the first is granted exactly what is possible | only the first alternative is tried; small cards are used |
| who can be met is granted | somebody who can never be met keeps a card |
| who comes later changes nothing | later tickets are served first |
| no more is kept than is needed | every card that is not held is kept |
| nobody who waits is pushed back | nothing is kept, or not what is nearest to being free |
| whoever waits is served | the same, over time: small shares starve who needs two cards, or a whole one |
| everybody is served in the end | a wish is forgotten; two who hold one card each wait for the other |
| the same line gives the same grants | numbers, or the order of the cards' capacities, decide |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, count, cycle, permutations, product

from hypothesis import assume, example, given
from hypothesis import strategies as st

from pytest_gpudiscover.leasing.arbitration import Standing, Wish, arbitrate

Held = list[tuple[tuple[str, ...], int | None]]
"""Who holds what: the cards, and the bytes of each; None: whole."""

CARDS = "ABC"
ROOM = st.sampled_from([dict(zip(CARDS, sizes, strict=True)) for sizes in product([24, 16, 8], repeat=3)])
SOME_CARDS = [cards for size in (3, 2, 1) for cards in permutations(CARDS, size)]
ALTERNATIVES = [(cards,) for cards in SOME_CARDS] + [*product(SOME_CARDS[6:], repeat=2)]
WISHES = st.builds(
    Wish,
    alternatives=st.sampled_from(ALTERNATIVES),
    count=st.sampled_from([1, 2, 3]),
    memory=st.sampled_from([None, 4, 12, 20, None, 0, 30]),
)


def fits(card: str, memory: int | None, held: Held, room: Mapping[str, int]) -> bool:
    """Whether one more lease of a card would be legal: the definition, word for word."""
    there = [bytes_held for cards, bytes_held in held if card in cards]
    if not there:
        return True
    if memory is None or None in there:
        return False
    return sum(size for size in there if size is not None) + memory <= room[card]


def worthwhile(wish: Wish, room: Mapping[str, int]) -> list[tuple[str, ...]]:
    """The sets of cards a wish may end with: none too small for a share, unless all are."""
    sets = [cards for given in wish.alternatives for cards in combinations(given, wish.count)]
    large = [cards for cards in sets if all(room[card] >= (wish.memory or 0) for card in cards)]
    return large or sets


def possible(wish: Wish, held: Held, room: Mapping[str, int]) -> bool:
    """Whether some combination of cards is free for a wish."""
    return any(all(fits(card, wish.memory, held, room) for card in cards) for cards in worthwhile(wish, room))


@st.composite
def crowded(draw: st.DrawFn) -> tuple[list[Standing], dict[str, int]]:
    """A line in which small shares lie on the cards, somebody wants more, and small shares come after him."""
    small = Wish(alternatives=(tuple(CARDS),), count=1, memory=4)
    shares = draw(st.permutations("AAABBC").map(lambda cards: cards[: draw(st.integers(2, 6))]))
    wishes = [draw(WISHES), *[small] * draw(st.integers(1, 3))]
    line = [Standing(ticket=ticket, wish=small, granted=(card,)) for ticket, card in enumerate(shares)]
    line += [Standing(ticket=ticket, wish=wish) for ticket, wish in enumerate(wishes, start=len(line))]
    return line, dict.fromkeys(CARDS, 24)


@st.composite
def mixed(draw: st.DrawFn) -> tuple[list[Standing], dict[str, int]]:
    """A line in which some hold, legally, and some wait, and the room on each card."""
    room = draw(ROOM)
    held: Held = []
    line = []
    for ticket, wish in enumerate(draw(st.lists(WISHES, min_size=1, max_size=8))):
        legal = [
            cards
            for cards in worthwhile(wish, room)
            if all(fits(card, wish.memory, held, room) for card in cards)
        ]
        holds = bool(legal) and draw(st.booleans())
        granted: tuple[str, ...] = draw(st.sampled_from(legal)) if holds else ()
        held.append((granted, wish.memory))
        line.append(Standing(ticket=ticket, wish=wish, granted=granted))
    return line, room


def lines() -> st.SearchStrategy[tuple[list[Standing], dict[str, int]]]:
    """Lines of both kinds."""
    return mixed() | crowded()


def held_by(line: Sequence[Standing], grants: Mapping[int, tuple[str, ...]] = {}) -> Held:
    """What is held once the grants are taken."""
    return [(grants.get(standing.ticket, standing.granted), standing.wish.memory) for standing in line]


def waiting(line: Sequence[Standing], grants: Mapping[int, tuple[str, ...]]) -> list[Standing]:
    """Who waits on, in order."""
    return [standing for standing in line if not standing.granted and standing.ticket not in grants]


@given(lines())
def test_nothing_is_held_twice(drawn: tuple[list[Standing], dict[str, int]]) -> None:
    line, room = drawn
    held = held_by(line)
    for ticket, cards in arbitrate(line, room).items():
        wish = line[ticket].wish
        assert not line[ticket].granted
        assert len(set(cards)) == len(cards) == wish.count
        assert any(set(cards) <= set(alternative) for alternative in wish.alternatives)
        for card in cards:
            assert fits(card, wish.memory, held, room)
        held.append((cards, wish.memory))


@given(lines())
@example(([Standing(ticket=0, wish=Wish(alternatives=(("A",), ("B",)), count=1))], dict.fromkeys(CARDS, 0)))
def test_the_first_who_waits_is_granted_exactly_what_is_possible(
    drawn: tuple[list[Standing], dict[str, int]],
) -> None:
    line, room = drawn
    first = next((standing for standing in line if not standing.granted), None)
    assume(first)
    assert first
    assert (first.ticket in arbitrate(line, room)) == possible(first.wish, held_by(line), room)


@given(lines())
def test_when_nobody_holds_anything_the_first_who_can_be_met_is_granted(
    drawn: tuple[list[Standing], dict[str, int]],
) -> None:
    line, room = drawn
    line = [replace(standing, granted=()) for standing in line]
    first = next((standing for standing in line if standing.wish.can_be_met()), None)
    grants = arbitrate(line, room)
    assert bool(grants) == bool(first)
    assert first is None or grants[first.ticket]


@given(lines())
def test_who_comes_later_changes_nothing_for_those_before(
    drawn: tuple[list[Standing], dict[str, int]],
) -> None:
    line, room = drawn
    all_grants = arbitrate(line, room)
    for place, standing in enumerate(line):
        shorter = line[: place + 1] + [later for later in line[place + 1 :] if later.granted]
        assert arbitrate(shorter, room).get(standing.ticket) == all_grants.get(standing.ticket)


@given(lines())
def test_no_more_is_kept_than_those_who_wait_need(drawn: tuple[list[Standing], dict[str, int]]) -> None:
    line, room = drawn
    grants = arbitrate(line, room)
    refused = []
    for card in CARDS:
        # The least that anybody can want of a card: whoever is refused that meets a card that is kept.
        probe = Standing(ticket=len(line), wish=Wish(alternatives=((card,),), count=1, memory=0))
        if len(line) not in arbitrate([*line, probe], room) and fits(card, 0, held_by(line, grants), room):
            refused.append(card)
    needed = [standing.wish for standing in waiting(line, grants) if standing.wish.can_be_met()]
    assert len(refused) <= sum(wish.count for wish in needed)


def lacking(wish: Wish, held: Held, room: Mapping[str, int]) -> tuple[int, int]:
    """How far a wish is from its cards: how many are held whole, and what must leave the others."""

    def missing(card: str) -> int:
        there = [size or 0 for cards, size in held if card in cards]
        if wish.memory is None or not there:
            return len(there)
        return max(0, sum(there) + wish.memory - room[card])

    def far(cards: tuple[str, ...]) -> tuple[int, int]:
        whole = [card for card in cards if any(card in others and size is None for others, size in held)]
        return len(whole), sum(missing(card) for card in cards if card not in whole)

    return min(map(far, worthwhile(wish, room)), default=(0, 0))


@given(lines())
def test_nobody_who_waits_is_pushed_back(drawn: tuple[list[Standing], dict[str, int]]) -> None:
    line, room = drawn
    grants = arbitrate(line, room)
    first = next(iter(waiting(line, grants)), None)
    assume(first)
    assert first
    before = {ticket: cards for ticket, cards in grants.items() if ticket < first.ticket}
    # What was granted before him is not his to complain about; what is granted after him must not touch him.
    assert lacking(first.wish, held_by(line, grants), room) <= lacking(
        first.wish, held_by(line, before), room
    )


@given(lines())
def test_the_same_line_gives_the_same_grants(drawn: tuple[list[Standing], dict[str, int]]) -> None:
    line, room = drawn
    renumbered = [replace(standing, ticket=standing.ticket * 7 + 100) for standing in line]
    backwards = dict(reversed(room.items()))
    expected = {ticket * 7 + 100: cards for ticket, cards in arbitrate(line, room).items()}
    assert arbitrate(renumbered, backwards) == expected


@dataclass
class Hall:
    """A room full of people who ask, hold for a while, and go: time passes in ticks."""

    room: Mapping[str, int]
    line: list[Standing]
    left: dict[int, int]
    """By ticket, the ticks for which it will hold."""

    def tick(self, arriving: Sequence[tuple[Wish, int]]) -> None:
        """Let some go, let some arrive, and serve the line."""
        for ticket in [standing.ticket for standing in self.line if standing.granted]:
            self.left[ticket] -= 1
        self.line = [standing for standing in self.line if self.left[standing.ticket] > 0]
        for wish, ticks in arriving:
            ticket = len(self.left)
            self.left[ticket] = ticks
            self.line.append(Standing(ticket=ticket, wish=wish))
        grants = arbitrate(self.line, self.room)
        self.line = [
            replace(standing, granted=grants.get(standing.ticket, standing.granted)) for standing in self.line
        ]

    def waits(self, ticket: int) -> bool:
        """Whether it has nothing yet."""
        return any(standing.ticket == ticket and not standing.granted for standing in self.line)


TICKS = st.integers(1, 4)
VISITS = st.tuples(WISHES.filter(Wish.can_be_met), TICKS)
SMALL = [Wish(alternatives=(tuple(CARDS),), count=1, memory=4), Wish(alternatives=(tuple(CARDS),), count=1)]


@given(
    ROOM,
    st.lists(VISITS, max_size=4),
    VISITS,
    st.lists(st.lists(VISITS, max_size=3), min_size=1, max_size=4).filter(any),
)
@example(dict.fromkeys(CARDS, 24), [(SMALL[0], 1)] * 4, (SMALL[1], 1), [[(SMALL[0], 2)] * 3])
@example(
    dict.fromkeys(CARDS, 24),
    [(SMALL[1], 1), (SMALL[1], 2)],
    (Wish(alternatives=(("A", "B"),), count=2), 1),
    [[(SMALL[1], 2)] * 3],
)
@example(
    dict.fromkeys(CARDS, 24),
    [(SMALL[0], 1)] * 4,
    (Wish(alternatives=(("A",), ("B",)), count=1, memory=20), 1),
    [[(SMALL[0], 4)] * 3],
)
def test_whoever_waits_is_served_however_many_come_later(
    room: dict[str, int],
    there: list[tuple[Wish, int]],
    patient: tuple[Wish, int],
    stream: list[list[tuple[Wish, int]]],
) -> None:
    hall = Hall(room, [], {})
    hall.tick([*there, patient])
    ticket = len(there)
    ticks = count()
    for arriving in cycle(stream):
        if not hall.waits(ticket):
            break
        hall.tick(arriving)
        # Nobody holds for more than 4 ticks, and at the most 4 are before him.
        assert next(ticks) < 60


@given(ROOM, st.lists(VISITS, max_size=12))
def test_everybody_is_served_in_the_end(room: dict[str, int], visits: list[tuple[Wish, int]]) -> None:
    hall = Hall(room, [], {})
    hall.tick(visits)
    for _ in range(sum(ticks for _, ticks in visits)):
        hall.tick([])
    assert hall.line == []
