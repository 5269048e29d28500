"""What a run may hold of what its discovery found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.leasing.reach import everything_listed, within_reach
from pytest_gpudiscover.masks import CUDA, HIP, LEVEL_ZERO, ROCR, VULKAN
from pytest_gpudiscover.reports import Phase, Reason, Rejection, Report

CUDA_CARD = DeviceInfo(library="CUDA", id="GPU-a")
VULKAN_CARD = DeviceInfo(library="Vulkan", id="0")


@pytest.mark.parametrize("masks", [{}, {VULKAN: "0"}, {CUDA: "0", VULKAN: "0"}, {ROCR: "", VULKAN: ""}])
def test_what_no_mask_hides_or_vulkans_own_mask_shows_is_within_reach(masks: dict[str, str]) -> None:
    report = Report(devices=(CUDA_CARD, VULKAN_CARD), masks=masks)
    assert within_reach(report) == report


@pytest.mark.parametrize("masks", [{CUDA: "0"}, {ROCR: "GPU-b"}, {HIP: "1"}, {LEVEL_ZERO: "1"}])
def test_a_vulkan_device_that_may_be_a_hidden_card_is_outside(masks: dict[str, str]) -> None:
    before = Rejection.of(replace(CUDA_CARD, id="GPU-c"), Phase.VERIFY, Reason.CRASHED, "it died")
    report = within_reach(Report(devices=(CUDA_CARD, VULKAN_CARD), rejected=(before,), masks=masks))
    assert report.devices == (CUDA_CARD,)
    assert report.rejected[0] == before
    (outside,) = report.rejected[1:]
    assert (outside.device, outside.reason) == (VULKAN_CARD, Reason.UNUSABLE)


def test_an_empty_mask_is_written_as_one_that_is_empty() -> None:
    device = DeviceInfo(id="0", library="Vulkan")
    report = within_reach(Report(devices=(device,), masks={"CUDA_VISIBLE_DEVICES": ""}))
    (rejection,) = report.rejected
    assert 'a card that CUDA_VISIBLE_DEVICES="" hides' in rejection.detail


def test_a_lease_hides_what_is_listed_by_a_library_of_which_nothing_can_be_used() -> None:
    crashed = Rejection.of(VULKAN_CARD, Phase.VERIFY, Reason.CRASHED, "it died")
    twin = Rejection.of(replace(CUDA_CARD, variant="cuda_v12"), Phase.ENUMERATE, Reason.DUPLICATE, "again")
    refused = Rejection(phase=Phase.ENUMERATE, reason=Reason.BAD_ANSWER, detail="no JSON")
    report = Report(devices=(CUDA_CARD,), rejected=(crashed, twin, refused))
    assert everything_listed(report) == (CUDA_CARD, VULKAN_CARD)
