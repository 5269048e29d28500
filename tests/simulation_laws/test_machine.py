"""One machine and its discovery as a state machine: in memory under virtual time, and with real processes.

Hypothesis draws what happens and shrinks it; tests/simulation_laws/test_lives.py draws from seeds, and
quicker. Both take the same steps in the same world (`pytest_gpudiscover.simulation.lives`), which is held to
its laws after each one: what the engine says is true of the machine, no runner, task or descriptor is left,
time goes on only, and nobody lives beside whom he must not.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from process_setting import ProcessSetting
from pytest_gpudiscover.simulation.lives import Setting, VirtualSetting, World
from pytest_gpudiscover.simulation.lives.life import CARDS, MIDST, MOMENTS
from pytest_gpudiscover.simulation.lives.truth import FAULTS, HANGING

numbers = st.integers(0, 5)
RULES = (
    "unplug",
    "fill",
    "inject",
    "heal",
    "kill",
    "cancel",
    "advance",
    "rescan",
    "verify",
    "ask",
    "hand_over",
)
"""What may be left out of a run."""


class Machine(RuleBasedStateMachine):
    """Each run draws first what can happen in it, and what can go wrong: a swarm."""

    faults: tuple[str, ...] = FAULTS
    cards: tuple[str, ...] = CARDS
    moments: tuple[float, ...] = MOMENTS

    def setting(self, seed: int | None, max_parallel: int) -> Setting:
        return VirtualSetting(seed, max_parallel)

    @initialize(
        seed=st.none() | st.integers(0, 1000),
        max_parallel=st.integers(1, 8),
        rules=st.sets(st.sampled_from(RULES)),
        faults=st.sets(st.sampled_from(FAULTS), min_size=1),
        data=st.data(),
    )
    def begin_life(
        self, seed: int | None, max_parallel: int, rules: set[str], faults: set[str], data: st.DataObject
    ) -> None:
        self.world = World(self.setting(seed, max_parallel))
        self.on = rules
        self.drawn_faults = sorted(faults & set(self.faults)) or [self.faults[0]]
        for _ in range(data.draw(st.integers(1, 3))):
            self.world.plug(data.draw(st.sampled_from(self.cards)))

    def teardown(self) -> None:
        if hasattr(self, "world"):
            try:
                self.world.finish()
            finally:
                self.world.close()

    def can(self, name: str) -> bool:
        return name in getattr(self, "on", ())

    @rule(data=st.data())
    def plug(self, data: st.DataObject) -> None:
        self.world.plug(data.draw(st.sampled_from(self.cards)))

    @precondition(lambda self: self.can("unplug"))
    @rule(number=numbers)
    def unplug(self, number: int) -> None:
        self.world.unplug(number)

    @precondition(lambda self: self.can("fill"))
    @rule(number=numbers, percent=st.sampled_from([1, 30, 100]))
    def fill(self, number: int, percent: int) -> None:
        self.world.fill(number, percent)

    @precondition(lambda self: self.can("inject"))
    @rule(data=st.data(), variant=numbers, gpu=numbers, phase=numbers)
    def inject(self, data: st.DataObject, variant: int, gpu: int, phase: int) -> None:
        fault = data.draw(st.sampled_from(self.drawn_faults))
        event(f"inject {fault}")
        self.world.inject(fault, variant, gpu, phase)

    @precondition(lambda self: self.can("heal"))
    @rule()
    def heal(self) -> None:
        self.world.heal()

    @rule()
    def begin(self) -> None:
        self.world.begin()

    @precondition(lambda self: self.can("rescan"))
    @rule()
    def rescan(self) -> None:
        self.world.rescan()

    @precondition(lambda self: self.can("verify"))
    @rule(number=numbers)
    def verify(self, number: int) -> None:
        self.world.verify(number)

    @precondition(lambda self: self.can("ask"))
    @rule()
    def ask(self) -> None:
        self.world.ask()

    @precondition(lambda self: self.can("hand_over"))
    @rule()
    def hand_over(self) -> None:
        self.world.hand_over()

    @precondition(lambda self: self.can("advance"))
    @rule(data=st.data())
    def advance(self, data: st.DataObject) -> None:
        self.world.advance(data.draw(st.sampled_from(self.moments)))

    @rule(events=st.integers(0, MIDST))
    def go(self, events: int) -> None:
        self.world.go(events)

    @rule()
    def finish(self) -> None:
        self.world.finish()

    @precondition(lambda self: self.can("kill"))
    @rule(number=numbers, events=st.integers(1, MIDST))
    def kill(self, number: int, events: int) -> None:
        self.world.begin()
        self.world.go(events)
        self.world.kill(number)

    @precondition(lambda self: self.can("cancel"))
    @rule(number=numbers, events=st.integers(0, MIDST))
    def cancel(self, number: int, events: int) -> None:
        self.world.begin()
        self.world.go(events)
        self.world.cancel(number)


class MachineOfProcesses(Machine):
    """The same with real processes, where nothing hangs: a deadline would really have to pass."""

    faults = tuple(name for name in FAULTS if name not in (*HANGING, "hang_deep"))
    cards = ("RTX 4090", "RX 7900 XTX", "Arc A770")
    moments = (0.0, 0.01)

    def setting(self, seed: int | None, max_parallel: int) -> Setting:
        self.directory = tempfile.TemporaryDirectory()
        return ProcessSetting(Path(self.directory.name))

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "directory"):
            self.directory.cleanup()


assert settings.default is not None
TestMachine = Machine.TestCase
TestMachine.settings = settings(settings.default, stateful_step_count=25)
TestMachineOfProcesses = MachineOfProcesses.TestCase
TestMachineOfProcesses.settings = settings(
    settings.default, max_examples=max(2, settings.default.max_examples // 40), stateful_step_count=12
)
