"""An event loop whose clock jumps: an hour of waiting takes no time.

When no callback is ready, the clock moves to the next timer. There is no thread, no socket, no process and no
sleep in it, so the same code does the same at every run. What is due at the same moment comes in an order
that the seed decides: asyncio leaves it undefined.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import random
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context, copy_context
from typing import Any, NoReturn, TypeVar, TypeVarTuple

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

HORIZON = 24 * 3600.0
"""Virtual seconds after which nobody waits for anything sensible any more."""
_STEPS_AT_ONE_MOMENT = 1_000_000
"""How many callbacks may make each other ready before that counts as running in circles."""


class StandstillError(RuntimeError):
    """Nothing can come of it any more: everybody waits for somebody, or runs in circles.

    Attributes:
        problem: what has stopped.
        at: when, in virtual seconds.
        waiting: the tasks that had not ended, and where in the code each of them was.
    """

    def __init__(self, problem: str, at: float, waiting: tuple[str, ...]) -> None:
        super().__init__(problem, at, waiting)
        self.problem = problem
        self.at = at
        self.waiting = waiting

    def __str__(self) -> str:
        tasks = "; ".join(self.waiting) or "no task is left"
        return f"at {self.at:g} s of virtual time {self.problem}: {tasks}"


def _no_threads(*_: object, **__: object) -> NoReturn:
    raise RuntimeError("there are no threads under virtual time: expected coroutines that wait for timers")


def _nothing() -> None:
    """What is left of a callback that was cancelled."""


class _Due(asyncio.TimerHandle):
    """A callback, ready or not yet. Many are made: nothing in it asks whether the loop is in debug mode."""

    __slots__ = ()

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: Context | None,
    ) -> None:
        self._when = when
        self._callback = callback
        self._args = args
        self._loop = loop
        self._context = copy_context() if context is None else context
        self._cancelled = self._scheduled = False
        self._repr = self._source_traceback = None

    def cancel(self) -> None:
        self._cancelled = True  # and let what it would have called with be forgotten
        self._callback, self._args = _nothing, ()

    def run(self) -> None:
        try:
            self._context.run(self._callback, *self._args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._loop.call_exception_handler({"message": "a callback failed", "exception": error})
        finally:
            # An error knows the frames that it came through. Where this one knows the task that failed, only
            # the garbage collector lets go of both, and nobody hears of the error before.
            del self


class VirtualTimeLoop(asyncio.BaseEventLoop):
    """The event loop. Its clock begins at 0 and counts seconds that nobody waits for.

    Args:
        seed: decides the order of timers that are due at the same moment; None: the order in which they were
            set.
        horizon: the last moment that is waited for, in virtual seconds.

    Attributes:
        complaints: exceptions that nobody was there to catch: raised in callbacks, or by forgotten tasks.
    """

    call_soon_threadsafe: Any = _no_threads
    run_in_executor: Any = _no_threads
    # Each handle and future asks: `bool()` is no, and the quickest way to say so.
    get_debug: Any = staticmethod(bool)

    def __init__(self, seed: int | None = None, *, horizon: float = HORIZON) -> None:
        self._running = False
        super().__init__()
        self.complaints: list[BaseException] = []
        self._horizon = horizon
        self._chance = None if seed is None else random.Random(seed)  # noqa: S311 - it is to be repeatable
        self._now = 0.0
        self._soon: deque[_Due] = deque()
        self._timers: list[tuple[float, float, int, _Due]] = []
        self._set = self._steps = 0

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def is_running(self) -> bool:
        """Whether it is running now."""
        return self._running

    def call_soon(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Call at this very moment, after what is ready already."""
        handle = _Due(self._now, callback, args, self, context)
        self._soon.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call after so many virtual seconds."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call at a moment of the virtual clock; one that is past is now."""
        handle = _Due(when, callback, args, self, context)
        moment = max(self._now, when)
        lot = self._chance.random() if self._chance else 0.0
        self._set += 1
        heapq.heappush(self._timers, (moment, lot, self._set, handle))
        return handle

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what nobody was there to catch."""
        self.complaints.append(context.get("exception") or RuntimeError(context["message"]))

    def run_until_complete(self, future: Any) -> Any:
        """Run until a coroutine, task or future is done.

        Returns:
            its result.

        Raises:
            StandstillError: it will never be done.
        """
        with self._current():
            task = asyncio.ensure_future(future, loop=self)
            self._run(task.done)
        return task.result()

    def run_until(self, reached: Callable[[], bool]) -> None:
        """Run until something is so; it is looked at after each callback.

        Raises:
            StandstillError: it will never be so.
        """
        with self._current():
            self._run(reached)

    def tasks(self) -> list[asyncio.Task[Any]]:
        """The tasks that have not ended, in the order in which they were made."""
        return sorted(asyncio.all_tasks(self), key=_age)

    def wind_up(self) -> None:
        """Cancel whatever has not ended, and let it.

        Raises:
            StandstillError: it does not heed that.
        """
        self._steps = 0
        while left := self.tasks():  # again: one that is cancelled may begin another
            for task in left:
                task.cancel()
            with self._current():
                for task in left:
                    self._run(task.done)
                    if not task.cancelled() and (error := task.exception()):
                        self.complaints.append(error)

    @contextlib.contextmanager
    def _current(self) -> Iterator[None]:
        if asyncio._get_running_loop() is not None:  # noqa: SLF001 - where loops say so, by its docstring
            raise RuntimeError("an event loop is running already: expected a call from a plain function")
        asyncio._set_running_loop(self)  # noqa: SLF001
        self._running = True
        try:
            yield
        finally:
            self._running = False
            asyncio._set_running_loop(None)  # noqa: SLF001

    def _run(self, reached: Callable[[], bool]) -> None:
        soon = self._soon
        while not reached():
            if not soon:
                self._go_on()
            self._steps += 1
            if self._steps > _STEPS_AT_ONE_MOMENT:
                raise self._standstill("the clock stands still, callbacks only make each other ready")
            handle = soon.popleft()
            if not handle.cancelled():
                handle.run()
            del handle  # as in `_Due.run`

    def _go_on(self) -> None:
        """Move to the next moment at which something is due, which may be this one."""
        timers, chance = self._timers, self._chance
        while timers and timers[0][-1].cancelled():
            heapq.heappop(timers)
        if not timers:
            raise self._standstill("nothing is ready, and no timer is set that could change that")
        when = timers[0][0]
        if when > self._horizon:
            raise self._standstill(f"nothing is ready before {when:g} s, beyond the horizon")
        if when > self._now:
            self._now, self._steps = when, 0
        while timers and timers[0][0] <= when:
            self._soon.append(heapq.heappop(timers)[-1])
            # A real loop may see what is due at one moment all at once, or one after the other.
            if chance and chance.random() < 0.5:
                break

    def _standstill(self, problem: str) -> StandstillError:
        return StandstillError(problem, self._now, tuple(map(_whereabouts, self.tasks())))


def run(main: Coroutine[Any, Any, _T], *, seed: int | None = None, horizon: float = HORIZON) -> _T:
    """Run a coroutine under virtual time, as `asyncio.run` does under real time.

    What it leaves running is cancelled.

    Args:
        main: the coroutine.
        seed: of `VirtualTimeLoop`.
        horizon: the same.

    Raises:
        StandstillError: it, or something that it left running, will never end.
        BaseExceptionGroup: it left errors behind that nobody was there to catch.
    """
    with contextlib.closing(VirtualTimeLoop(seed, horizon=horizon)) as loop:
        try:
            result: _T = loop.run_until_complete(main)
        except BaseException:
            with contextlib.suppress(StandstillError):
                loop.wind_up()
            raise
        loop.wind_up()
        if loop.complaints:
            raise BaseExceptionGroup("nobody was there to catch", loop.complaints)
        return result


def _age(task: asyncio.Task[Any]) -> tuple[int, str]:
    # Tasks are called Task-9, Task-10 and so on; the set that asyncio keeps them in has no order.
    return len(task.get_name()), task.get_name()


def _whereabouts(task: asyncio.Task[Any]) -> str:
    frames = task.get_stack()
    where = f"{frames[-1].f_code.co_filename}:{frames[-1].f_lineno}" if frames else "its start"
    return f"{task.get_name()} waits at {where}"
