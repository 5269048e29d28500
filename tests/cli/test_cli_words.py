"""Reports in words: rows, groups of rejections, sentences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_gpudiscover.cli import sentences
from pytest_gpudiscover.cli.rejections import groups, subject
from pytest_gpudiscover.cli.rows import row
from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.recording import Progress
from pytest_gpudiscover.reports import Phase, ProbeRecord, Reason, Rejection, Report
from pytest_gpudiscover.requirements import Requirement

CARD = DeviceInfo(
    id="GPU-a",
    library="CUDA",
    variant="cuda_v13",
    description="RTX 4090",
    pci_id="0000:01:00.0",
    total_memory=24 << 30,
    free_memory=23 << 29,
    compute_major=8,
    compute_minor=9,
    driver_major=13,
)


def rejected(device: DeviceInfo, reason: Reason = Reason.CRASHED, detail: str = "it broke") -> Rejection:
    phase = {Reason.OVERLAP: Phase.OVERLAP, Reason.DUPLICATE: Phase.DUPLICATE}.get(reason, Phase.VERIFY)
    return Rejection.of(device, phase, reason, detail)


def failed_variant(name: str, reason: Reason = Reason.TIMEOUT, detail: str = "too slow") -> Rejection:
    return Rejection(phase=Phase.ENUMERATE, reason=reason, detail=detail, variant=name)


def probe(outcome: str = "answered", phase: Phase = Phase.ENUMERATE, **details: Any) -> ProbeRecord:
    base = ProbeRecord(phase=phase, variant="cuda_v13", started=0.0, ended=1.0, outcome=outcome)
    return replace(base, **details)


def test_a_row_shows_memory_in_gib() -> None:
    shown = row(CARD)
    assert (shown.memory, shown.compute, shown.driver) == ("11.5 of 24.0", "8.9", "13.0")


def test_a_device_without_a_description_goes_by_its_name() -> None:
    assert row(replace(CARD, description="", name="CUDA0")).description == "CUDA0"


def test_integrated_and_stale_devices_are_marked() -> None:
    marked = row(replace(CARD, integrated=True, stale=True)).description
    assert marked == "RTX 4090 (integrated, free memory is stale)"


def test_an_id_that_is_another_in_masks_shows_both() -> None:
    assert row(replace(CARD, id="0", filtered_id="2")).id == "0 (in masks: 2)"
    assert row(replace(CARD, id="2", filtered_id="2")).id == "2"


def test_nothing_from_outside_keeps_its_control_characters() -> None:
    hostile = replace(CARD, description="\x1b[31mred\x07", pci_id="\n", library="C\tUDA", gfx_target="\x00")
    assert all(text.isprintable() for text in vars(row(hostile)).values())
    report = Report(
        rejected=(rejected(hostile, detail="\x1b]0;title\x07"), failed_variant("\x1b[2J")),
        probes=(probe(variant="\x1b[2J"),),
        masks={"CUDA_VISIBLE_DEVICES": "\x1b[2J"},
    )
    entries = [entry for group in groups(report) for entry in group.entries]
    words = [word for entry in entries for word in (*entry.subjects, *(str(fact) for fact in entry.facts))]
    assert all(
        word.isprintable() for word in [*words, *sentences.nothing_found(report), sentences.masks(report)]
    )


def test_failures_come_before_what_is_dull() -> None:
    report = Report(
        rejected=(
            failed_variant("level_zero", Reason.DRIVER_MISSING),
            rejected(CARD, Reason.OVERLAP),
            rejected(CARD, Reason.DUPLICATE),
            rejected(CARD, Reason.CRASHED),
            failed_variant("rocm"),
        )
    )
    assert [(group.title, group.dull) for group in groups(report)] == [
        ("Failed", False),
        ("No GPU there", True),
        ("Served another way", True),
    ]
    assert [entry.subjects for entry in groups(report)[0].entries] == [
        ("CUDA GPU-a, RTX 4090",),
        ("variant rocm",),
    ]


def test_no_rejection_is_lost_between_the_groups() -> None:
    report = Report(rejected=tuple(failed_variant(reason, reason) for reason in Reason))
    facts = [fact for group in groups(report) for entry in group.entries for fact in entry.facts]
    assert sorted(fact.reason for fact in facts) == sorted(Reason)


def test_a_device_that_several_variants_failed_on_is_one_entry() -> None:
    older = replace(CARD, variant="cuda_v12")
    (group,) = groups(Report(rejected=(rejected(CARD), rejected(older, Reason.TIMEOUT))))
    (entry,) = group.entries
    assert [(fact.reason, fact.where) for fact in entry.facts] == [
        ("crashed", "verify, cuda_v13"),
        ("timeout", "verify, cuda_v12"),
    ]


def test_devices_that_share_their_facts_share_an_entry() -> None:
    other = replace(CARD, id="GPU-b", pci_id="0000:02:00.0")
    (group,) = groups(Report(rejected=(rejected(CARD, Reason.OVERLAP), rejected(other, Reason.OVERLAP))))
    (entry,) = group.entries
    assert entry.subjects == ("CUDA GPU-a, RTX 4090", "CUDA GPU-b, RTX 4090")
    assert str(entry.facts[0]) == "overlap (cuda_v13): it broke"


def test_a_failure_that_costs_no_device_says_how_it_is_usable() -> None:
    kept = replace(CARD, variant="cuda_v12")
    (group,) = groups(Report(devices=(kept,), rejected=(rejected(CARD),)))
    assert group.entries[0].usable_through == "cuda_v12"


def test_a_failure_that_costs_a_device_promises_nothing() -> None:
    kept = replace(CARD, id="GPU-b", pci_id="0000:02:00.0")
    (group,) = groups(Report(devices=(kept,), rejected=(rejected(CARD), failed_variant("rocm"))))
    assert [entry.usable_through for entry in group.entries] == ["", ""]


def test_lost_devices_come_before_those_that_are_usable_all_the_same() -> None:
    kept = replace(CARD, variant="cuda_v12")
    lost = replace(CARD, id="GPU-b", pci_id="0000:02:00.0")
    (group,) = groups(Report(devices=(kept,), rejected=(rejected(CARD), rejected(lost))))
    assert [entry.subjects for entry in group.entries] == [
        ("CUDA GPU-b, RTX 4090",),
        ("CUDA GPU-a, RTX 4090",),
    ]


def test_a_failure_repeats_what_its_own_runner_said_last() -> None:
    mine = probe(
        "crashed", Phase.VERIFY, mask={"CUDA_VISIBLE_DEVICES": "GPU-a"}, stderr="first\nout of kernels\n"
    )
    other = probe("crashed", Phase.VERIFY, mask={"CUDA_VISIBLE_DEVICES": "GPU-b"}, stderr="something else\n")
    (group,) = groups(Report(rejected=(rejected(CARD),), probes=(other, mine)))
    assert group.entries[0].facts[0].sentence == "it broke; it said: out of kernels"


def test_what_a_sentence_already_repeats_is_not_said_twice() -> None:
    mine = probe("crashed", Phase.VERIFY, mask={"CUDA_VISIBLE_DEVICES": "GPU-a"}, stderr="out of kernels\n")
    (group,) = groups(Report(rejected=(rejected(CARD, detail="it said: out of kernels"),), probes=(mine,)))
    assert group.entries[0].facts[0].sentence == "it said: out of kernels"


@pytest.mark.parametrize(
    ("rejection", "name"),
    [
        (rejected(CARD), "CUDA GPU-a, RTX 4090"),
        (rejected(DeviceInfo(id="", library="")), "a device without an id"),
        (rejected(DeviceInfo(id="", library="", name="CUDA0")), "a device without an id, CUDA0"),
        (failed_variant("rocm"), "variant rocm"),
        (failed_variant(""), "the runner"),
    ],
)
def test_whatever_is_rejected_has_a_name(rejection: Rejection, name: str) -> None:
    assert subject(rejection) == name


def test_the_summary_counts() -> None:
    report = Report(devices=(CARD,), rejected=(rejected(CARD),) * 2, probes=(probe(),), duration=1.26)
    assert sentences.summary(report) == "1 usable GPU, 2 rejected, 1 runner started, 1.3 s"


def test_masks_are_named_only_when_there_are_some() -> None:
    assert sentences.masks(Report()) == ""
    one = sentences.masks(Report(masks={"CUDA_VISIBLE_DEVICES": "0,1"}))
    assert one == "CUDA_VISIBLE_DEVICES='0,1' is set: devices hidden that way are not seen."


def test_nothing_is_said_of_nothing_found_when_there_is_a_device() -> None:
    assert sentences.nothing_found(Report(devices=(CARD,))) == []


def test_without_any_driver_the_advice_is_to_install_one() -> None:
    missing = failed_variant("cuda", Reason.DRIVER_MISSING)
    text = " ".join(sentences.nothing_found(Report(rejected=(missing,))))
    assert "Not asked: cuda." in text
    assert "install its driver" in text


def test_where_every_variant_was_left_out_no_driver_is_to_blame() -> None:
    report = Report(masks={"CUDA_VISIBLE_DEVICES": ""})
    assert sentences.nothing_found(report) == [
        "No GPU was looked for: every variant was left out. Leave out fewer (--without-variant)."
    ]


def test_runners_that_list_nothing_lead_to_the_drivers_own_tools() -> None:
    text = " ".join(sentences.nothing_found(Report(probes=(probe(),))))
    assert "Asked: cuda_v13 answered." in text
    assert "nvidia-smi" in text


def test_a_failed_runner_leads_to_the_reasons() -> None:
    report = Report(probes=(probe("timeout"),), rejected=(failed_variant("cuda_v13"),))
    text = " ".join(sentences.nothing_found(report))
    assert "Asked: cuda_v13 failed (timeout)." in text
    assert "Not asked" not in text
    assert "gpudiscover -vv" in text


def test_masks_are_the_first_suspects_when_nothing_is_found() -> None:
    text = sentences.nothing_found(Report(probes=(probe(),), masks={"CUDA_VISIBLE_DEVICES": ""}))
    assert any("Unset CUDA_VISIBLE_DEVICES" in sentence for sentence in text)


def test_progress_says_what_is_done_with_what() -> None:
    now = Progress(phase=Phase.VERIFY, variant="cuda_v13", mask={}, running=2, finished=1)
    assert sentences.progress(now) == "verifying devices with cuda_v13: 2 runners at work, 1 done"


def test_a_requirement_that_is_met_names_the_devices_that_meet_it() -> None:
    small = replace(CARD, id="GPU-b", total_memory=1 << 30)
    said = sentences.met(Requirement(min_memory=8 << 30), Report(devices=(CARD, small)))
    assert said == ["needed: 1 device of 8.0 GiB or more; usable: 1 of 2 devices", "CUDA GPU-a (RTX 4090)"]
