"""A life as a value: a seed, and the steps that are taken."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_gpudiscover.simulation.lives.laws import BrokenLawError
from pytest_gpudiscover.simulation.lives.settings import VirtualSetting
from pytest_gpudiscover.simulation.lives.truth import FAULTS
from pytest_gpudiscover.simulation.lives.worlds import HIDDEN, World
from pytest_gpudiscover.simulation.performances import Event

CARDS = (
    *("RTX 4090", "GTX 1060", "RTX 5090", "Jetson Orin", "DGX Spark", "RX 7900 XTX", "RX 6700 XT"),
    *("Radeon 780M", "MI300X", "Arc A770", "Apple M2 Max"),
    *(f"{card}{HIDDEN}" for card in ("RTX 4090", "RX 7900 XTX", "Arc A770")),
)
"""What is plugged in: every library, cards that the newest variant of their library does not cover, twins."""
MOMENTS = (0.0, 0.01, 0.05, 0.3, 3.0, 31.0)
"""Seconds that pass: those of a probe, and some beyond a deadline."""
MIDST = 12
"""So many things happen in a call of ordinary length."""
LENGTHS = (2, 12)
"""The fewest scenes of a life, and the most."""


@dataclass(frozen=True)
class Life:
    """What happens to a machine and to a discovery of it.

    Attributes:
        seed: decides how long everything takes, and the order of what happens at the same moment.
        steps: in words, as `World.step` takes them.
    """

    seed: int
    steps: tuple[str, ...]

    @classmethod
    def drawn(cls, seed: int) -> Life:
        """The life of a seed. Which kinds of steps and faults occur in it is drawn first, then each step."""
        chance = random.Random(seed)  # noqa: S311 - it is to be repeatable
        drawing = _Drawing(chance)
        return cls(seed, drawing.steps())

    def live(self) -> tuple[Event, ...]:
        """Live it in memory, under virtual time.

        Returns:
            what has happened.

        Raises:
            BrokenLawError: the engine said what is not so, or left something behind; with the line that lives
                this life again as a note.
        """
        trace, broken = self.lived()
        if broken:
            broken.add_note(f"to see it again, also as a test: {self!r}.live()")
            raise broken
        return trace

    def lived(self) -> tuple[tuple[Event, ...], BrokenLawError | None]:
        """Live it, up to the first law that is broken.

        Returns:
            what has happened, and which law was broken, if one was.
        """
        setting = VirtualSetting(self.seed, max_parallel=1 + self.seed % 8)
        world = World(setting)
        broken = None
        try:
            for words in (*self.steps, "finish", "rescan", "finish"):
                world.step(words)
        except BrokenLawError as error:
            broken = error
        finally:
            world.close()
        return tuple(setting.trace), broken

    def shrunk(self) -> Life:
        """The shortest life that still breaks a law, when steps are left out one after the other."""
        steps, n = self.steps, 0
        while n < len(steps):
            shorter = (*steps[:n], *steps[n + 1 :])
            if Life(self.seed, shorter).lived()[1]:
                steps = shorter
            else:
                n += 1
        return self if steps == self.steps else Life(self.seed, steps).shrunk()


class _Drawing:
    """Draws the steps of a life; not every kind of step and of fault occurs in every life."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        kinds: dict[str, Callable[[], str]] = {
            "plug": lambda: f"plug {chance.choice(CARDS)}",
            "unplug": lambda: f"unplug {self._number()}",
            "fill": lambda: f"fill {self._number()} {chance.choice((1, 30, 100))}",
            "inject": lambda: f"inject {chance.choice(self._faults)} {self._numbers(3)}",
            "heal": lambda: "heal",
            "kill": lambda: f"kill {self._number()}",
            "cancel": lambda: f"cancel {self._number()}",
            "advance": lambda: f"advance {chance.choice(MOMENTS):g}",
            "finish": lambda: "finish",
            "hand_over": lambda: "hand_over",
        }
        self._questions: list[Callable[[], str]] = [
            lambda: "begin",
            lambda: "rescan",
            lambda: f"verify {self._number()}",
            lambda: "ask",
        ]
        self._faults = self._some(FAULTS)
        self._kinds = [kinds[name] for name in self._some(tuple(kinds))]

    def steps(self) -> tuple[str, ...]:
        """Some cards, and then scene after scene."""
        cards = [f"plug {self._chance.choice(CARDS)}" for _ in range(self._chance.randrange(1, 4))]
        scenes = [self._scene() for _ in range(self._chance.randint(*LENGTHS))]
        return (*cards, *(words for scene in scenes for words in scene))

    def _scene(self) -> tuple[str, ...]:
        """A question, and then something that happens: in the midst of it, or when it is answered."""
        question, happening = self._chance.choice(self._questions)(), self._chance.choice(self._kinds)()
        midst = f"go {self._chance.randrange(MIDST)}"
        needs_a_call = happening.startswith(("kill", "cancel"))
        return question, midst if needs_a_call else self._chance.choice((midst, "finish")), happening

    def _some(self, names: Sequence[str]) -> list[str]:
        return self._chance.sample(names, self._chance.randint(1, len(names)))

    def _number(self) -> int:
        return self._chance.randrange(6)

    def _numbers(self, count: int) -> str:
        return " ".join(str(self._number()) for _ in range(count))
