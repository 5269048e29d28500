"""A runner in memory: the process that an engine sees, following its script."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial

from fake_runner import hosts as host_files
from fake_runner import masks, recording, scripts, views
from fake_runner.scripts import Answer, Death, Script
from fake_runner.triggers import Mark
from pytest_gpudiscover.probing.asking import RunnerGoneError
from pytest_gpudiscover.probing.processes import Exit
from pytest_gpudiscover.simulation.calls import Answered, Call, Started
from pytest_gpudiscover.simulation.hosts import FakeHost
from pytest_gpudiscover.simulation.performances import Performance, Seam
from pytest_gpudiscover.text import printable

_STDERR_TAIL = 4096


class Actor:
    """A runner that follows its script, from its start.

    Args:
        host: the machine.
        command: how it was started.
        environment: its whole environment.
        performance: how long everything takes, and who remembers it.

    Attributes:
        script: what it does.
        exit: how it ended by itself; None while it acts, and when it was ended.
        gone: whether it was ended, and nothing is left of it.
        requests: how many it has read.
        bound: whether it has bound its port.
        stdout: what it has printed.
    """

    pid = 0
    number = 0

    def __init__(
        self,
        host: FakeHost,
        command: Sequence[str],
        environment: Mapping[str, str],
        performance: Performance,
    ) -> None:
        self._host = host
        self._environment = environment
        self._performance = performance
        self._loop = asyncio.get_running_loop()
        self._said = ""
        self.stdout = b""
        self._waiting: list[asyncio.Future[None]] = []
        self._ending = False
        self.exit: Exit | None = None
        self.gone = False
        self.requests = 0
        self.bound = False
        # A copy: what later starts leave behind does not concern this one.
        self._earlier = {key: list(marks) for key, marks in host.marks.items()}
        self.script = self._decided({})
        for key, mark in self.script.marks.items():
            host.marks.setdefault(key, []).append(mark)
        self._started = Started(partial(_call, command, self.script, self.now()))
        host.note(self._started)
        performance.started(self)
        self._begin()

    def _decided(self, marks: Mapping[str, Mark]) -> Script:
        self._decided_on = host = self._host.checked()
        if not host.faults:
            return _undisturbed(host, frozenset(self._environment.items()))
        variant = views.asked_variant(host, self._environment)
        return scripts.script(host, variant, self._environment, earlier=self._earlier, marks=marks)

    def _begin(self) -> None:
        if self.script.daemonises == "exits":
            self._ends(Exit(code=0))
        elif self.script.death and self.script.death.when == scripts.START:
            self.die(self.script.death)

    @property
    def call(self) -> Call:
        """How it was started, and what it has answered."""
        return self._started.call

    @property
    def purpose(self) -> str:
        """What it was started for, under which masks, and which faults struck, in a few words."""
        return _purpose(self.script)

    @property
    def gpus(self) -> frozenset[str]:
        """The physical GPUs that it looks at."""
        return frozenset(self.script.visible)

    def now(self) -> float:
        """The event loop's time, in seconds."""
        return self._loop.time()

    def asked(self) -> None:
        """Count a request, and look what the host has become since the last one."""
        self.requests += 1
        if self._host.checked() is not self._decided_on:
            self.script = self._decided(self.script.marks)

    def record(self, answer: Answer) -> None:
        """Record an answer that is about to be sent."""
        devices = len(self.script.entries) if answer.status == 200 else 0
        answered = Answered(status=answer.status, devices=devices, at=self.now())
        self._started.answer(answered)
        self._performance.answers(self, answered)

    def say(self, text: str) -> None:
        """Write something to stderr."""
        self._said += text

    @property
    def stderr(self) -> str:
        """The tail of what it wrote to stderr."""
        said = (self.script.stderr + self._said)[-_STDERR_TAIL:]
        return "\n".join(printable(line, _STDERR_TAIL) for line in said.splitlines())

    async def arrival(self, seconds: float) -> None:
        """Wait until what it sends after so many seconds arrives, as long as the performance says.

        Raises:
            RunnerGoneError: it ends meanwhile.
        """
        await self.wait_for(seconds + (self._performance.delay(Seam.ANSWER) or 0.0))

    async def wait_for(self, seconds: float | None, *, ready: float | None = None) -> None:
        """Let time pass, for ever if it is None.

        Raises:
            RunnerGoneError: it ends meanwhile; it had begun to answer at `ready`.
        """
        await lapse(self._loop, seconds, self._waiting)
        if self.exit:
            raise RunnerGoneError(ready=ready)

    async def wait(self) -> Exit:
        """Wait until it ends by itself."""
        while self.exit is None:
            await lapse(self._loop, None, self._waiting)
        return self.exit

    def kill(self) -> None:
        """Let it be ended by a SIGKILL that is not the engine's."""
        self.die(Death(scripts.START, signal="KILL"))

    def die(self, death: Death) -> None:
        """End by itself; who has ended already, or is being ended, does not."""
        self._ends(Exit(signal=f"SIG{death.signal}") if death.signal else Exit(code=death.code))

    def _ends(self, how: Exit) -> None:
        if self.exit is None and not self._ending:
            self.exit = how
            self._performance.died(self, how)
            self._wake()

    async def end(self) -> Exit | None:
        """Kill it. Like a real one, it goes on ending when nobody waits for that any more."""
        if not self._ending:
            self._ending = True
            delay = self._performance.delay(Seam.END)
            if delay is None:
                self._leave()
            else:
                self._loop.call_later(delay, self._leave)
        while not self.gone:
            await lapse(self._loop, None, self._waiting)
        return self.exit

    def _leave(self) -> None:
        self.gone = True
        self._performance.gone(self)
        self._wake()

    def _wake(self) -> None:
        for future in self._waiting:
            wake(future)


@lru_cache(maxsize=256)
def _undisturbed(host: host_files.Host, environment: frozenset[tuple[str, str]]) -> Script:
    """What a runner does where nothing goes wrong: the same each time, and many a machine is asked often."""
    variables = dict(environment)
    return scripts.script(host, views.asked_variant(host, variables), variables)


async def lapse(
    loop: asyncio.AbstractEventLoop, seconds: float | None, waiting: list[asyncio.Future[None]]
) -> None:
    """Wait so long, or for ever if it is None, or until somebody wakes those that are waiting.

    Not like `asyncio.sleep`, which for no time at all sets no timer: what is due at one moment comes in an
    order that only a loop under virtual time decides.
    """
    future: asyncio.Future[None] = loop.create_future()
    timer = None if seconds is None else loop.call_later(seconds, wake, future)
    waiting.append(future)
    try:
        await future
    finally:
        waiting.remove(future)
        if timer:
            timer.cancel()


def wake(future: asyncio.Future[None]) -> None:
    """Let whoever waits go on."""
    if not future.done():
        future.set_result(None)


@lru_cache(maxsize=256)
def _purpose(script: Script) -> str:
    probe = script.probe
    under = "".join(f" {name}={value}" for name, value in masks.in_force(probe.environment).items())
    struck = f" ({', '.join(script.struck)})" if script.struck else ""
    return f"{probe.phase} {probe.variant or 'runner'}{under}{struck}"


def _call(command: Sequence[str], script: Script, now: float) -> Call:
    probe = script.probe
    return Call(
        pid=0,
        argv=tuple(command),
        variant=probe.variant,
        phase=probe.phase,
        deep=probe.deep,
        masks=masks.in_force(probe.environment),
        environment=recording.that_matter(probe.environment),
        faults=tuple(script.struck),
        started=now,
    )
