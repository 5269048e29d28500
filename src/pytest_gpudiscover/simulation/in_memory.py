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

from fake_runner import scripts
from fake_runner.printing import complaint
from fake_runner.scripts import Answer, Death
from pytest_gpudiscover.installations import Located, texts
from pytest_gpudiscover.probing import Prober, ProbeRequest, ProbeResult
from pytest_gpudiscover.probing.asking import Asking, Reply, RunnerGoneError, until_answered
from pytest_gpudiscover.probing.finishing import finished
from pytest_gpudiscover.probing.output import ANSWER_SIZE
from pytest_gpudiscover.probing.printing import GpuDiscover
from pytest_gpudiscover.probing.processes import RunnerProcess
from pytest_gpudiscover.probing.responses import MAX_ANSWER, BadResponseError, Response
from pytest_gpudiscover.probing.runners import RunnerProber
from pytest_gpudiscover.probing.speech import Speech
from pytest_gpudiscover.simulation.actors import Actor, lapse
from pytest_gpudiscover.simulation.hosts import FakeHost
from pytest_gpudiscover.simulation.installation import simulated
from pytest_gpudiscover.simulation.performances import AT_ONCE, Performance, Seam
from pytest_gpudiscover.surroundings import Surroundings
from pytest_gpudiscover.variants import Variant


@dataclass(frozen=True)
class InMemoryInstallation:
    """Discovers a simulated machine without any process.

    Attributes:
        host: the machine.
        variant: ask this variant only.
        without_variants: leave these out.
        performance: how long everything takes, and what is remembered of it.
    """

    host: FakeHost
    variant: str | None = None
    without_variants: Sequence[str] = ()
    performance: Performance = AT_ONCE

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
        asking = _Conversation() if located.heard.speech is Speech.INFO else _Printout(located.root or "")
        return _prober(located.command, asking, self.host, self.performance)


@asynccontextmanager
async def _prober(
    command: Sequence[str], asking: Asking, host: FakeHost, performance: Performance
) -> AsyncIterator[Prober]:
    async with AsyncExitStack() as stack:
        prober = RunnerProber(
            command,
            asking,
            stack,
            open_launcher=lambda: _Stage(host, performance),
            open_port=lambda _reserve: nullcontext(0),
        )
        yield _Watched(prober, performance)


@dataclass(frozen=True)
class _Watched:
    """A prober of whose results a performance learns."""

    prober: Prober
    performance: Performance

    async def probe(self, request: ProbeRequest) -> ProbeResult:
        result = await self.prober.probe(request)
        self.performance.came_of(request, result)
        return result


class _Stage:
    """Starts runners that exist only here."""

    def __init__(self, host: FakeHost, performance: Performance) -> None:
        self._host = host
        self._performance = performance
        self._actors: list[Actor] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not all(actor.gone for actor in self._actors):
            await finished(self._clear())

    async def _clear(self) -> None:
        for actor in self._actors:
            await actor.end()

    async def launch(self, command: Sequence[str], environment: Mapping[str, str]) -> RunnerProcess:
        delay = self._performance.delay(Seam.START)
        if delay is not None:
            await lapse(asyncio.get_running_loop(), delay, [])
        actor = Actor(self._host, command, environment, self._performance)
        self._actors.append(actor)
        return actor


class _Conversation:
    """Asks an actor: what a client would see of its script."""

    listens = True

    def arguments(self, variant: Variant, port: int) -> tuple[str, ...]:  # noqa: ARG002
        return ("runner", "--ollama-engine", "--port", str(port))

    async def ask(self, process: RunnerProcess, port: int) -> Reply:  # noqa: ARG002
        assert isinstance(process, Actor)
        return await until_answered(process, lambda: _exchange(process))


class _Printout(GpuDiscover):
    """Reads what an actor prints."""

    async def ask(self, process: RunnerProcess, port: int) -> Reply:
        assert isinstance(process, Actor)
        if not process.exit:
            await _print(process)
        return await super().ask(process, port)


async def _print(actor: Actor) -> None:
    """Let an actor print its answer and end, as far as its script says.

    Raises:
        RunnerGoneError: it ends before that.
    """
    script = actor.script
    if script.stops_itself or not script.binds:
        await actor.wait_for(None)  # until the deadline
    await actor.arrival(script.delay)
    if script.death and script.death.when == scripts.REQUEST:
        actor.die(script.death)
        raise RunnerGoneError
    if script.silent:
        await actor.wait_for(None)
    answer = script.answer
    if answer.raw is None:
        actor.record(answer)
    if answer.status != 200:
        actor.say(complaint(answer))
        actor.die(script.death or Death(scripts.START, code=1))
        return
    body = answer.body[: answer.cut] if answer.raw is None else answer.raw
    await _pass(actor, len(body), answer.body_pace)
    # One that never ends has at some time printed more than anybody reads.
    actor.stdout = (body * (ANSWER_SIZE // len(body) + 1) if answer.endless else body)[:ANSWER_SIZE]
    actor.die(script.death or Death(scripts.START, code=0))


async def _exchange(actor: Actor) -> Response:
    if actor.exit:
        raise RunnerGoneError
    script = actor.script
    if script.stops_itself or not script.binds:
        await actor.wait_for(None)  # until the deadline
    if actor.bound:
        await actor.arrival(0.0)
    else:
        await actor.arrival(script.delay)
        _bind(actor)
    actor.asked()
    script = actor.script
    if script.death and script.death.when == scripts.REQUEST:
        actor.die(script.death)
        raise RunnerGoneError
    if script.silent:
        await actor.wait_for(None)
    if actor.requests <= script.refusals:
        raise BadResponseError("the connection broke", cut_short=True)
    return await _read(actor, script.answer)


def _bind(actor: Actor) -> None:
    """Bind the port, unless somebody has it.

    Raises:
        RunnerGoneError: somebody has.
    """
    if actor.script.port_taken or actor.script.squatter:
        actor.say(scripts.gave_up(0))
        actor.die(Death(scripts.START, code=1))
        raise RunnerGoneError(port_taken=actor.script.squatter is not None)
    actor.bound = True


async def _read(actor: Actor, answer: Answer) -> Response:
    if answer.raw is not None:
        raise BadResponseError("the answer is not complete HTTP", cut_short=True)
    actor.record(answer)
    await _pass(actor, _HEAD, answer.head_pace)
    ready = actor.now()
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise BadResponseError("the answer is compressed, which was not asked for", ready=ready)
    if "Transfer-Encoding" in answer.headers:
        raise BadResponseError("the answer is not complete HTTP", ready=ready, cut_short=True)
    if answer.endless or len(answer.body) > MAX_ANSWER:
        raise BadResponseError("the answer does not end", ready=ready)
    await _pass(actor, len(answer.body), answer.body_pace, ready)
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


async def _pass(actor: Actor, size: int, pace: scripts.Pace | None, ready: float | None = None) -> None:
    """Wait as long as so many bytes take at this pace."""
    if pace:
        await actor.wait_for(size / pace.piece * pace.pause, ready=ready)
