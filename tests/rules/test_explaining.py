"""Sentences about a report: which rejections cost a GPU, and why there is none."""

from __future__ import annotations

from dataclasses import replace

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.explaining import failures, in_one_line, named, why_none
from pytest_gpudiscover.reports import Phase, ProbeRecord, Reason, Rejection, Report

CARD = DeviceInfo(
    id="GPU-a",
    library="CUDA",
    variant="cuda_v13",
    name="CUDA0",
    description="NVIDIA L4",
    total_memory=24 << 30,
)
PROBE = ProbeRecord(phase=Phase.ENUMERATE, variant="cuda_v13", started=0.0, ended=1.0, outcome="answered")


def rejected(phase: Phase = Phase.VERIFY, reason: Reason = Reason.CRASHED) -> Rejection:
    return Rejection.of(CARD, phase, reason, "it crashed with SIGSEGV")


def test_only_rejections_that_cost_a_gpu_are_failures() -> None:
    report = Report(
        rejected=(
            rejected(Phase.OVERLAP, Reason.OVERLAP),
            rejected(Phase.DUPLICATE, Reason.DUPLICATE),
            rejected(),
            rejected(Phase.ENUMERATE, Reason.BAD_DEVICE),
            rejected(Phase.REFRESH, Reason.VANISHED),
        )
    )
    assert [rejection.phase for rejection in failures(report)] == [
        Phase.VERIFY,
        Phase.ENUMERATE,
        Phase.REFRESH,
    ]


def test_a_rejection_is_named_by_device_library_id_and_variant() -> None:
    assert named(rejected()) == "NVIDIA L4 (CUDA GPU-a in cuda_v13)"


def test_a_device_is_named_by_what_it_has() -> None:
    no_description = replace(rejected(), device=replace(CARD, description=""))
    assert named(no_description) == "CUDA0 (CUDA GPU-a in cuda_v13)"
    nameless = replace(rejected(), device=replace(CARD, description="", name=""))
    assert named(nameless) == "a device without a name (CUDA GPU-a in cuda_v13)"


def test_a_variant_is_named_by_its_name_and_without_one_it_is_the_runner() -> None:
    whole = Rejection(phase=Phase.ENUMERATE, reason=Reason.TIMEOUT, detail="too slow", variant="cuda_v13")
    assert (named(whole), named(replace(whole, variant=""))) == ("cuda_v13", "the runner")


def test_no_gpu_is_explained_by_what_became_of_each() -> None:
    report = Report(rejected=(rejected(), rejected(Phase.OVERLAP, Reason.OVERLAP)), probes=(PROBE,))
    assert why_none(report) == (
        "no usable GPU was found: NVIDIA L4 (CUDA GPU-a in cuda_v13): it crashed with SIGSEGV"
    )


def test_no_gpu_and_no_failure_is_explained_by_empty_answers() -> None:
    assert why_none(Report(probes=(PROBE, PROBE))) == (
        "no usable GPU was found: 2 runners started, and none listed a device"
    )


def test_masks_of_the_user_come_first_in_an_explanation() -> None:
    text = why_none(Report(masks={"CUDA_VISIBLE_DEVICES": ""}, probes=(PROBE,)))
    assert text == (
        'no usable GPU was found: CUDA_VISIBLE_DEVICES="" is the cause: every CUDA device is hidden; '
        "1 runner started, and none listed a device"
    )


def test_devices_are_named_in_one_line() -> None:
    other = replace(CARD, library="Vulkan", description="", name="Vulkan0", total_memory=2 << 30)
    assert in_one_line((CARD, other)) == "2 devices: CUDA NVIDIA L4 (24.0 GiB), Vulkan Vulkan0 (2.0 GiB)"


def test_nothing_that_came_from_outside_is_shown_raw() -> None:
    hostile = replace(
        CARD, id="\x1b", library="\x1b[2J", variant="\x1b\n", name="\0", description="\x1b" * 10_000
    )
    rejection = Rejection.of(hostile, Phase.VERIFY, Reason.CRASHED, "it crashed")
    whole = replace(rejection, device=None)
    report = Report(rejected=(rejection, whole), masks={"CUDA_VISIBLE_DEVICES": "\x1b[2J"})
    for text in (named(rejection), named(whole), why_none(report), in_one_line((hostile,))):
        assert text.isprintable()
        assert len(text) < 1000
