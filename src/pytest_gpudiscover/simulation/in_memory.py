"""A simulated machine without processes: the fake runner's scripts, acted out in the event loop's own time.

Only the process and the socket are replaced. What is done with an answer, an exit or a deadline is the same
code that deals with real runners.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from fake_runner import masks, recording, scripts, views
from fake_runner.scripts import Answer, Death, Script
from fake_runner.triggers import Mark
from pytest_gpudiscover.installations import Located, texts
from pytest_gpudiscover.probing import Prober
from pytest_gpudiscover.probing.asking import Reply, RunnerGoneError, until_answered
from pytest_gpudiscover.probing.processes import Exit, RunnerProcess
from pytest_gpudiscover.probing.responses import BadResponseError, Response
from pytest_gpudiscover.probing.runners import RunnerProber
from pytest_gpudiscover.simulation.calls import Answered, Call
from pytest_gpudiscover.simulation.hosts import FakeHost
from pytest_gpudiscover.simulation.installation import simulated
from pytest_gpudiscover.surroundings import Surroundings
from pytest_gpudiscover.text import printable

_STDERR_TAIL = 4096


@dataclass(frozen=True)
class InMemoryInstallation:
    """Discovers a simulated machine without any process.

    Attributes:
        host: the machine.
        variant: ask this variant only.
        without_variants: leave these out.
    """

    host: FakeHost
    variant: str | None = None
    without_variants: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuse one text where several are meant."""
        object.__setattr__(self, "without_variants", texts("without_variants", self.without_variants))

    def locate(self, surroundings: Surroundings) -> Located:  # noqa: ARG002
        """Name the host's variants.

        Raises:
            VariantNotFoundError: it has no variant of a name that was given.
        """
        return simulated(self.host, ("fake-runner",), {}).narrowed(self.variant, self.without_variants)

    def prober(self, located: Located, surroundings: Surroundings) -> AbstractAsyncContextManager[Prober]:  # noqa: ARG002
        """Act the runners out."""
        return _prober(located.command, self.host)


@asynccontextmanager
async def _prober(command: Sequence[str], host: FakeHost) -> AsyncIterator[Prober]:
    async with AsyncExitStack() as stack:
        stage = _Stage(host)
        yield RunnerProber(
            command,
            _Conversation(),
            stack,
            open_launcher=lambda: stage,
            open_port=lambda _reserve: nullcontext(0),
        )


class _Stage:
    """Starts runners that exist only here."""

    def __init__(self, host: FakeHost) -> None:
        self._host = host

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    async def launch(self, command: Sequence[str], environment: Mapping[str, str]) -> RunnerProcess:
        actor = _Actor(self._host, environment)
        actor.call = _call(command, actor.script)
        self._host.note(actor.call)
        return actor


def _call(command: Sequence[str], script: Script) -> Call:
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
        started=asyncio.get_running_loop().time(),
    )


class _Actor:
    """A runner that follows its script."""

    pid = 0
    call: Call

    def __init__(self, host: FakeHost, environment: Mapping[str, str]) -> None:
        self._host = host
        self._environment = environment
        self._said = ""
        self.requests = 0
        # A copy: what later starts leave behind does not concern this one.
        self._earlier = {key: list(marks) for key, marks in host.marks.items()}
        self.script = self._decided({})
        for key, mark in self.script.marks.items():
            host.marks.setdefault(key, []).append(mark)
        script = self.script
        self._end: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.bound = False
        if script.daemonises == "exits":
            self._end.set_result(Exit(code=0))
        elif script.death and script.death.when == scripts.START:
            self.die(script.death)

    def _decided(self, marks: Mapping[str, Mark]) -> Script:
        self._decided_on = host = self._host.checked()
        variant = views.asked_variant(host, self._environment)
        return scripts.script(host, variant, self._environment, earlier=self._earlier, marks=marks)

    def asked(self) -> None:
        """Count a request, and look what the host has become since the last one."""
        self.requests += 1
        if self._host.checked() is not self._decided_on:
            self.script = self._decided(self.script.marks)

    def record(self, answer: Answer) -> None:
        """Record an answer that is about to be sent."""
        devices = len(self.script.entries) if answer.status == 200 else 0
        now = asyncio.get_running_loop().time()
        answered = Answered(status=answer.status, devices=devices, at=now)
        self.call = self._host.note_answer(self.call, answered)

    def say(self, text: str) -> None:
        """Write something to stderr."""
        self._said += text

    @property
    def exit(self) -> Exit | None:
        return self._end.result() if self._end.done() else None

    @property
    def stderr(self) -> str:
        said = (self.script.stderr + self._said)[-_STDERR_TAIL:]
        return "\n".join(printable(line, _STDERR_TAIL) for line in said.splitlines())

    async def wait(self) -> Exit:
        return await asyncio.shield(self._end)

    async def end(self) -> Exit | None:
        return self.exit

    def die(self, death: Death) -> None:
        if not self._end.done():
            self._end.set_result(Exit(signal=f"SIG{death.signal}") if death.signal else Exit(code=death.code))


class _Conversation:
    """Asks an actor: what a client would see of its script."""

    def arguments(self, port: int) -> tuple[str, ...]:
        return ("runner", "--ollama-engine", "--port", str(port))

    async def ask(self, process: RunnerProcess, port: int) -> Reply:  # noqa: ARG002
        assert isinstance(process, _Actor)
        return await until_answered(process, lambda: _exchange(process))


async def _exchange(actor: _Actor) -> Response:
    if actor.exit:
        raise RunnerGoneError
    script = actor.script
    if script.stops_itself or not script.binds:
        await asyncio.get_running_loop().create_future()  # until the deadline
    if not actor.bound:
        await asyncio.sleep(script.delay)
        _bind(actor)
    actor.asked()
    script = actor.script
    if script.death and script.death.when == scripts.REQUEST:
        actor.die(script.death)
        raise RunnerGoneError
    if script.silent:
        await asyncio.get_running_loop().create_future()
    if actor.requests <= script.refusals:
        raise BadResponseError("the connection broke", cut_short=True)
    return await _read(actor, script.answer)


def _bind(actor: _Actor) -> None:
    """Bind the port, unless somebody has it.

    Raises:
        RunnerGoneError: somebody has.
    """
    if actor.script.port_taken or actor.script.squatter:
        actor.say(scripts.gave_up(0))
        actor.die(Death(scripts.START, code=1))
        raise RunnerGoneError(port_taken=actor.script.squatter is not None)
    actor.bound = True


async def _read(actor: _Actor, answer: Answer) -> Response:
    if answer.raw is not None:
        raise BadResponseError("the answer is not complete HTTP", cut_short=True)
    actor.record(answer)
    await _pass(_HEAD, answer.head_pace)
    ready = asyncio.get_running_loop().time()
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise BadResponseError("the answer is compressed, which was not asked for", ready=ready)
    if "Transfer-Encoding" in answer.headers:
        raise BadResponseError("the answer is not complete HTTP", ready=ready, cut_short=True)
    if answer.endless or _is_too_long(answer.body):
        raise BadResponseError("the answer does not end", ready=ready)
    await _pass(len(answer.body), answer.body_pace)
    death = actor.script.death
    if death and death.when == scripts.MID_ANSWER:
        actor.die(death)
        raise RunnerGoneError(ready=ready)
    announced = len(answer.body) if answer.announced is None else answer.announced
    if answer.reset or (len(answer.body) if answer.cut is None else answer.cut) < announced:
        raise BadResponseError("the connection broke", ready=ready, cut_short=True)
    if death and death.when == scripts.AFTER_ANSWER:
        actor.die(death)
    return Response(answer.status, answer.body, ready)


def _is_too_long(body: bytes) -> bool:
    """Whether a client would give up reading; no answer of ordinary size needs the client for that."""
    if len(body) < _SHORT:
        return False
    from pytest_gpudiscover.probing.http import MAX_BODY

    return len(body) > MAX_BODY


_SHORT = 1 << 20
_HEAD = 100
"""About how many bytes the head of an answer has."""


async def _pass(size: int, pace: scripts.Pace | None) -> None:
    """Wait as long as so many bytes take at this pace."""
    if pace:
        await asyncio.sleep(size / pace.piece * pace.pause)
