"""`python -m pytest_gpudiscover.simulation SEED`: live the life of a seed again, or many lives.

With a machine, one discovery of it is simulated with that seed instead.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pytest_gpudiscover.errors import HostFileError
from pytest_gpudiscover.simulation.hosts import FakeHost
from pytest_gpudiscover.simulation.lives import Life
from pytest_gpudiscover.simulation.machines import MACHINES
from pytest_gpudiscover.simulation.performances import as_text
from pytest_gpudiscover.simulation.simulating import simulate

COMMAND = "python -m pytest_gpudiscover.simulation"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do as the command line says.

    Returns:
        the exit code: 1 when a law was broken, 2 when there is no such machine.
    """
    options = _parser().parse_args(arguments)
    with _no_log():
        if options.machine:
            return _show(options.machine, options.seed)
        if options.count:
            return _hunt(range(options.seed, options.seed + options.count))
        return _tell(options.seed)


@contextmanager
def _no_log() -> Iterator[None]:
    """What an engine says of all that goes wrong is not what is looked for here."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=COMMAND, description="Simulate discoveries, in which a seed decides everything."
    )
    parser.add_argument("seed", type=int, help="the life to live, or the first of many")
    parser.add_argument("--count", type=int, default=0, help="so many lives: show those that break a law")
    shown = f"one discovery of this machine instead: a host file, or one of {', '.join(MACHINES)}"
    parser.add_argument("--machine", metavar="HOST", help=shown)
    return parser


def _show(machine: str, seed: int) -> int:
    try:
        host = MACHINES[machine]() if machine in MACHINES else FakeHost.load(machine)
    except HostFileError as error:
        sys.stderr.write(f"{COMMAND}: {error}\n")
        return 2
    sys.stdout.write(simulate(host, seed=seed).text)
    return 0


def _tell(seed: int) -> int:
    life = Life.drawn(seed)
    trace, broken = life.lived()
    sys.stdout.write(f"{as_text(trace)}{life}\n")
    if broken:
        sys.stdout.write(f"broke a law: {broken}\n")
    return 1 if broken else 0


def _hunt(seeds: range) -> int:
    broken = [life for life in map(Life.drawn, seeds) if life.lived()[1]]
    for life in broken:
        short = life.shrunk()
        sys.stdout.write(f"{COMMAND} {life.seed}: {short.lived()[1]}\n    {short}.live()\n")
    sys.stdout.write(f"{len(seeds)} lives, {len(broken)} of them broke a law\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
