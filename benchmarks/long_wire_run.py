"""Reads a million answers of which most are broken, and asks ten thousand runners for such ones.

Nothing may raise, nothing that is whole may be lost, and neither memory nor descriptors may grow.
`python benchmarks/long_wire_run.py --help` says what can be chosen. The first body that is not read as it
must be is written to a file that is named after its seed and number, and `--replay NUMBER` reads it again: in
memory, then over the wire.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import gc
import logging
import platform
import sys
import time
import traceback
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
from hostile_bodies import PRINTED, SERVED, Form, HostileBodies, UntrueError
from hostile_runners import HostileRunner, manner_of

from pytest_gpudiscover.strategies import body_of
from pytest_gpudiscover.wire import parse_answer

WARM_UP = 20
"""One part in so many is read before memory is looked at: by then every cache is full."""
TRACED = 50
"""One part in so many is read again under `tracemalloc`, which takes several times as long."""
PRINTED_AGAIN = 16
"""One answer in so many is printed, and read again."""
ASKED_AT_ONCE = 32
MOST_RESIDENT = 8 << 20
MOST_TRACED = 1 << 20
"""Bytes of growth: of the process, and of what Python has allocated. More is a leak."""


class _FailedError(Exception):
    """One body was not read as it must be; why, is the cause."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@dataclass(frozen=True)
class Place:
    """What the process holds at one time: bytes of memory, and open descriptors."""

    resident: int
    descriptors: int

    @classmethod
    def now(cls) -> Place:
        """Look, after everything that nobody needs has gone."""
        gc.collect()
        with contextlib.suppress(AttributeError):  # glibc's
            # What is free it keeps for later, as much as the largest answers have needed.
            ctypes.CDLL(None).malloc_trim(0)
        process = psutil.Process()
        return cls(process.memory_info().rss, process.num_fds())

    def growth(self) -> str:
        """How much more there is now, in words.

        Raises:
            UntrueError: it is too much.
        """
        now = self.now()
        grown = now.resident - self.resident
        said = f"{grown / 1024:+.0f} KiB resident, {now.descriptors - self.descriptors:+d} descriptors"
        if grown > MOST_RESIDENT or now.descriptors > self.descriptors:
            raise UntrueError(f"the process has grown: {said}")
        return said


def read(bodies: HostileBodies, number: int, *, print_again: bool) -> str:
    """Read a body in memory, and check what comes out.

    Returns:
        What it was: `refused` as a whole, `whole`, or `in part`.

    Raises:
        UntrueError: that must not come out.
    """
    body = bodies[number]
    answer = bodies.parse(body.content)
    body.check(answer)
    if print_again:
        # A runner never says what the engine writes into `filtered_id`, so it is not printed.
        devices = tuple(replace(device, filtered_id="") for device in answer.devices)
        if parse_answer(body_of(devices)).entries != devices:
            raise UntrueError("printed and read again, the devices are others")
    return "refused" if answer.refused else "in part" if answer.rejections else "whole"


def read_all(bodies: HostileBodies, numbers: Sequence[int], shown: Callable[[int], None]) -> Counter[str]:
    """Read these bodies; how often each result came."""
    results: Counter[str] = Counter()
    for number in numbers:
        try:
            results[read(bodies, number, print_again=number % PRINTED_AGAIN == 0)] += 1
        except Exception as error:
            raise _FailedError(number) from error
        shown(number)
    return results


def traced_growth(bodies: HostileBodies, numbers: range) -> str:
    """By how much what Python has allocated grows over the second half of these bodies.

    Raises:
        UntrueError: it is too much.
    """
    half = len(numbers) // 2
    tracemalloc.start()
    try:
        read_all(bodies, numbers[:half], lambda _: None)
        before = tracemalloc.take_snapshot()
        read_all(bodies, numbers[half:], lambda _: None)
        gc.collect()
        rows = tracemalloc.take_snapshot().compare_to(before, "lineno")
    finally:
        tracemalloc.stop()
    grown = sum(row.size_diff for row in rows)
    said = f"{grown / 1024:+.0f} KiB traced over {len(numbers) - half} more"
    if grown > MOST_TRACED:
        raise UntrueError(f"what was read is kept: {said}, most of it at {rows[0]}")
    return said


def in_memory(bodies: HostileBodies, count: int, shown: Callable[[int], None]) -> str:
    """Read so many bodies; what that gave, in words."""
    warm = count // WARM_UP
    results = read_all(bodies, range(warm), shown)
    before = Place.now()
    results += read_all(bodies, range(warm, count), shown)
    growth = before.growth()
    return f"{_told(results)}; {growth}; {traced_growth(bodies, range(count, count + count // TRACED))}"


async def ask_all(bodies: HostileBodies, numbers: range, shown: Callable[[int], None]) -> Counter[str]:
    """Ask for these bodies, several at once; how often each result came."""
    results: Counter[str] = Counter()
    failed: list[_FailedError] = []
    left = iter(numbers)
    asyncio.get_running_loop().set_exception_handler(lambda _, context: _uncaught(context))

    async def lane() -> None:
        async with HostileRunner() as runner:
            for number in left:
                try:
                    results[await ask(bodies, number, runner)] += 1
                except Exception as error:
                    failed.append(_FailedError(number))
                    failed[-1].__cause__ = error
                if failed:
                    return
                shown(number)

    def _uncaught(context: dict[str, object]) -> None:
        failed.append(_FailedError(numbers.start))
        failed[-1].__cause__ = UntrueError(f"an exception was left to the event loop, near there: {context}")

    await asyncio.gather(*(lane() for _ in range(min(ASKED_AT_ONCE, len(numbers)))))
    if failed:
        raise min(failed, key=lambda each: each.number)
    return results


async def ask(bodies: HostileBodies, number: int, runner: HostileRunner) -> str:
    """Ask a runner that answers with the body of that number, in the manner of that number."""
    body = bodies[number]
    return await runner.answer(body, manner_of(bodies.chance(number, manner=True), body.content))


def over_the_wire(bodies: HostileBodies, count: int, shown: Callable[[int], None]) -> str:
    """Ask so many times; what that gave, in words."""
    warm = -(-count // WARM_UP)
    results = asyncio.run(ask_all(bodies, range(warm), shown))
    before = Place.now()
    results += asyncio.run(ask_all(bodies, range(warm, count), shown))
    return f"{_told(results)}; {before.growth()}"


def _told(results: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(results.items()))


def _shown(what: str, count: int) -> Callable[[int], None]:
    """On a terminal, how far it has come, on one line."""
    step = max(1, count // 500) if sys.stdout.isatty() else count

    def show(number: int) -> None:
        if number % step == step - 1 and number + 1 < count:
            print(f"\r{what}: {number + 1} of {count}", end="\r", flush=True)

    return show


class _Formatting(logging.Handler):
    """Prints nothing; a message that cannot be printed, or not as it is, is a failure like any other."""

    def emit(self, record: logging.LogRecord) -> None:
        if not record.getMessage().isprintable():
            raise UntrueError(f"no message for a terminal: {record.getMessage()!r}")


@contextlib.contextmanager
def _log_checked() -> Iterator[None]:
    logger, handler = logging.getLogger("pytest_gpudiscover"), _Formatting()
    propagated, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated


_Part = Callable[[HostileBodies, int, Callable[[int], None]], str]


def _run(what: str, form: Form, part: _Part, seed: int, count: int, keep: Path) -> bool:
    bodies, began = HostileBodies(seed, form), time.perf_counter()
    try:
        said = part(bodies, count, _shown(what, count))
    except _FailedError as failure:
        kept = keep / f"hostile-body-seed-{seed}-number-{failure.number}.bin"
        kept.write_bytes(bodies[failure.number].content)
        traceback.print_exception(failure.__cause__)
        print(
            f"{what}: seed {seed}, number {failure.number} failed: {failure.__cause__!r}; its bytes: {kept}"
        )
        return False
    except UntrueError as error:
        print(f"{what}: seed {seed}: {error}")
        return False
    print(f"{what}: {count} bodies in {time.perf_counter() - began:.1f} s: {said}")
    return True


def _replay(number: int) -> tuple[_Part, _Part]:
    """The parts of a run that reads one body only: in memory, and over the wire."""
    numbers = range(number, number + 1)
    return (
        lambda bodies, _, shown: _told(read_all(bodies, numbers, shown)),
        lambda bodies, _, shown: _told(asyncio.run(ask_all(bodies, numbers, shown))),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and print the figures; 1 when something was not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bodies", type=int, default=1_000_000, help="read in memory; default: %(default)s")
    parser.add_argument("--over-the-wire", type=int, default=10_000, help="asked for; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of all chance; default: %(default)s")
    parser.add_argument("--replay", type=int, metavar="NUMBER", help="read this body only, and keep nothing")
    parser.add_argument(
        "--keep", type=Path, default=Path(), metavar="DIRECTORY", help="for a body that failed"
    )
    chosen = parser.parse_args(arguments)
    print(f"Python {platform.python_version()}, seed {chosen.seed}")
    reading, asking = (in_memory, over_the_wire) if chosen.replay is None else _replay(chosen.replay)
    parts: list[tuple[str, Form, _Part, int]] = [
        ("in memory", SERVED, reading, chosen.bodies),
        ("in memory, printed", PRINTED, reading, chosen.bodies),
        ("over the wire", SERVED, asking, chosen.over_the_wire),
    ]
    with _log_checked():
        good = [
            _run(what, form, part, chosen.seed, count, chosen.keep)
            for what, form, part, count in parts
            if count
        ]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
