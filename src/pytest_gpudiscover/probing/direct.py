"""Starts runners as children of this process: the fallback where there is no keeper, such as Windows.

It finds what a runner started through the parents of processes, so what daemonised escapes it, and nothing
is cleaned up when this process is killed by SIGKILL. A runner inherits our ignored signals (but SIGPIPE) and
our signal mask, and a host that ignores SIGCHLD never learns how a runner ended. Written to work on Windows,
where it is untested.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self, cast

import psutil

from pytest_gpudiscover.probing.finishing import finished
from pytest_gpudiscover.probing.outcomes import exit_of, refusal
from pytest_gpudiscover.probing.output import ANSWER_SIZE, Output
from pytest_gpudiscover.probing.processes import Exit, LaunchError

POSIX = os.name == "posix"
# The return code of what `psutil` has killed: on Windows it gives them SIGTERM's number as their code.
KILLED = -9 if POSIX else signal.SIGTERM.value
# How long killed processes may take to go, and how often they are looked at (seconds).
END_PATIENCE = 5.0
END_CHECK = 0.01
# How long the last words of an ended runner are waited for: a grandchild may hold its pipes open (seconds).
LAST_WORDS_PATIENCE = 0.2

_log = logging.getLogger(__name__)


def lives(process: psutil.Process) -> bool:
    """Whether it runs, or is stopped; a zombie has ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def family_of(process: psutil.Process) -> list[psutil.Process]:
    """It and all that descend from it; empty when it is gone."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


class DirectRunner(asyncio.SubprocessProtocol):
    """A runner that is a child of this process."""

    def __init__(self) -> None:
        self.exit: Exit | None = None
        self._outputs = {1: Output("stdout of a runner", keeps=ANSWER_SIZE), 2: Output("stderr of a runner")}
        self._pipes = set(self._outputs)
        self._exited = asyncio.Event()
        self._silent = asyncio.Event()
        self._closed = asyncio.Event()
        self._killed = False
        self._family: list[psutil.Process] = []

    @property
    def pid(self) -> int:
        """The process id of the runner itself."""
        return self._transport.get_pid()

    @property
    def stdout(self) -> bytes:
        """The beginning of what it wrote to stdout so far."""
        return self._outputs[1].beginning

    @property
    def stderr(self) -> str:
        """The tail of what it wrote to stderr so far, decoded, control characters replaced."""
        return self._outputs[2].tail

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the process that was started."""
        self._transport = cast("asyncio.SubprocessTransport", transport)
        with contextlib.suppress(psutil.NoSuchProcess):
            self._family = [psutil.Process(self.pid)]

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Take what it wrote."""
        self._outputs[fd].add(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002 -- why does not matter
        """Note that it will write no more."""
        if fd in self._pipes:
            self._outputs[fd].end()
            self._pipes.remove(fd)
        if not self._pipes:
            self._silent.set()

    def process_exited(self) -> None:
        """Note how it ended, unless that was our doing."""
        code = self._transport.get_returncode()
        if code is not None and not (self._killed and code == KILLED):
            self.exit = exit_of(code)
        self._exited.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- why does not matter
        """Note that its descriptors are closed."""
        self._closed.set()

    async def wait(self) -> Exit:
        """Wait until it ends by itself.

        Returns:
            How it ended; SIGKILL when it was ended by us.
        """
        await self._exited.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_PATIENCE):
                await self._silent.wait()
        return self.exit or Exit(signal="SIGKILL")

    def kill(self) -> None:
        """Kill it and everything it started, as far as that can be found."""
        if self._killed or self._closed.is_set():
            return
        self._killed = any(lives(process) for process in self._family)
        self._family = [member for process in self._family for member in family_of(process)]
        if POSIX:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        for process in self._family:
            with contextlib.suppress(psutil.Error):
                process.kill()

    async def end(self) -> Exit | None:
        """Kill it and everything it started, and reap it; may be called again.

        Returns:
            How it had ended by itself, if it had: the status is then not that of our own kill.
        """
        self.kill()
        try:
            async with asyncio.timeout(END_PATIENCE):
                await self.wait()
                while any(lives(process) for process in self._family):  # noqa: ASYNC110 -- no event tells
                    await asyncio.sleep(END_CHECK)
        except TimeoutError:
            _log.warning("Runner %d was killed but is not gone after %g s.", self.pid, END_PATIENCE)
        finally:
            self._transport.close()
        if self._exited.is_set():
            await self._closed.wait()
        return self.exit


class DirectLauncher:
    """Starts runners as children of this process; see the module for what it cannot do."""

    def __init__(self) -> None:
        self._starting: set[asyncio.Task[DirectRunner]] = set()
        self._runners: list[DirectRunner] = []
        self._open = False

    async def __aenter__(self) -> Self:
        """Allow launches."""
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every runner that still lives; a cancellation takes effect after that."""
        self._open = False
        for runner in self._runners:
            runner.kill()
        await finished(self._close())

    async def _close(self) -> None:
        await asyncio.gather(*self._starting, return_exceptions=True)
        await asyncio.gather(*(runner.end() for runner in self._runners))

    async def launch(self, command: Sequence[str], environment: Mapping[str, str]) -> DirectRunner:
        """Start a runner.

        Args:
            command: the program and its arguments.
            environment: its whole environment.

        Raises:
            LaunchError: the system refused.
        """
        if not self._open:
            raise RuntimeError("launch() works inside the launcher's `async with` block only")
        if not command:
            raise LaunchError("cannot start a runner: its command is empty")
        # Cancelled in between, asyncio would kill the runner without what it has started, and lose its pipes.
        starting = asyncio.ensure_future(self._start(command, environment))
        self._starting.add(starting)
        starting.add_done_callback(self._starting.discard)
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(_unwanted)
            raise
        except OSError as error:
            raise refusal(command[0], error.errno) from error
        except ValueError as error:
            raise LaunchError(f"cannot start {command[0]!r}: {error}") from error

    async def _start(self, command: Sequence[str], environment: Mapping[str, str]) -> DirectRunner:
        _, runner = await asyncio.get_running_loop().subprocess_exec(
            DirectRunner,
            *command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=POSIX,
        )
        self._runners.append(runner)
        return runner


def _unwanted(starting: asyncio.Task[DirectRunner]) -> None:
    """Kill a runner whose launch was cancelled."""
    if not starting.cancelled() and starting.exception() is None:
        starting.result().kill()
