"""The suite that test_stress.py runs: no device is ever held twice, and whoever holds one may die.

Its oracle knows nothing of the book of leases. Each card has files of its own, and a test locks what it
leased, without waiting: whoever would have to wait has leased what somebody else holds. The files are opened
before any lease is made, so that a process that dies lets go of them before it lets go of its lease.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_gpudiscover.leasing.leases import Lease

PLACE = Path(os.environ["STRESS_PLACE"])
RUN = os.environ["STRESS_RUN"]
FILES = {path.name: os.open(path, os.O_RDWR) for path in sorted(PLACE.glob("GPU-*"))}
KINDS = {
    "one": pytest.mark.gpu(),
    "two": pytest.mark.gpu(count=2),
    "share": pytest.mark.gpu(min_memory="2.5GiB"),
}
"""A third of a card's 8 GiB would be 2.66 GiB: three such shares fit, and no fourth."""
TESTS = int(os.environ["STRESS_TESTS"])
KILLERS = range(10, TESTS, 40)
luck = random.Random(f"{RUN} {os.environ['PYTEST_XDIST_WORKER']}")


@pytest.fixture(scope="session", autouse=True)
def _mortal() -> Iterator[None]:
    """Say that this worker may be killed, for as long as it lives."""
    path = PLACE / "workers" / str(os.getpid())
    with path.open("w") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        yield
        path.unlink()


def kill_somebody() -> None:
    """Kill a worker of any of the runs, this one perhaps, whatever it is doing."""
    victims = [*(PLACE / "workers").iterdir()]
    luck.shuffle(victims)
    for victim in victims:
        try:
            with victim.open() as alive:
                fcntl.flock(alive, fcntl.LOCK_SH | fcntl.LOCK_NB)  # nobody has it: it is dead
        except BlockingIOError:
            note("kills", pid=int(victim.name))
            os.kill(int(victim.name), signal.SIGKILL)
            return
        except FileNotFoundError:
            continue
        victim.unlink(missing_ok=True)


def note(book: str, **facts: object) -> None:
    """Add a line to a record of all runs."""
    with (PLACE / f"{book}.jsonl").open("a") as record:
        record.write(json.dumps({"run": RUN, **facts}) + "\n")


def take(name: str, how: int) -> bool:
    """Lock one of a card's files, if nobody stands in the way."""
    try:
        fcntl.flock(FILES[name], how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def held(lease: Lease) -> Iterator[None]:
    """Hold the devices of a lease, and say so when somebody else does as well."""
    with ExitStack() as stack:
        for device in lease.devices:
            sharing = lease.memory is not None
            names = [f"{device.id}.{share}" for share in range(3)] if sharing else []
            stack.callback(fcntl.flock, FILES[device.id], fcntl.LOCK_UN)
            ours = take(device.id, fcntl.LOCK_SH if sharing else fcntl.LOCK_EX)
            share = next((name for name in names if take(name, fcntl.LOCK_EX)), None)
            if share:
                stack.callback(fcntl.flock, FILES[share], fcntl.LOCK_UN)
            if not ours or (sharing and share is None):
                note("twice", device=device.id, sharing=sharing)
        yield


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        pytest.param(kind, number, marks=KINDS[kind])
        for number in range(TESTS)
        for kind in [(*KINDS, "one", "share")[number % 5]]
    ],
)
def test_lease(gpu_lease: Lease, kind: str, number: int) -> None:
    """Work with a lease for some milliseconds."""
    note("leases", kind=kind, devices=[device.id for device in gpu_lease.devices], waited=gpu_lease.waited)
    assert len(gpu_lease.devices) == (2 if kind == "two" else 1)
    with held(gpu_lease):
        time.sleep(luck.uniform(0, 0.04))
        if number in KILLERS:
            kill_somebody()
