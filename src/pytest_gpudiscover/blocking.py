"""The engine for code that is not asynchronous."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from pytest_gpudiscover.engine import Discovery
from pytest_gpudiscover.installations import Installation
from pytest_gpudiscover.reports import Report

_T = TypeVar("_T")


def discover(installation: Installation, **options: Any) -> Report:
    """Discover once, and wait for it. Works inside a running event loop, which it blocks, and outside.

    Args:
        installation: what to discover with.
        options: those of `Discovery`.

    Raises:
        InstallationError: discovery cannot run: no runner, or no library root.
    """
    discovery = Discovery(installation, **options)
    run_in_thread(discovery.devices)
    return discovery.report


def run_in_thread(start: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Run a coroutine to its end in an event loop and a thread of its own.

    A thread, because a running loop cannot run another one beneath it, and because `asyncio.run` in the main
    thread would take away the loop that other plugins have set there. An interrupt (Ctrl-C) cancels the
    coroutine, waits until it has cleaned up, and is raised again.
    """
    running = _Running(start)
    thread = threading.Thread(target=running.run, name="gpudiscover", daemon=True)
    thread.start()
    try:
        running.wait()
    except BaseException:
        running.cancel()
        running.wait()
        raise
    value: _T = running.result()
    return value


class _Running:
    def __init__(self, start: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._start = start
        self._task: asyncio.Task[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._cancelled = threading.Event()
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._value: Any = None

    def run(self) -> None:
        try:
            self._value = asyncio.run(self._main())
        except BaseException as error:
            self._error = error
        finally:
            self._ended.set()

    def wait(self) -> None:
        # Not Thread.join: before 3.13 an interrupted join takes a running thread for one that has ended.
        while not self._ended.wait(0.1):  # without a timeout Windows would not see Ctrl-C
            pass

    async def _main(self) -> Any:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        if self._cancelled.is_set():
            raise asyncio.CancelledError
        return await self._start()

    def cancel(self) -> None:
        self._cancelled.set()
        if self._loop and self._task:
            try:
                self._loop.call_soon_threadsafe(self._task.cancel)
            except RuntimeError:  # the loop has just closed: there is nothing left to cancel
                return

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._value
