"""What a run may hold of what its discovery found."""

from __future__ import annotations

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.leasing.reach import within_reach
from pytest_gpudiscover.reports import Report


def test_an_empty_mask_is_written_as_one_that_is_empty() -> None:
    device = DeviceInfo(id="0", library="Vulkan")
    report = within_reach(Report(devices=(device,), masks={"CUDA_VISIBLE_DEVICES": ""}))
    (rejection,) = report.rejected
    assert 'a card that CUDA_VISIBLE_DEVICES="" hides' in rejection.detail
