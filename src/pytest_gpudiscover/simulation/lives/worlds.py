"""A machine, a discovery of it, and whatever happens to both, step by step; after each step the laws hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from typing import Any

from fake_runner.faults import VOCABULARY
from pytest_gpudiscover import archive
from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.simulation.lives import laws
from pytest_gpudiscover.simulation.lives.laws import Asked, BrokenLawError, Known
from pytest_gpudiscover.simulation.lives.settings import Setting
from pytest_gpudiscover.simulation.lives.truth import OF_DEVICE, Truth
from pytest_gpudiscover.simulation.profiles import PROFILES
from pytest_gpudiscover.simulation.virtual_time import StandstillError

MOST_GPUS = 6
"""How many GPUs a machine has at the most: with more, lives take longer and show no more."""
MOST_CALLS = 3
"""How many calls are under way at once at the most: one that runs, and others that wait for it."""
AT_ONCE = 10.0
"""Seconds in which a cancelled call has to be over."""
HIDDEN = " hidden"
"""What stands behind the name of a card that has no PCI id."""


class World:
    """A machine and its discovery.

    Each step is a method. Numbers count what there is, modulo how much there is. A step that cannot be taken
    as things are is none, so that a life goes on when steps are left out.

    Args:
        setting: where it all takes place.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._discovery = setting.discovery()
        self._calls: dict[asyncio.Task[None], Asked] = {}
        self._plugged = 0
        self._known: Known | None = None
        self._clock = setting.loop.time()

    def step(self, words: str) -> None:
        """Take the step that is written down: its name, and behind it what it is told.

        Raises:
            BrokenLawError: it has led to something that must not be.
        """
        name, _, told = words.partition(" ")
        if name == "plug":
            self.plug(told)
        elif name == "inject":
            fault, *numbers = told.split()
            self.inject(fault, *map(int, numbers))
        elif name == "advance":
            self.advance(float(told))
        else:
            getattr(self, name)(*map(int, told.split()))

    # What happens to the machine.

    def plug(self, card: str) -> None:
        """Put a card in: a name of `PROFILES`, with ` hidden` behind it for one without a PCI id."""
        if len(self._truth.document["gpu"]) < MOST_GPUS:
            self._plugged = number = self._plugged + 1
            name, pci_id = f"card{number}", "" if card.endswith(HIDDEN) else f"0000:{number:02x}:00.0"
            kind = card.removesuffix(HIDDEN)
            # No two have as much free memory: who tells another's figure is found out.
            free = PROFILES[kind].memory - number * 2**20
            self._setting.host.plug(kind, name=name, pci_id=pci_id, free_memory=free)
            self._changed()

    def unplug(self, number: int) -> None:
        """Let a GPU fall off the bus."""
        if gpus := self._gpus:
            self._setting.host.unplug(gpus[number % len(gpus)])
            self._changed()

    def fill(self, number: int, percent: int) -> None:
        """Take so much of a GPU's free memory, and some bytes more."""
        if gpus := self._gpus:
            gpu = gpus[number % len(gpus)]
            self._setting.host.fill(gpu, self._truth.gpu(gpu)["free_memory"] * percent // 100)
            self._changed()

    def inject(self, fault: str, variant: int, gpu: int, phase: int) -> None:
        """Let a fault strike one variant from now on: in one of its phases, or in all of them."""
        variants, gpus, phases = list(self._truth.listings), self._gpus, VOCABULARY[fault].phases
        if not variants or not gpus:
            return
        details: dict[str, Any] = {"variant": variants[variant % len(variants)]}
        if fault in OF_DEVICE:
            details["device"] = gpus[gpu % len(gpus)]
        if fault == "slow_start":
            details["seconds"] = 0.25
        if phase % (len(phases) + 1):
            details["phase"] = phases[phase % (len(phases) + 1) - 1]
        self._setting.host.inject(fault, **details)
        self._changed()

    def heal(self) -> None:
        """Take every fault away."""
        self._setting.host.heal()
        self._changed()

    def kill(self, number: int) -> None:
        """Kill a living runner, as soon as anything goes on."""
        if runners := self._setting.runners():
            self._setting.loop.call_soon(runners[number % len(runners)].kill)
            for asked in self._calls.values():
                asked.kills += 1
            self._check()

    # What is asked of the discovery.

    def begin(self) -> None:
        """Ask for the devices."""
        self._ask(lambda asked: self._devices(asked, rescan=False))

    def rescan(self) -> None:
        """Ask for the devices anew."""
        self._ask(lambda asked: self._devices(asked, rescan=True))

    def verify(self, number: int) -> None:
        """Ask for one of the known devices whether it is well."""
        if (known := self._known) and known.devices:
            device = known.devices[number % len(known.devices)]
            self._ask(lambda asked: self._verify(asked, known, device))

    def ask(self) -> None:
        """Ask how much memory of the known devices is free."""
        if known := self._known:
            self._ask(lambda asked: self._free_memory(asked, known))

    def hand_over(self) -> None:
        """Go on with a new discovery that is told what the old one knows."""
        snapshot = self._discovery.snapshot()
        if snapshot and self._known and not self._calls:
            self._discovery = self._setting.discovery()
            self._discovery.resume(archive.loads(archive.dumps(snapshot)))
            self._known = replace(self._known, devices=self._known.bootstrapped)
            self._check()

    # What becomes of what was asked.

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._setting.pass_time(seconds)
        self._check()

    def go(self, count: int) -> None:
        """Wait until runners have started, answered, died or ended so many times, or every call is over."""
        self._patiently(
            lambda: self._setting.let_happen(count, lambda: all(task.done() for task in self._calls))
        )
        self._check()

    def finish(self) -> None:
        """Wait for every call."""
        self._wait_for(*self._calls)
        self._check()

    def cancel(self, number: int) -> None:
        """Cancel a call, and wait until it is over."""
        if self._calls:
            task = list(self._calls)[number % len(self._calls)]
            task.cancel()
            began = self._setting.loop.time()
            self._wait_for(task)
            if (took := self._setting.loop.time() - began) > AT_ONCE:
                raise BrokenLawError(f"a cancelled call went on for {took:g} s")
            self._check()

    def close(self) -> None:
        """Leave nothing behind."""
        self._setting.close()

    @property
    def _truth(self) -> Truth:
        return Truth.of(self._setting.host)

    @property
    def _gpus(self) -> list[str]:
        return [table["name"] for table in self._truth.document["gpu"]]

    def _changed(self) -> None:
        for asked in self._calls.values():
            asked.truths.append(self._truth)
        self._check()

    def _ask(self, question: Callable[[Asked], Coroutine[Any, Any, None]]) -> None:
        if len(self._calls) < MOST_CALLS:
            asked = Asked(truths=[self._truth])
            self._calls[self._setting.loop.create_task(question(asked))] = asked
            self._check()

    async def _devices(self, asked: Asked, *, rescan: bool) -> None:
        devices = await self._discovery.devices(rescan=rescan)
        _hold(laws.well_formed(self._discovery.report))
        if self._known and not rescan:
            _hold(laws.of_refresh(asked, self._known, devices))
            self._known = replace(self._known, devices=devices)
        else:
            _hold(laws.of_bootstrap(asked, self._discovery.report))
            self._known = Known(
                bootstrapped=devices,
                devices=devices,
                gpus={device.device_id: gpu for device in devices if (gpu := asked.behind(device))},
                truth=asked.now if asked.undisturbed else None,
            )

    async def _verify(self, asked: Asked, known: Known, device: DeviceInfo) -> None:
        rejection = await self._discovery.verify(device)
        _hold(laws.of_verification(asked, known, device, rejection))

    async def _free_memory(self, asked: Asked, known: Known) -> None:
        figures = await self._discovery.free_memory(known.devices)
        _hold(laws.of_free_memory(asked, known, figures))

    def _wait_for(self, *tasks: asyncio.Task[None]) -> None:
        if tasks:
            self._patiently(lambda: self._setting.loop.run_until_complete(asyncio.wait(tasks)))

    def _patiently(self, wait: Callable[[], Any]) -> None:
        try:
            wait()
        except StandstillError as error:
            raise BrokenLawError(f"a call will never end: {error}") from error

    def _check(self) -> None:
        """Hold the world against the laws that hold between any two steps."""
        for task in [task for task in self._calls if task.done()]:
            del self._calls[task]
            if not task.cancelled():
                _raise(task.exception())
        _hold(self._setting.offences)
        if (now := self._setting.loop.time()) < self._clock:
            raise BrokenLawError(f"the clock went back from {self._clock} to {now} s")
        self._clock = now
        self._setting.disturbed(disturbed=not all(asked.undisturbed for asked in self._calls.values()))
        if not self._calls:
            _hold(self._setting.remains())


def _hold(offences: Iterable[str]) -> None:
    for offence in offences:
        raise BrokenLawError(offence)


def _raise(error: BaseException | None) -> None:
    if isinstance(error, BrokenLawError):
        raise error
    if error is not None:
        raise BrokenLawError(f"a call has raised {error!r}") from error
