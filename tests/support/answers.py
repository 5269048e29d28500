"""Answers of runners: what one entry comes to, and what is true of every answer, whatever came."""

from __future__ import annotations

import json

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.wire import Answer

GIB = 1 << 30
L4 = DeviceInfo(
    id="GPU-good",
    library="CUDA",
    name="CUDA0",
    description="NVIDIA L4",
    integrated=True,
    pci_id="0000:01:00.0",
    total_memory=24 * GIB,
    free_memory=23 * GIB,
    compute_major=8,
    compute_minor=9,
    driver_major=13,
    driver_minor=1,
)
"""A device with a value that is not the default wherever each kind of answer has one."""


def holds(answer: Answer) -> None:
    """What must be true of every answer, whatever the bytes were."""
    for device in answer.devices:
        assert device.id
        assert 0 <= device.free_memory <= device.total_memory < 2**64
        assert device.total_memory > 0
        json.dumps(device.description, ensure_ascii=False).encode()
    for rejection in answer.rejections:
        assert rejection.detail.isprintable()
        assert len(rejection.detail) < 2000
        json.dumps(rejection.to_json(), ensure_ascii=False).encode()
