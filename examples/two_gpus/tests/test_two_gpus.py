"""Nine tests for two GPUs. With four workers most of them wait for a while, and none meets another."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_gpudiscover.leasing.leases import Lease

Work = Callable[[], None]


@pytest.mark.gpu
@pytest.mark.parametrize("batch", ["small", "medium", "large"])
def test_a_step_of_training(work: Work, batch: str) -> None:
    work()


@pytest.mark.gpu(count=2)
@pytest.mark.parametrize("backend", ["nccl", "gloo"])
def test_both_gpus_reduce_together(gpu_lease: Lease, work: Work, backend: str) -> None:
    assert gpu_lease.torch_devices == ("cuda:0", "cuda:1")
    work()


@pytest.mark.gpu(min_memory="5GiB")
@pytest.mark.parametrize("model", ["first", "second", "third"])
def test_a_small_model_needs_a_part_of_a_gpu(gpu_lease: Lease, model: str) -> None:
    assert gpu_lease.torch_devices == ("cuda:0",)


@pytest.mark.gpu(min_memory="5GiB", exclusive=True)
def test_a_measurement_has_a_gpu_for_itself(work: Work) -> None:
    work()
