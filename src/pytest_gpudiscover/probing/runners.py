"""The prober that starts real runner processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass

from pytest_gpudiscover.probing import Failure, ProbeRequest, ProbeResult
from pytest_gpudiscover.probing.asking import AskError, Asking, Reply, RunnerGoneError
from pytest_gpudiscover.probing.launching import launcher
from pytest_gpudiscover.probing.outcomes import EXHAUSTION
from pytest_gpudiscover.probing.ports import port_for_runner
from pytest_gpudiscover.probing.processes import Exit, Launcher, LaunchError, RunnerProcess
from pytest_gpudiscover.reports import Phase, Reason
from pytest_gpudiscover.text import printable

_MAX_STARTS = 3
"""How often a runner is started in all, when each time somebody else had taken its port."""
_ADDRESS_IN_USE = ("address already in use", "eaddrinuse", "only one usage of each socket address")


@asynccontextmanager
async def runner_prober(command: Sequence[str], asking: Asking) -> AsyncIterator[RunnerProber]:
    """Open a prober; no runner outlives the `async with` block, and without a probe no process is started."""
    async with AsyncExitStack() as stack:
        yield RunnerProber(command, asking, stack)


class RunnerProber:
    """Asks by starting a runner for each probe.

    Args:
        command: how the runner is started; the arguments of `asking` are appended.
        asking: how it is asked.
        stack: closes what starts the processes.
        open_launcher: makes what starts the processes.
        open_port: holds a port for a runner, reserved or not.
    """

    def __init__(
        self,
        command: Sequence[str],
        asking: Asking,
        stack: AsyncExitStack,
        *,
        open_launcher: Callable[[], Launcher] = launcher,
        open_port: Callable[[bool], AbstractContextManager[int]] = lambda reserve: port_for_runner(
            reserve=reserve
        ),
    ) -> None:
        self._command = tuple(command)
        self._asking = asking
        self._stack = stack
        self._open_launcher = open_launcher
        self._open_port = open_port
        self._opening = asyncio.Lock()
        self._launcher: Launcher | None = None

    async def probe(self, request: ProbeRequest) -> ProbeResult:
        """Start a runner, ask it, and end it and everything it started."""
        started = asyncio.get_running_loop().time()
        deadline = started + request.timeout
        for n in range(_MAX_STARTS):
            # It may be the reservation itself that a runner could not bind beside.
            with self._port(reserve=n == 0) as port:
                ended = await self._once(request, deadline, port)
            if not (self._asking.listens and ended.lost_its_port):
                return ended.result(request, started)
        failure = Failure(
            reason=Reason.PORT_TAKEN,
            detail=f"{_MAX_STARTS} ports in a row were taken by other programs before the runner bound them",
        )
        return ended.result(request, started, failure)

    def _port(self, *, reserve: bool) -> AbstractContextManager[int]:
        return self._open_port(reserve) if self._asking.listens else nullcontext(0)

    async def _once(self, request: ProbeRequest, deadline: float, port: int) -> _Ended:
        process: RunnerProcess | None = None
        reply, failure, ready, port_taken = None, None, None, False
        try:
            async with asyncio.timeout_at(deadline):
                arguments = self._asking.arguments(request.variant, port)
                process = await self._launch([*self._command, *arguments], request.environment)
                reply = await self._asking.ask(process, port)
                ready = reply.ready
        except AskError as error:
            failure, ready = error.failure, error.ready
        except RunnerGoneError as error:
            ready, port_taken = error.ready, error.port_taken
        except TimeoutError:
            failure = _out_of_time(request)
        except (LaunchError, OSError) as error:
            failure = _not_started(error)
        finally:
            try:
                if reply:
                    await reply.farewell()
            finally:
                own = await process.end() if process else None
        stderr = process.stderr if process else ""
        return _Ended(
            reply=reply, failure=failure, ready=ready, port_taken=port_taken, exit=own, stderr=stderr
        )

    async def _launch(self, command: Sequence[str], environment: Mapping[str, str]) -> RunnerProcess:
        if self._launcher is None:
            async with self._opening:
                if self._launcher is None:
                    self._launcher = await self._stack.enter_async_context(self._open_launcher())
        try:
            return await self._launcher.launch(command, environment)
        except ValueError as error:  # a NUL byte, or a name with "="
            raise LaunchError(f"{printable(command[0])} cannot be started: {error}") from error


@dataclass(kw_only=True, slots=True)
class _Ended:
    """What is known once a runner is gone."""

    reply: Reply | None = None
    failure: Failure | None = None
    ready: float | None = None
    port_taken: bool = False
    exit: Exit | None = None
    stderr: str = ""

    @property
    def lost_its_port(self) -> bool:
        """Whether the runner gave up because another program had its port."""
        gave_up = self.exit is not None and self.ready is None and self.exit.code not in (None, 0)
        return gave_up and (self.port_taken or any(words in self.stderr.lower() for words in _ADDRESS_IN_USE))

    def result(self, request: ProbeRequest, started: float, failure: Failure | None = None) -> ProbeResult:
        failure = failure or self.failure or self._own_end()
        answer = None if failure or not self.reply else self.reply.answer
        return ProbeResult(
            answer=answer.of_variant(request.variant.name, request.phase) if answer else None,
            failure=failure,
            started=started,
            ready=self.ready,
            ended=asyncio.get_running_loop().time(),
            exit_code=self.exit.code if self.exit else None,
            signal=self.exit.signal if self.exit else None,
            stderr=self.stderr,
        )

    def _own_end(self) -> Failure | None:
        """The runner's own end as a failure: only a clean exit after a complete answer is none."""
        if self.exit is None:
            return None
        when = (
            "after its answer"
            if self.reply
            else "in the middle of its answer"
            if self.ready
            else "before it answered"
        )
        if self.exit.signal:
            return Failure(reason=Reason.CRASHED, detail=f"the runner was ended by {self.exit.signal} {when}")
        if self.reply and self.exit.code == 0:
            return None
        said = f"; it said: {printable(last)}" if (last := _last_line(self.stderr)) else ""
        return Failure(
            reason=Reason.EXITED, detail=f"the runner ended with code {self.exit.code} {when}{said}"
        )


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "").strip()


def _not_started(error: LaunchError | OSError) -> Failure:
    if isinstance(error, LaunchError):
        return Failure(reason=Reason.NOT_STARTED, detail=error.detail, exhausted=error.exhausted)
    # Asking takes a socket, and there may be none left to be had.
    detail = f"the runner cannot be asked: {error.strerror or error}"
    return Failure(reason=Reason.NOT_STARTED, detail=detail, exhausted=error.errno in EXHAUSTION)


_OUT_OF_TIME = {
    Phase.ENUMERATE: "listing the devices",
    Phase.VERIFY: "initialising the device deeply",
    Phase.REFRESH: "refreshing the free memory",
}


def _out_of_time(request: ProbeRequest) -> Failure:
    detail = f"{_OUT_OF_TIME[request.phase]} took longer than {request.timeout:.3g} s"
    return Failure(reason=Reason.TIMEOUT, detail=detail)
