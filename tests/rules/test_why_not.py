"""Why a requirement is not met: what was asked, what is there, and what became of the rest, on one line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.explaining import reasons_against, unmet, why_none, why_not, why_not_all
from pytest_gpudiscover.reports import Phase, ProbeRecord, Reason, Rejection, Report
from pytest_gpudiscover.requirements import Requirement

GIB = 1 << 30
L4 = DeviceInfo(
    id="GPU-a",
    library="CUDA",
    variant="cuda_v13",
    description="NVIDIA L4",
    total_memory=24 * GIB,
    pci_id="0000:01:00.0",
)
A40 = replace(L4, id="GPU-b", description="NVIDIA A40", total_memory=48 * GIB, pci_id="0000:02:00.0")
IRIS = DeviceInfo(id="0", library="Vulkan", variant="vulkan", description="Iris", total_memory=2 * GIB)
CRASH = "the runner was ended by SIGSEGV"

COLLAPSED = "CUDA_VISIBLE_DEVICES=-1 is the cause: every CUDA device is hidden"
SET = "CUDA_VISIBLE_DEVICES=-1 is set: devices hidden that way are not seen"
MASKS = {"CUDA_VISIBLE_DEVICES": "-1"}


def lost(device: DeviceInfo, phase: Phase = Phase.VERIFY, detail: str = CRASH) -> Rejection:
    return Rejection.of(device, phase, Reason.CRASHED, detail)


def failed(variant: str) -> Rejection:
    return Rejection(phase=Phase.ENUMERATE, reason=Reason.TIMEOUT, detail="it took too long", variant=variant)


def asked(variant: str, outcome: str = "answered") -> ProbeRecord:
    return ProbeRecord(phase=Phase.ENUMERATE, variant=variant, started=0.0, ended=1.0, outcome=outcome)


def explained(text: str, report: Report) -> list[str]:
    return why_not_all(Requirement.parse_all(text), report).split("; ")


def test_a_requirement_that_is_met_needs_no_explanation() -> None:
    report = Report(devices=(L4,), rejected=(lost(A40),), masks={"CUDA_VISIBLE_DEVICES": "0"})
    assert why_not(Requirement.parse("CUDA"), report) == ""
    assert why_not_all([], report) == ""
    assert (
        reasons_against([Requirement.parse("CUDA")], report) == unmet(Requirement.parse("CUDA"), report) == []
    )


def test_it_says_what_was_asked_what_each_device_lacks_and_why_each_other_one_was_left_out() -> None:
    report = Report(devices=(L4, IRIS), rejected=(failed("rocm"), lost(A40)))
    assert explained("2xCUDA>=40GiB", report) == [
        "needed: 2 CUDA devices of 40.0 GiB or more",
        "usable: 0 of 2 devices",
        "CUDA GPU-a (NVIDIA L4): it has 24.0 GiB",
        "Vulkan 0 (Iris): its library is Vulkan, it has 2.0 GiB",
        "rocm: it took too long",
        f"NVIDIA A40 (CUDA GPU-b in cuda_v13): {CRASH}",
    ]


def test_what_the_usable_devices_lack_can_be_had_without_what_was_left_out() -> None:
    requirement = Requirement.parse("2xCUDA")
    report = Report(devices=(L4, IRIS), rejected=(lost(A40),), masks=MASKS)
    reasons = reasons_against([requirement], report)
    assert unmet(requirement, report) == reasons[:-1]
    assert [reason.split(":")[0] for reason in reasons] == [
        "needed",
        "CUDA_VISIBLE_DEVICES=-1 is set",
        "Vulkan 0 (Iris)",
        "NVIDIA A40 (CUDA GPU-b in cuda_v13)",
    ]


def test_devices_that_were_left_out_for_one_reason_are_named_together_and_each_of_them_once() -> None:
    older = replace(A40, variant="cuda_v12")
    report = Report(devices=(IRIS,), rejected=(lost(L4), lost(A40), lost(older), failed("x"), failed("y")))
    assert explained("CUDA", report)[3:] == [
        f"NVIDIA L4 (CUDA GPU-a in cuda_v13), NVIDIA A40 (CUDA GPU-b in cuda_v13 and cuda_v12): {CRASH}",
        "x and y: it took too long",
    ]


def test_what_another_variant_or_library_serves_is_not_named_as_left_out() -> None:
    older = replace(L4, variant="cuda_v12")
    rejected = (lost(older), lost(A40, Phase.OVERLAP, "overlap"), lost(A40, Phase.DUPLICATE, "duplicate"))
    assert explained("2xCUDA", Report(devices=(L4,), rejected=rejected)) == [
        "needed: 2 CUDA devices",
        "usable: 1 of 1 device",
        "fitting: CUDA GPU-a (NVIDIA L4)",
    ]


def test_what_another_library_serves_is_named_where_the_library_matters() -> None:
    through_vulkan = replace(IRIS, pci_id=L4.pci_id)
    said = explained("CUDA", Report(devices=(through_vulkan,), rejected=(lost(L4),)))
    assert said[-1] == f"NVIDIA L4 (CUDA GPU-a in cuda_v13): {CRASH}"


def test_a_device_that_a_refresh_missed_is_named_though_it_is_kept() -> None:
    gone = lost(L4, Phase.REFRESH, "no longer listed")
    said = explained("2xCUDA", Report(devices=(replace(L4, stale=True),), rejected=(gone,)))
    assert said[-1] == "NVIDIA L4 (CUDA GPU-a in cuda_v13): no longer listed"


def test_runners_that_listed_nothing_explain_it_when_nothing_else_does() -> None:
    assert explained("1", Report(probes=(asked("cuda_v13"), asked("rocm")))) == [
        "needed: 1 device",
        "usable: 0 of 0 devices",
        "2 runners started, and none listed a device",
    ]


def test_several_requirements_are_explained_one_by_one_and_what_was_left_out_once() -> None:
    report = Report(devices=(IRIS,), rejected=(lost(L4),))
    assert explained("CUDA, Vulkan, ROCm", report) == [
        "needed: 1 CUDA device",
        "usable: 0 of 1 device",
        "Vulkan 0 (Iris): its library is Vulkan",
        "needed: 1 ROCm device",
        "usable: 0 of 1 device",
        f"NVIDIA L4 (CUDA GPU-a in cuda_v13): {CRASH}",
    ]


def test_devices_that_do_not_go_round_are_said_to_be_too_few_for_all() -> None:
    assert explained("CUDA, 1x>=8GiB", Report(devices=(L4, IRIS))) == [
        "needed: 1 device of 8.0 GiB or more, with other devices for 1 CUDA device",
        "usable: 1 of 2 devices, too few for all",
    ]


@pytest.mark.parametrize("variant", ["cuda_v13", "cuda", "", "builtin"])
def test_a_mask_is_the_cause_where_a_runner_looked_for_the_library_and_listed_none(variant: str) -> None:
    report = Report(masks={**MASKS, "HIP_VISIBLE_DEVICES": "0"}, probes=(asked("rocm"), asked(variant)))
    assert explained("cuda", report)[2] == COLLAPSED
    assert explained("1", report)[2] == COLLAPSED
    assert COLLAPSED in why_none(report)


@pytest.mark.parametrize(
    "report",
    [
        Report(probes=(asked("vulkan"), asked("rocm"), asked("level_zero"))),
        Report(probes=(asked("cuda_v13", "crashed"),), rejected=(failed("cuda_v13"),)),
        Report(probes=(replace(asked("cuda_v13"), phase=Phase.VERIFY),)),
        Report(probes=(asked("cuda_v13"),), rejected=(lost(L4),)),
        Report(probes=(asked("cuda_v13"),), devices=(L4,)),
        Report(rejected=(failed("cuda_v13"),)),
        Report(),
    ],
    ids=["not looked for", "crashed", "not listing", "rejected", "usable", "missing", "nothing asked"],
)
def test_a_mask_that_hides_a_whole_library_is_only_named_where_something_else_explains_it(
    report: Report,
) -> None:
    said = explained("2xCUDA", replace(report, masks=MASKS))
    assert COLLAPSED not in said
    assert said[2] == SET


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        ("-1", "ZE_AFFINITY_MASK=-1 is the cause: every Level Zero device is hidden"),
        ("1", "ZE_AFFINITY_MASK=1 is set: devices hidden that way are not seen"),
    ],
)
def test_level_zeros_mask_is_the_cause_where_its_variant_listed_nothing(mask: str, said: str) -> None:
    report = Report(masks={"ZE_AFFINITY_MASK": mask}, probes=(asked("vulkan"), asked("level_zero")))
    assert explained("Level Zero", report)[2] == said
    not_looked_for = replace(report, probes=(asked("vulkan"),))
    assert not any("the cause" in part for part in explained("Level Zero", not_looked_for))


def test_a_mask_of_a_library_that_was_not_asked_for_is_not_named() -> None:
    masks = {"CUDA_VISIBLE_DEVICES": "", "GGML_VK_VISIBLE_DEVICES": "", "ROCR_VISIBLE_DEVICES": "0"}
    report = Report(masks=masks, probes=(asked("cuda_v13"), asked("rocm"), asked("vulkan")))
    assert not any("VISIBLE_DEVICES" in part for part in explained("Metal", report))
    for library, variable in {"CUDA": "CUDA", "Vulkan": "GGML_VK"}.items():
        said = [part for part in explained(library, report) if "VISIBLE_DEVICES" in part]
        assert said == [f'{variable}_VISIBLE_DEVICES="" is the cause: every {library} device is hidden']
    said = [part for part in explained("ROCm", report) if "VISIBLE_DEVICES" in part]
    assert said == ["ROCR_VISIBLE_DEVICES=0 is set: devices hidden that way are not seen"]


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        ({"ROCR": "", "HIP": "0"}, 'ROCR_VISIBLE_DEVICES="" is the cause: every ROCm device is hidden'),
        ({"ROCR": "0", "HIP": "-1"}, "HIP_VISIBLE_DEVICES=-1 is the cause: every ROCm device is hidden"),
        ({"CUDA": "-1"}, "CUDA_VISIBLE_DEVICES=-1 is the cause: every ROCm device is hidden"),
        ({"CUDA": "-1", "HIP": ""}, "CUDA_VISIBLE_DEVICES=-1 is the cause: every ROCm device is hidden"),
        (
            {"ROCR": "-1", "HIP": "-1"},
            "ROCR_VISIBLE_DEVICES=-1 and HIP_VISIBLE_DEVICES=-1 are the cause: every ROCm device is hidden",
        ),
        (
            {"ROCR": "0", "HIP": "1"},
            "ROCR_VISIBLE_DEVICES=0 and HIP_VISIBLE_DEVICES=1 are the cause: every ROCm device is hidden",
        ),
        (
            {"ROCR": "0", "HIP": "0"},
            "ROCR_VISIBLE_DEVICES=0 and HIP_VISIBLE_DEVICES=0 are set: devices hidden that way are not seen",
        ),
        ({"CUDA": "-1", "HIP": "0"}, "HIP_VISIBLE_DEVICES=0 is set: devices hidden that way are not seen"),
        ({"CUDA": ""}, ""),
    ],
)
def test_of_rocm_s_masks_those_that_hide_it_are_the_cause(masks: dict[str, str], said: str) -> None:
    named = {f"{name}_VISIBLE_DEVICES": value for name, value in masks.items()}
    report = Report(masks=named, probes=(asked("rocm"),))
    parts = [part for part in explained("ROCm", report) if "VISIBLE_DEVICES" in part]
    assert parts[:1] == [said][: bool(said)]


def test_one_mask_that_hides_two_libraries_is_the_cause_once() -> None:
    report = Report(masks=MASKS, probes=(asked("cuda_v13"), asked("rocm")))
    assert explained("1", report)[2:] == [
        "CUDA_VISIBLE_DEVICES=-1 is the cause: every CUDA and ROCm device is hidden",
        "2 runners started, and none listed a device",
    ]


def test_masks_that_are_set_besides_the_cause_are_named_behind_it() -> None:
    masks = MASKS | {"HIP_VISIBLE_DEVICES": "0", "GGML_VK_VISIBLE_DEVICES": "1"}
    assert explained("1", Report(masks=masks, probes=(asked("cuda_v13"),)))[2:4] == [
        COLLAPSED,
        "HIP_VISIBLE_DEVICES=0 and GGML_VK_VISIBLE_DEVICES=1 are set: devices hidden that way are not seen",
    ]


def test_nothing_that_came_from_outside_is_shown_raw() -> None:
    hostile = replace(
        L4, id="\x1b", library="\x1b[2J", variant="\x1b\n", name="\0", description="\x1b" * 10_000
    )
    masks = {"CUDA_VISIBLE_DEVICES": "\x1b[2J" * 1000}
    report = Report(devices=(hostile,), rejected=(lost(hostile, Phase.REFRESH),), masks=masks)
    said = why_not(Requirement(library="\x1b[2J", count=2), report) + why_not(
        Requirement.parse("CUDA"), report
    )
    assert said.isprintable()
    assert len(said) < 2500
