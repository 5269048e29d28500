"""How the tests draw: in a process of its own, which sees the leased GPUs alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_gpudiscover.leasing.leases import Lease

PROGRAM = Path(__file__).parents[1] / "mandelbrot.py"


@pytest.fixture
def draw(gpu_lease: Lease, pytestconfig: pytest.Config) -> Callable[[], list[str]]:
    """A function that draws on the leased GPUs; in the place of each simulated one the processor draws."""
    simulated = pytestconfig.getoption("gpudiscover_runner") == "fake"
    devices = ["cpu" if simulated else device for device in gpu_lease.torch_devices]

    def draw() -> list[str]:
        done = subprocess.run(
            [sys.executable, PROGRAM, *devices],
            env=os.environ | gpu_lease.env,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()

    return draw
