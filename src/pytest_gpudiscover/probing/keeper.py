"""Starts runners through a keeper: a small process that kills them whatever becomes of us.

Why not start them directly: a process that was daemonised escapes its starter, and SIGKILL leaves the starter
no time to clean up. Why not fork here: this process may hold many threads and an initialised GPU driver,
which a fork breaks. What the keeper does and says is written in `keeper_program`. This side uses the event
loop's readers and writers only: no threads, no child watchers, and it never waits for the end of a stream,
which any grandchild can hold open.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from pytest_gpudiscover.probing.finishing import finished
from pytest_gpudiscover.probing.outcomes import exit_of, refusal
from pytest_gpudiscover.probing.output import ANSWER_SIZE, Output
from pytest_gpudiscover.probing.processes import Exit, LaunchError

PROGRAM = Path(__file__).with_name("keeper_program.py")
# How long the end of a runner, and of the keeper, may take: more than the keeper allows itself (seconds).
END_PATIENCE = 8.0
# What is read of a stream at once, and at most in a row: a flood must not hold up the event loop (bytes).
READ_SIZE = 65536
READ_LIMIT = 16 * READ_SIZE
# The host may have SIGPIPE at its default: a keeper that died must not take the host along.
NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)

_log = logging.getLogger(__name__)


def packed(command: Sequence[str], environment: Mapping[str, str]) -> bytes:
    """Write down what to start, as the keeper reads it: a length, then fields parted by NUL.

    Raises:
        LaunchError: no system could start this.
    """
    if any("=" in name or not name for name in environment):
        raise LaunchError(
            "cannot start a runner: a variable of its environment is unnamed or has a = in its name"
        )
    settings = [f"{name}={value}" for name, value in environment.items()]
    fields = [os.fsencode(field) for field in (str(len(command)), *command, *settings)]
    if not command or any(b"\0" in field for field in fields):
        raise LaunchError(
            "cannot start a runner: its command is empty, or holds a NUL, or its environment does"
        )
    body = b"\0".join(fields)
    return len(body).to_bytes(4, "big") + body


class Stream:
    """One output stream of a runner, read whenever the event loop says that there is something."""

    def __init__(self, descriptor: int, output: Output) -> None:
        """Own the descriptor: the read end of a pipe."""
        self.output = output
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._read)

    def _read(self) -> int:
        try:
            data = os.read(self._descriptor, READ_SIZE)
        except BlockingIOError:
            return 0
        self.output.add(data)
        if not data:
            self._loop.remove_reader(self._descriptor)
        return len(data)

    def drain(self) -> None:
        """Read what has been written so far, within reason."""
        size = 0
        while size < READ_LIMIT and (read := self._read()):
            size += read

    def close(self) -> None:
        """Read what is there, and let go of the rest."""
        self.drain()
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self.output.end()


class KeptRunner:
    """A runner that a keeper started, or is about to start."""

    def __init__(self, request: bytes, channel: socket.socket, stdout: int, stderr: int) -> None:
        """Own the channel and the read ends of both pipes, and send the request."""
        self.pid = 0
        self.exit: Exit | None = None
        self.refused: int | None = None
        self._channel = channel
        self._words = b""
        self._unsent = request
        self._loop = asyncio.get_running_loop()
        self._answered = asyncio.Event()
        self._ended = asyncio.Event()
        self._gone = asyncio.Event()
        self._output = Output("stdout of a runner", keeps=ANSWER_SIZE), Output("stderr of a runner")
        self._streams = Stream(stdout, self._output[0]), Stream(stderr, self._output[1])
        self._loop.add_reader(channel, self._listen)
        self._send()

    @property
    def stdout(self) -> bytes:
        """The beginning of what it wrote to stdout so far."""
        return self._output[0].beginning

    @property
    def stderr(self) -> str:
        """The tail of what it wrote to stderr so far, decoded, control characters replaced."""
        return self._output[1].tail

    async def answered(self) -> None:
        """Wait until it has a `pid`, or was refused; neither: its keeper died, or it was ended."""
        await self._answered.wait()

    async def wait(self) -> Exit:
        """Wait until it ends by itself.

        Returns:
            How it ended; SIGKILL when it was ended by us, or with its keeper.
        """
        await self._ended.wait()
        return self.exit or Exit(signal="SIGKILL")

    def kill(self) -> None:
        """Have it killed with everything it started; the keeper does it even if nobody waits for that."""
        if not self._gone.is_set():
            with contextlib.suppress(OSError):
                self._channel.shutdown(socket.SHUT_WR)

    async def end(self) -> Exit | None:
        """Kill it and everything it started, and reap them; may be called again.

        A process stuck in a driver dies when the driver lets go of it: after 8 seconds we stop waiting.
        When the awaiting task is cancelled, the kill goes on, and the launcher's `__aexit__` waits for it.

        Returns:
            How it had ended by itself, if it had: the status is then not that of our own kill.
        """
        self.kill()
        try:
            async with asyncio.timeout(END_PATIENCE):
                await self._gone.wait()
        except TimeoutError:
            _log.warning("Runner %d was killed but is not gone after %g s.", self.pid, END_PATIENCE)
            self._close()
        return self.exit

    def _send(self) -> None:
        """Send what the channel takes of the request, the rest when it takes more."""
        try:
            self._unsent = self._unsent[self._channel.send(self._unsent, NO_SIGNAL) :]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent = b""  # nobody reads it: what is still to be read says why
        if self._unsent:
            self._loop.add_writer(self._channel, self._send)
        else:
            self._loop.remove_writer(self._channel)

    def _listen(self) -> None:
        try:
            heard = self._channel.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            heard = b""
        *lines, self._words = (self._words + heard).split(b"\n")
        for line in lines:
            word, number = line.decode().split()
            self._understand(word, int(number))
        if not heard:
            self._close()

    def _understand(self, word: str, number: int) -> None:
        match word:
            case "started":
                self.pid = number
                self._answered.set()
            case "refused":
                self.refused = number
                self._close()
            case "ended":
                for stream in self._streams:  # whoever learns of the end wants the last words with it
                    stream.drain()
                self.exit = exit_of(os.waitstatus_to_exitcode(number))
                self._ended.set()
            case "left":
                _log.warning("Runner %d was killed, and something that it started is not gone.", self.pid)
                self._close()
            case "gone":
                self._close()

    def _close(self) -> None:
        if self._gone.is_set():
            return
        for stream in self._streams:
            stream.close()
        self._loop.remove_reader(self._channel)
        self._loop.remove_writer(self._channel)
        self._channel.close()
        for event in (self._answered, self._ended, self._gone):
            event.set()


class Keeper:
    """The keeper's process, and the control socket to it."""

    def __init__(self) -> None:
        """Start it; it is ready when it is ready: a message waits for it.

        Raises:
            OSError: the system refused.
        """
        self._control, theirs = socket.socketpair()
        try:
            self._control.setblocking(False)
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(PROGRAM), str(os.getpid())],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                close_fds=True,
                start_new_session=True,
            )
        except BaseException:
            self._control.close()
            raise
        finally:
            theirs.close()

    def hand_over(self, *descriptors: int) -> None:
        """Ask for a runner with this channel, stdout and stderr, of which the keeper gets copies.

        Raises:
            OSError: the keeper is dead, or does not take more.
        """
        attached = b"".join(descriptor.to_bytes(4, sys.byteorder) for descriptor in descriptors)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, attached)]
        self._control.sendmsg([b"+"], rights, NO_SIGNAL)

    async def stop(self) -> None:
        """Let it end, and reap it."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)
        try:
            async with asyncio.timeout(END_PATIENCE):
                with contextlib.suppress(OSError):
                    # It closes its end by ending.
                    await asyncio.get_running_loop().sock_recv(self._control, 1)
        except TimeoutError:
            pass
        finally:
            self.discard()

    def discard(self) -> None:
        """Reap it; at once if it still lives."""
        self._control.close()
        self._process.kill()
        self._process.wait()


class KeeperLauncher:
    """Starts runners through one keeper per `async with` block; needs POSIX.

    On Linux what daemonised is killed too, and nothing survives when this process is killed by SIGKILL. On
    other systems what left the runner's process group survives.
    """

    def __init__(self) -> None:
        self._keeper: Keeper | None = None
        self._runners: list[KeptRunner] = []
        self._open = False

    async def __aenter__(self) -> Self:
        """Start the keeper; if that fails, `launch` tries again and says why."""
        self._open = True
        with contextlib.suppress(OSError):
            self._keeper = Keeper()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every runner that still lives; a cancellation takes effect after that."""
        self._open = False
        for runner in self._runners:
            runner.kill()
        await finished(self._close())

    async def launch(self, command: Sequence[str], environment: Mapping[str, str]) -> KeptRunner:
        """Start a runner.

        Args:
            command: the program, looked up on the PATH of `environment` if it has no slash; its arguments.
            environment: its whole environment.

        Raises:
            LaunchError: the system refused.
        """
        if not self._open:
            raise RuntimeError("launch() works inside the launcher's `async with` block only")
        request = packed(command, environment)
        try:
            runner = self._request(request)
        except OSError as error:
            raise refusal(command[0], error.errno) from error
        self._runners.append(runner)
        try:
            await runner.answered()
        except BaseException:
            runner.kill()
            raise
        if runner.refused is not None:
            raise refusal(command[0], runner.refused)
        if not runner.pid:
            raise LaunchError(
                f"cannot start {command[0]}: the process that starts runners died", exhausted=True
            )
        return runner

    def _request(self, request: bytes) -> KeptRunner:
        """Make the channel and the pipes, keep our ends, and hand theirs to the keeper."""
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            channel, their_channel = socket.socketpair()
            ours.enter_context(channel)
            theirs.enter_context(their_channel)
            pipes = []
            for _ in ("stdout", "stderr"):
                reading, writing = os.pipe()
                ours.callback(os.close, reading)
                theirs.callback(os.close, writing)
                pipes.append((reading, writing))
            channel.setblocking(False)
            self._hand_over(their_channel.fileno(), *(writing for _, writing in pipes))
            ours.pop_all()
            return KeptRunner(request, channel, *(reading for reading, _ in pipes))

    def _hand_over(self, *descriptors: int) -> None:
        """Give the descriptors to the keeper, to a new one if there is none or it died."""
        if self._keeper is not None:
            try:
                self._keeper.hand_over(*descriptors)
            except (BrokenPipeError, ConnectionResetError):
                self._keeper.discard()
                self._keeper = None
            else:
                return
        self._keeper = Keeper()
        self._keeper.hand_over(*descriptors)

    async def _close(self) -> None:
        await asyncio.gather(*(runner.end() for runner in self._runners))
        if self._keeper is not None:
            await self._keeper.stop()
            self._keeper = None
