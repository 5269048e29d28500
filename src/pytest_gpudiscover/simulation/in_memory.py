"""A simulated machine without processes: the fake runner's scripts, acted out in the event loop's own time.

Only the process and the socket are replaced. What is done with an answer, an exit or a deadline is the same
code that deals with real runners.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from fake_runner import masks, scripts, views
from fake_runner.hosts import Host
from fake_runner.scripts import Answer, Death, Script
from pytest_gpudiscover.installations import Located
from pytest_gpudiscover.probing import Prober
from pytest_gpudiscover.probing.asking import Reply, RunnerGoneError, until_answered
from pytest_gpudiscover.probing.processes import Exit, RunnerProcess
from pytest_gpudiscover.probing.responses import BadResponseError, Response
from pytest_gpudiscover.probing.runners import RunnerProber
from pytest_gpudiscover.simulation.hosts import Call, FakeHost
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
    without_variants: tuple[str, ...] = ()

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
            command, _Conversation(), stack, open_launcher=lambda: stage, choose_port=lambda: 0
        )


class _Stage:
    """Starts runners that exist only here."""

    def __init__(self, host: FakeHost) -> None:
        self._host = host
        self._understood: Host = host.checked()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    async def launch(self, command: Sequence[str], environment: Mapping[str, str]) -> RunnerProcess:
        script = scripts.script(
            self._understood, views.asked_variant(self._understood, environment), environment
        )
        self._host.note(_call(command, script.probe))
        return _Actor(script)


def _call(command: Sequence[str], probe: views.Probe) -> Call:
    return Call(
        pid=0,
        argv=tuple(command),
        variant=probe.variant,
        phase=probe.phase,
        deep=probe.deep,
        masks=masks.in_force(probe.environment),
        started=asyncio.get_running_loop().time(),
    )


class _Actor:
    """A runner that follows its script."""

    pid = 0

    def __init__(self, script: Script) -> None:
        self.script = script
        self._end: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.bound = False
        if script.daemonises == "exits":
            self._end.set_result(Exit(code=0))
        elif script.death and script.death.when == scripts.START:
            self.die(script.death)

    @property
    def exit(self) -> Exit | None:
        return self._end.result() if self._end.done() else None

    @property
    def stderr(self) -> str:
        return "\n".join(
            printable(line, _STDERR_TAIL) for line in self.script.stderr[-_STDERR_TAIL:].splitlines()
        )

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
    if script.stops_itself or not script.binds or script.silent:
        await asyncio.get_running_loop().create_future()  # until the deadline
    if not actor.bound:
        actor.bound = True
        await asyncio.sleep(script.delay)
    if script.death and script.death.when == scripts.REQUEST:
        actor.die(script.death)
        raise RunnerGoneError
    return await _read(actor, script.answer)


async def _read(actor: _Actor, answer: Answer) -> Response:
    if answer.raw is not None:
        raise BadResponseError("the answer is not complete HTTP", cut_short=True)
    await _pass(_HEAD, answer.head_pace)
    ready = asyncio.get_running_loop().time()
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise BadResponseError("the answer is compressed, which was not asked for", ready=ready)
    if answer.endless:
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


_HEAD = 100
"""About how many bytes the head of an answer has."""


async def _pass(size: int, pace: scripts.Pace | None) -> None:
    """Wait as long as so many bytes take at this pace."""
    if pace:
        await asyncio.sleep(size / pace.piece * pace.pause)
