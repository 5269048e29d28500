"""How a runner is asked, once it has been started.

Ollama up to 0.2x and our own runners answer `GET /info`. Another way is one more implementation of `Asking`:
`probing.printing` has Ollama's later one.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

from pytest_gpudiscover.probing import Failure
from pytest_gpudiscover.probing.ports import LOOPBACK, owns
from pytest_gpudiscover.probing.processes import RunnerProcess
from pytest_gpudiscover.probing.responses import BadResponseError, Response
from pytest_gpudiscover.reports import Reason
from pytest_gpudiscover.text import printable
from pytest_gpudiscover.variants import Variant
from pytest_gpudiscover.wire import Answer, parse_answer

_POLL_FIRST, _POLL_LAST = 0.001, 0.010
"""Seconds between two tries to connect; they grow from one to the other."""
_ASK_AGAIN = 0.05
"""Seconds until a runner that answered 503 is asked again."""
_LAST_WORDS = 0.1
"""Seconds that a runner has to close its connection, and the kernel to report a death behind it."""
_AFTER_EXIT = 1.0
"""Seconds that an answer may still take once its runner is gone: what was sent is on its way."""
_MAX_BAD_ANSWERS = 3


@dataclass(frozen=True)
class Reply:
    """A runner's answer.

    Attributes:
        answer: what it says.
        ready: when it began, by the event loop's clock.
        connection: what it came over, still open; None in memory.
    """

    answer: Answer
    ready: float
    connection: socket.socket | None = None

    async def farewell(self) -> None:
        """Give the runner a moment to close its side, so that one that crashes after its answer is seen to.

        The answer is whole already: no deadline takes it back.
        """
        if self.connection is None:
            return
        with self.connection:
            try:
                async with asyncio.timeout(_LAST_WORDS):
                    while await asyncio.get_running_loop().sock_recv(self.connection, 4096):
                        pass
            except (TimeoutError, OSError):
                return


class AskError(Exception):
    """A runner that was asked and gave no answer.

    Attributes:
        failure: why.
        ready: when it began to answer, by the event loop's clock, if it did.
    """

    def __init__(self, failure: Failure, *, ready: float | None = None) -> None:
        super().__init__(failure.detail)
        self.failure = failure
        self.ready = ready


class RunnerGoneError(Exception):
    """The runner ended before it had answered; how, its own exit tells.

    Attributes:
        ready: when it began to answer, by the event loop's clock, if it did.
        port_taken: whether some other program was listening on its port.
    """

    def __init__(self, *, ready: float | None = None, port_taken: bool = False) -> None:
        super().__init__(ready, port_taken)
        self.ready = ready
        self.port_taken = port_taken


class Asking(Protocol):
    """One way of asking a runner."""

    @property
    def listens(self) -> bool:
        """Whether the runner listens on a port; one that does not is given none."""

    def arguments(self, variant: Variant, port: int) -> tuple[str, ...]:
        """What is appended to the runner's command."""

    async def ask(self, process: RunnerProcess, port: int) -> Reply:
        """Ask until there is an answer; the caller bounds the time.

        Raises:
            AskError: there will be none.
            RunnerGoneError: the runner ended.
        """


class HttpInfo:
    """Ask with `GET /info` on a loopback port."""

    listens = True

    def arguments(self, variant: Variant, port: int) -> tuple[str, ...]:  # noqa: ARG002 - the environment tells
        """The arguments of the protocol."""
        return ("runner", "--ollama-engine", "--port", str(port))

    async def ask(self, process: RunnerProcess, port: int) -> Reply:
        """Poll until the runner answers, and read the answer."""
        connection: socket.socket | None = None

        async def exchange() -> Response:
            nonlocal connection
            if connection is not None:
                connection.close()
            connection = await _connected(process, port)
            return await _unless_it_dies(process, connection)

        try:
            return replace(await until_answered(process, exchange), connection=connection)
        except BaseException:
            if connection is not None:
                connection.close()
            raise


async def until_answered(process: RunnerProcess, exchange: Callable[[], Awaitable[Response]]) -> Reply:
    """Ask until there is an answer: a bad one is asked for again twice, a busy runner as long as it says so.

    Args:
        process: the runner.
        exchange: sends one request, and reads the answer to its end. Raises BadResponseError for one that
            cannot be read, RunnerGoneError when there will be none.

    Raises:
        AskError: the runner has answered, and will not answer better.
        RunnerGoneError: the runner ended.
    """
    bad_answers = 0
    while True:
        try:
            reply = _understood(await exchange())
        except BadResponseError as error:
            if error.cut_short and await _ends_soon(process):
                raise RunnerGoneError(ready=error.ready) from error
            bad_answers += 1
            if bad_answers == _MAX_BAD_ANSWERS:
                detail = f"asked {bad_answers} times: {error}"
                raise AskError(Failure(reason=Reason.BAD_ANSWER, detail=detail), ready=error.ready) from error
            continue
        if reply is not None:
            return reply
        await asyncio.sleep(_ASK_AGAIN)


def _understood(response: Response) -> Reply | None:
    """Make sense of a complete answer; None means: ask again later.

    Raises:
        AskError: the runner says that it will not answer.
        BadResponseError: the body is not an answer.
    """
    if response.status == 200:
        answer = parse_answer(response.body)
        if answer.refused:
            raise BadResponseError(answer.refused.detail, ready=response.ready)
        return Reply(answer, response.ready)
    if response.status == 503:
        return None
    said = printable(response.body.decode("utf-8", "replace").strip())
    if response.status == 404:
        detail = "the runner is too old to report devices: it answered 404 to GET /info"
        raise AskError(Failure(reason=Reason.UNSUPPORTED, detail=detail), ready=response.ready)
    detail = f"the runner answered {response.status}: {said or 'nothing more'}"
    raise AskError(Failure(reason=Reason.RUNNER_ERROR, detail=detail), ready=response.ready)


async def _unless_it_dies(process: RunnerProcess, connection: socket.socket) -> Response:
    """Ask over a connection; once the runner is gone, wait only for what is on its way."""
    from pytest_gpudiscover.probing.http import get  # slow, and meanwhile the runner starts

    asking = asyncio.ensure_future(get(connection, "/info"))
    dying = asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait({asking, dying}, return_when=asyncio.FIRST_COMPLETED)
        if not asking.done():
            await asyncio.wait({asking}, timeout=_AFTER_EXIT)
        if not asking.done():
            raise RunnerGoneError
        return asking.result()
    finally:
        for task in (asking, dying):
            task.cancel()
        await asyncio.gather(asking, dying, return_exceptions=True)


async def _ends_soon(process: RunnerProcess) -> bool:
    """Whether the runner is dying: the kernel closes a process's sockets before it reports the exit."""
    try:
        async with asyncio.timeout(_LAST_WORDS):
            await process.wait()
    except TimeoutError:
        return False
    return True


async def _connected(process: RunnerProcess, port: int) -> socket.socket:
    """Poll until the runner itself accepts a connection on its port.

    Raises:
        RunnerGoneError: it ended before it listened.
    """
    pause, port_taken = _POLL_FIRST, False
    while True:
        gone = process.exit is not None
        connection = await _try(port)
        if connection is not None:
            if owns(process.pid, port):
                return connection
            connection.close()
            port_taken = True
        if gone:
            raise RunnerGoneError(port_taken=port_taken)
        await _pause(process, pause)
        pause = min(pause * 1.5, _POLL_LAST)


async def _try(port: int) -> socket.socket | None:
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (LOOPBACK, port))
        # A client that polls an ephemeral port can be given that very port, and reach itself.
        if connection.getsockname() != (LOOPBACK, port):
            return connection
    except OSError:
        pass
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


async def _pause(process: RunnerProcess, seconds: float) -> None:
    """Wait a moment, or until the runner ends."""
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        return
