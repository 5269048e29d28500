"""The event loop whose clock jumps."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpudiscover.simulation import StandstillError
from pytest_gpudiscover.simulation.virtual_time import HORIZON, VirtualTimeLoop, run


def now() -> float:
    return asyncio.get_running_loop().time()


async def for_ever() -> None:
    await asyncio.get_running_loop().create_future()


def test_an_hour_passes_at_once_and_the_clock_knows_it() -> None:
    async def main() -> float:
        await asyncio.sleep(3600)
        return now()

    assert run(main()) == 3600


@given(st.lists(st.floats(0, HORIZON)), st.none() | st.integers())
def test_timers_fire_at_their_moments_in_order_and_the_clock_never_goes_back(
    moments: list[float], seed: int | None
) -> None:
    seen: list[tuple[float, float]] = []

    def fire(due: float) -> None:
        seen.append((due, now()))

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for moment in moments:
            loop.call_at(moment, fire, moment)
        if moments:
            await asyncio.sleep(max(moments))
            await asyncio.sleep(0)

    run(main(), seed=seed)
    fired = [due for due, _ in seen]
    assert fired == sorted(fired)
    assert all(due == at for due, at in seen)


def order_of_five(seed: int | None) -> tuple[int, ...]:
    order: list[int] = []

    async def one(number: int) -> None:
        await asyncio.sleep(5)
        order.append(number)

    async def main() -> None:
        await asyncio.gather(*map(one, range(5)))

    run(main(), seed=seed)
    return tuple(order)


def test_what_is_due_at_one_moment_comes_in_the_order_of_the_seed() -> None:
    assert order_of_five(None) == (0, 1, 2, 3, 4)
    assert order_of_five(1) == order_of_five(1)
    assert {order_of_five(seed) for seed in range(2000)} == set(permutations(range(5)))


def test_what_is_due_at_one_moment_comes_alone_or_together() -> None:
    async def main() -> int:
        # Both timers are due; whoever waits for the first is told before the second one fires, or after.
        loop = asyncio.get_running_loop()
        first: asyncio.Future[None] = loop.create_future()
        fired: list[None] = []
        loop.call_later(1, first.set_result, None)
        loop.call_later(1, fired.append, None)
        await first
        return len(fired)

    assert {run(main(), seed=seed) for seed in range(50)} == {0, 1}
    assert run(main()) == 1


def test_a_cancelled_timer_does_not_move_the_clock() -> None:
    async def main() -> float:
        asyncio.get_running_loop().call_later(50, print).cancel()
        await asyncio.sleep(1)
        async with asyncio.timeout(70):
            await asyncio.sleep(0)
        return now()

    assert run(main()) == 1


def test_a_moment_that_is_past_is_now() -> None:
    async def main() -> float:
        await asyncio.sleep(2)
        reached = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_at(1, reached.set_result, None)
        await reached
        return now()

    assert run(main()) == 2


async def spinning() -> None:
    while True:  # noqa: ASYNC110 - in circles is what it should run
        await asyncio.sleep(0)


async def ringing() -> None:
    loop = asyncio.get_running_loop()

    def ring() -> None:
        loop.call_later(0, ring)

    ring()
    await for_ever()


async def too_late() -> None:
    await asyncio.sleep(HORIZON + 1)


async def asking_again_and_again() -> None:
    while True:  # noqa: ASYNC110 - the same
        await asyncio.sleep(1)


@pytest.mark.parametrize(
    ("main", "said"),
    [
        (for_ever, "at 0 s of virtual time nothing is ready, and no timer is set"),
        (spinning, "the clock stands still, callbacks only make each other ready"),
        (ringing, "the clock stands still, callbacks only make each other ready"),
        (too_late, "nothing is ready before 86401 s, beyond the horizon"),
        (asking_again_and_again, f"at {HORIZON:g} s of virtual time nothing is ready before 86401 s"),
    ],
)
def test_what_never_ends_is_an_error_that_says_who_waits_where(
    main: Callable[[], Awaitable[None]], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_gpudiscover.simulation.virtual_time._STEPS_AT_ONE_MOMENT", 1000)

    async def call() -> None:
        await main()

    with pytest.raises(StandstillError, match=said) as caught:
        run(call())
    (waiting,) = caught.value.waiting
    assert f"waits at {__file__}:" in waiting
    assert waiting in str(caught.value)


def test_an_error_comes_out_as_it_is() -> None:
    async def main() -> None:
        await asyncio.sleep(1)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run(main())


def test_what_is_left_running_is_cancelled_and_has_its_time_to_clean_up() -> None:
    cleaned: list[float] = []

    async def lingering() -> None:
        try:
            await for_ever()
        finally:
            await asyncio.sleep(10)
            cleaned.append(now())

    async def main() -> None:
        tasks = [asyncio.create_task(lingering()) for _ in range(3)]
        await asyncio.sleep(1)
        assert len(tasks) == 3

    run(main())
    assert cleaned == [11, 11, 11]


def test_what_is_begun_while_the_rest_is_cancelled_is_cancelled_too() -> None:
    ended = []

    async def last() -> None:
        try:
            await asyncio.sleep(1)
        finally:
            ended.append("last")

    async def begins_another() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            begun.append(asyncio.ensure_future(last()))
            await asyncio.sleep(0)

    async def main() -> None:
        begun.append(asyncio.ensure_future(begins_another()))
        await asyncio.sleep(1)

    begun: list[asyncio.Future[None]] = []
    run(main())
    assert ended == ["last"]
    assert all(future.cancelled() for future in begun)


def test_what_is_left_running_and_heeds_no_cancellation_is_an_error() -> None:
    async def stubborn() -> None:
        while True:
            try:
                await for_ever()
            except asyncio.CancelledError:
                continue

    async def main() -> asyncio.Task[None]:
        task = asyncio.create_task(stubborn())
        await asyncio.sleep(1)
        return task

    with pytest.raises(StandstillError, match="nothing is ready"):
        run(main())


async def fail_after(seconds: float) -> None:
    await asyncio.sleep(seconds)
    raise ValueError(f"after {seconds:g} s")


def test_errors_that_nobody_was_there_to_catch_come_out_in_the_end() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 // 0)
        asyncio.create_task(fail_after(1))  # noqa: RUF006 - nobody keeps it
        await asyncio.sleep(2)

    with pytest.raises(BaseExceptionGroup) as caught:
        run(main())
    assert {type(error) for error in caught.value.exceptions} == {ZeroDivisionError, ValueError}


@pytest.fixture
def uncollected_garbage() -> Iterator[None]:
    """What is in a circle of references stays there: only the last reference lets go of an object."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("seconds", [0, 1])
@pytest.mark.usefixtures("uncollected_garbage")
def test_a_forgotten_error_is_heard_of_before_garbage_is_collected(seconds: float) -> None:
    async def main() -> None:
        asyncio.create_task(fail_after(seconds))  # noqa: RUF006 - nobody keeps it
        await asyncio.sleep(2)

    with pytest.raises(BaseExceptionGroup) as caught:
        run(main())
    assert [str(error) for error in caught.value.exceptions] == [f"after {seconds:g} s"]


@pytest.mark.usefixtures("uncollected_garbage")
def test_the_error_with_which_a_loop_stops_is_heard_of_at_once() -> None:
    ended = asyncio.Event()

    async def failing() -> None:
        try:
            await fail_after(1)
        finally:
            ended.set()

    with closing(VirtualTimeLoop()) as loop:
        loop.create_task(failing())
        loop.run_until(ended.is_set)
        assert [str(error) for error in loop.complaints] == ["after 1 s"]


def test_a_task_that_fails_while_it_is_cancelled_is_heard_of() -> None:
    async def failing() -> None:
        try:
            await for_ever()
        finally:
            raise ValueError("while cleaning up")

    async def main() -> asyncio.Task[None]:
        task = asyncio.create_task(failing())
        await asyncio.sleep(1)
        return task

    with pytest.raises(BaseExceptionGroup) as caught:
        run(main())
    assert [str(error) for error in caught.value.exceptions] == ["while cleaning up"]


def test_there_are_no_threads() -> None:
    async def main() -> None:
        await asyncio.to_thread(print)

    with pytest.raises(RuntimeError, match="no threads under virtual time"):
        run(main())


async def test_a_loop_that_runs_already_is_named_as_what_is_in_the_way() -> None:
    main = asyncio.sleep(1)
    with pytest.raises(RuntimeError, match="running already: expected a call from a plain function"):
        run(main)
    main.close()


def test_a_loop_runs_until_something_is_so_and_goes_on_later() -> None:
    loop = VirtualTimeLoop()
    ticks: list[float] = []

    async def ticking() -> None:
        for _ in range(9):
            await asyncio.sleep(1)
            ticks.append(now())

    task = loop.create_task(ticking())
    loop.run_until(lambda: len(ticks) == 4)
    assert (loop.time(), task.done()) == (4, False)
    loop.run_until_complete(task)
    assert ticks == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    loop.close()
