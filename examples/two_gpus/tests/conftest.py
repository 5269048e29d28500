"""What keeps watch: a card is never in the hands of two tests, unless both asked for a part of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from pytest_gpudiscover.leasing.leases import Lease


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that all workers of the run have in common."""
    workers = tmp_path_factory.getbasetemp()
    desk = (workers.parent if "PYTEST_XDIST_WORKER" in os.environ else workers) / "desk"
    desk.mkdir(exist_ok=True)
    return desk


@pytest.fixture
def work(gpu_lease: Lease, desk: Path) -> Callable[[], None]:
    """A function that works on the leased cards, and fails when somebody else works there, too."""

    @contextmanager
    def alone(card: str) -> Iterator[None]:
        sign = desk / card
        sign.touch(exist_ok=False)
        yield
        sign.unlink()

    def work() -> None:
        with ExitStack() as stack:
            for device in gpu_lease.devices:
                stack.enter_context(alone(device.id))
            time.sleep(0.1)  # a kernel

    return work
