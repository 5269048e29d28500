"""What is run beside other plugins, and what has to come of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

SUITE = """
import pytest

def test_devices(gpu_devices):
    assert len(gpu_devices) == 2

@pytest.mark.gpu(library="CUDA")
def test_marker(gpu_devices):
    assert all(device.library == "CUDA" for device in gpu_devices)

@pytest.mark.gpu(count=3)
def test_machine_is_too_small():
    raise AssertionError("there is no third device")

@pytest.mark.parametrize("number", range(3))
@pytest.mark.gpu(min_memory="1GiB")
def test_share(gpu_lease, number):
    assert len(gpu_lease.devices) == 1

@pytest.mark.gpu(count=2)
def test_lease(gpu_lease):
    assert len(gpu_lease.torch_devices) == 2
    gpu_lease.activate()

def test_without_gpu():
    pass
"""
"""Seven tests that pass on a machine with two GPUs, and one that is skipped there."""

RIGHT = {"passed": 7, "skipped": 1}
"""The outcomes that are right whoever else is loaded."""

Run = Callable[..., pytest.RunResult]
"""Runs the suite with these options, and more tests where a test has written some."""


def assert_right(result: pytest.RunResult, **outcomes: int) -> None:
    """Right outcomes, and nobody has complained."""
    result.assert_outcomes(**(RIGHT | outcomes))
    assert result.ret == (pytest.ExitCode.TESTS_FAILED if "failed" in outcomes else pytest.ExitCode.OK)
    assert "warning" not in result.stdout.str().lower()
    assert result.stderr.lines == []
