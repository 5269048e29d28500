"""Runners that answer with whatever they are given, in any manner: honest, cut short, or not HTTP at all.

They live in this process, as servers on the loopback. Asked they are by the one place that asks runners.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Self

from hostile_bodies import HostileBody, UntrueError

from pytest_gpudiscover.probing.asking import AskError, HttpInfo, RunnerGoneError
from pytest_gpudiscover.probing.ports import LOOPBACK
from pytest_gpudiscover.probing.processes import Exit
from pytest_gpudiscover.probing.responses import MAX_ANSWER
from pytest_gpudiscover.reports import Reason
from pytest_gpudiscover.wire import parse_answer

_DEADLINE = 60.0
"""Seconds that no answer takes, on however slow a machine."""
_SILENCE = 0.3
"""Seconds after which a runner that says no more is given up."""
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Manner:
    """How a runner answers.

    Attributes:
        pieces: what it sends, each for itself.
        honest: whether that is complete HTTP with the body in it, so that it must be read as it is in memory.
        busy: whether it answers 503 first.
        ending: `close` and `reset` are its connection's; with `hold` that stays open, and nothing more is
            said; with `die` its process ends.
    """

    pieces: tuple[bytes, ...]
    honest: bool = False
    busy: bool = False
    ending: str = "close"


_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
_STATUSES = (100, 101, 103, 200, 201, 204, 206, 301, 304, 400, 404, 500, 501, 599, 700, 999)
_ODD_HEADS = (
    *(
        b"Content-Length: -1",
        b"Content-Length: 1\r\nContent-Length: 2",
        b"Content-Length: 99999999999999999999",
    ),
    *(
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: chunked\r\nContent-Length: 2",
        b"Content-Encoding: gzip",
    ),
    *(
        b"X: " + b"x" * 120_000,
        b"\xff\xfe: \x00",
        b" folded",
        b": no name",
        b"no colon",
        b"Location: http://a/",
    ),
    *(
        b"Content-Encoding: \xff\x1b",
        b"Connection: keep-alive, upgrade\r\nUpgrade: h2c",
        b"Content-Length: 0",
    ),
)


def _with_length(body: bytes, by: int = 0) -> bytes:
    return _OK + b"Content-Length: %d\r\n\r\n" % max(0, len(body) + by) + body


def _chunked(chance: Random, body: bytes) -> bytes:
    chunks = b""
    while body:
        size = chance.randrange(1, len(body) + 1)
        chunks += b"%x\r\n%b\r\n" % (size, body[:size])
        body = body[size:]
    return _OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def _cut(chance: Random, sent: bytes) -> Manner:
    ending = chance.choice(("close", "reset", "die", "hold"))
    return Manner((sent[: chance.randrange(len(sent))],), ending=ending)


def _in_pieces(chance: Random, sent: bytes) -> tuple[bytes, ...]:
    places = sorted(chance.choices(range(len(sent) + 1), k=3))
    return tuple(sent[a:b] for a, b in zip([0, *places], [*places, len(sent)], strict=True))


def _changed(chance: Random, sent: bytes) -> bytes:
    """Bytes of the head are others, as the body's are in other bodies."""
    at = chance.randrange(min(len(sent), 90))
    return sent[:at] + chance.randbytes(chance.randrange(3)) + sent[at + chance.randrange(4) :]


_MANNERS: Sequence[Callable[[Random, bytes], Manner]] = (
    lambda _, body: Manner((_with_length(body),), honest=True),
    lambda _, body: Manner((_with_length(body),), honest=True, ending="hold"),
    lambda _, body: Manner((_with_length(body),), honest=True, busy=True),
    lambda _, body: Manner((_OK + b"\r\n" + body,), honest=True),
    lambda chance, body: Manner((_chunked(chance, body),), honest=True),
    lambda chance, body: Manner(_in_pieces(chance, _chunked(chance, body)), honest=True),
    lambda chance, body: Manner(_in_pieces(chance, _with_length(body)), honest=True),
    lambda chance, body: Manner((_with_length(body, chance.choice((-50, -1, 1, 1000))),)),
    lambda chance, body: _cut(chance, _with_length(body)),
    lambda chance, body: _cut(chance, _chunked(chance, body)),
    lambda chance, body: Manner((_changed(chance, _with_length(body)),)),
    lambda chance, body: Manner((_changed(chance, _chunked(chance, body)),)),
    lambda chance, body: Manner((_OK + chance.choice(_ODD_HEADS) + b"\r\n\r\n" + body,)),
    lambda chance, body: Manner((b"HTTP/1.1 %d X\r\n\r\n" % chance.choice(_STATUSES) + body,)),
    lambda _, body: Manner((body,)),
)


def manner_of(chance: Random, body: bytes) -> Manner:
    """Draw how a body is sent; one time in a thousand there is more of it than anybody reads."""
    if chance.random() < 0.001:
        return Manner((_OK + b"\r\n" + body, bytes(MAX_ANSWER + 1)))
    return chance.choice(_MANNERS)(chance, body)


class HostileRunner:
    """A runner that answers in the manner it was told last, as a process and a server at once."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.port = 0
        self.stderr = ""
        self.exit: Exit | None = None
        self._manner = Manner(())
        self._busy = False
        self._dead = asyncio.Event()
        self._handlers: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Listen no more, once every connection is closed."""
        self._server.close()
        await asyncio.gather(*self._handlers)

    async def wait(self) -> Exit:
        """Wait until it dies."""
        await self._dead.wait()
        return Exit(signal="SIGSEGV")

    async def end(self) -> Exit | None:
        """There is nothing to kill."""
        return self.exit

    async def answer(self, body: HostileBody, manner: Manner) -> str:
        """Be asked, and answer with that body, in that manner.

        Returns:
            How it ended: `answer`, or the failure's name.

        Raises:
            UntrueError: that is no way in which this may end.
        """
        self._manner, self._busy, self.exit, self._dead = manner, manner.busy, None, asyncio.Event()
        hangs = manner.ending == "hold" and not manner.honest
        try:
            async with asyncio.timeout(_SILENCE if hangs else _DEADLINE):
                reply = await HttpInfo().ask(self, self.port)
        except (AskError, RunnerGoneError) as error:
            _check_failure(body, manner, error)
            return type(error).__name__
        except TimeoutError as error:
            if hangs:
                return "silence"
            raise UntrueError(f"no answer within {_DEADLINE:.0f} s") from error
        await reply.farewell()
        HostileBody(body.content).check(reply.answer)
        if manner.honest and reply.answer != parse_answer(body.content):
            raise UntrueError("over the wire the answer is another one than in memory")
        return "answer"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        task.add_done_callback(self._handlers.discard)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            await self._send(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _send(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        manner = self._manner
        pieces, self._busy = (_BUSY,) if self._busy else manner.pieces, False
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if manner.ending == "hold":
            await reader.read()
        elif manner.ending == "reset":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        elif manner.ending == "die":
            self.exit = Exit(signal="SIGSEGV")
            self._dead.set()


def _check_failure(body: HostileBody, manner: Manner, error: AskError | RunnerGoneError) -> None:
    if not manner.honest:
        return
    refused = parse_answer(body.content).refused is not None
    if not (refused and isinstance(error, AskError) and error.failure.reason is Reason.BAD_ANSWER):
        raise UntrueError("a complete answer was not taken") from error
