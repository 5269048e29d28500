"""Verdicts: what the answer of a probe that was masked to one device says about it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.reports import Phase, Reason, Rejection
from pytest_gpudiscover.selection import verdict
from pytest_gpudiscover.selection.verdicts import same_gpu
from pytest_gpudiscover.wire import Answer

GIB = 1 << 30

CARD = DeviceInfo(
    id="GPU-a",
    library="CUDA",
    variant="cuda_v13",
    description="L4",
    pci_id="0000:01:00.0",
    total_memory=24 * GIB,
)
NUMBERED = replace(CARD, id="1", filtered_id="1", pci_id="", library="ROCm", description="W7900")


def reason(device: DeviceInfo, *entries: DeviceInfo | Rejection) -> Reason | None:
    rejection = verdict(device, Answer(entries))
    assert rejection is None or (rejection.phase is Phase.VERIFY and rejection.device is device)
    return rejection.reason if rejection else None


def refused(device: DeviceInfo, why: Reason = Reason.UNUSABLE) -> Rejection:
    return Rejection.of(device, Phase.ENUMERATE, why, "it said so")


def test_a_device_that_answers_alone_is_verified() -> None:
    assert reason(CARD, CARD) is None


def test_an_empty_answer_is_no_verification() -> None:
    assert reason(CARD) is Reason.NOT_LISTED


def test_a_device_beside_others_is_kept() -> None:
    assert reason(CARD, replace(CARD, id="GPU-b", pci_id="0000:02:00.0"), CARD) is None


def test_an_answer_that_lists_only_others_says_that_the_mask_was_ignored() -> None:
    assert reason(CARD, replace(CARD, id="GPU-b", pci_id="0000:02:00.0")) is Reason.MASK_IGNORED


def test_the_others_of_an_ignored_mask_are_named_and_never_raw() -> None:
    others = tuple(replace(CARD, id=f"GPU-{n}", library="\x1b[2J", pci_id="") for n in range(200))
    rejection = verdict(CARD, Answer(others))
    assert rejection is not None
    assert "200 other devices" in rejection.detail
    assert "GPU-0" in rejection.detail
    assert rejection.detail.isprintable()
    assert len(rejection.detail) < 400


def test_the_details_of_a_verdict_say_what_was_asked_and_what_came() -> None:
    nothing = verdict(CARD, Answer())
    assert nothing is not None
    assert (
        nothing.detail == "asked for this device alone, with deep initialisation, the runner listed nothing"
    )
    others = tuple(
        replace(CARD, id=f"GPU-{n}", pci_id="", library=library) for n, library in enumerate("abcd")
    )
    ignored = verdict(CARD, Answer(others))
    assert ignored is not None
    assert (
        ignored.detail
        == "asked for this device alone, the runner listed 4 other devices: a GPU-0, b GPU-1, c GPU-2"
    )


def test_of_a_name_without_end_a_verdicts_detail_shows_60_characters() -> None:
    rejection = verdict(CARD, Answer((replace(CARD, library="x" * 200),)))
    assert rejection is not None
    assert rejection.detail.endswith(f"the runner listed 1 other device: {'x' * 59}…")


def test_a_pci_id_identifies_a_device_whatever_its_number_and_spelling() -> None:
    assert (
        reason(replace(NUMBERED, pci_id="0000:C1:00.0"), replace(NUMBERED, id="0", pci_id="c1:00.0")) is None
    )


def test_a_different_pci_id_is_another_device_even_with_the_same_number_and_name() -> None:
    listed = replace(NUMBERED, pci_id="0000:02:00.0")
    assert reason(replace(NUMBERED, pci_id="0000:01:00.0"), listed) is Reason.MASK_IGNORED


def test_a_uuid_identifies_a_device_where_a_pci_id_is_missing() -> None:
    assert reason(CARD, replace(CARD, pci_id="", description="other words")) is None
    assert reason(CARD, replace(CARD, pci_id="", id="GPU-b")) is Reason.MASK_IGNORED


def test_two_uuids_at_one_pci_address_are_two_slices() -> None:
    assert reason(replace(CARD, id="MIG-a"), replace(CARD, id="MIG-b")) is Reason.MASK_IGNORED


def test_without_pci_id_and_uuid_description_and_total_memory_identify_a_device() -> None:
    assert reason(NUMBERED, replace(NUMBERED, id="0")) is None
    assert reason(NUMBERED, replace(NUMBERED, description="W7800")) is Reason.MASK_IGNORED
    assert reason(NUMBERED, replace(NUMBERED, total_memory=GIB)) is Reason.MASK_IGNORED


def test_free_memory_has_no_say_in_who_a_device_is() -> None:
    assert reason(NUMBERED, replace(NUMBERED, id="0", free_memory=7)) is None


def test_a_number_never_identifies_a_device() -> None:
    assert reason(NUMBERED, replace(NUMBERED, description="another card")) is Reason.MASK_IGNORED


def test_a_number_that_was_translated_to_a_uuid_is_compared_with_a_uuid_only() -> None:
    behind_the_users_mask = replace(NUMBERED, filtered_id="GPU-cafe")
    assert reason(behind_the_users_mask, replace(NUMBERED, id="0")) is None


def test_the_same_gpu_through_another_library_is_no_verification() -> None:
    assert reason(CARD, replace(CARD, library="Vulkan")) is Reason.MASK_IGNORED


def test_refused_entries_do_not_count_as_present() -> None:
    assert reason(CARD, refused(replace(CARD, id="GPU-b", pci_id="0000:02:00.0"))) is Reason.NOT_LISTED


def test_a_device_that_is_itself_refused_keeps_the_runners_reason() -> None:
    rejection = verdict(CARD, Answer((refused(CARD, Reason.CPU),)))
    assert rejection is not None
    assert (rejection.reason, rejection.detail, rejection.variant) == (Reason.CPU, "it said so", "cuda_v13")


def test_the_runners_reason_is_kept_also_when_it_lists_others() -> None:
    other = replace(CARD, id="GPU-b", pci_id="0000:02:00.0")
    assert reason(CARD, other, refused(CARD)) is Reason.UNUSABLE


def test_an_answer_that_was_refused_as_a_whole_verifies_nothing() -> None:
    whole = Rejection(phase=Phase.VERIFY, reason=Reason.BAD_ANSWER, detail="not JSON")
    assert reason(CARD, whole) is not None


some_devices = st.builds(
    DeviceInfo,
    library=st.sampled_from(["CUDA", "ROCm"]),
    id=st.sampled_from(["0", "1", "GPU-a", "GPU-b"]),
    pci_id=st.sampled_from(["", "0000:01:00.0", "01:00.0", "0000:02:00.0", "junk"]),
    description=st.sampled_from(["one", "other"]),
    total_memory=st.sampled_from([GIB, 2 * GIB]),
)


@given(some_devices, st.lists(some_devices, max_size=4))
def test_a_device_is_verified_exactly_when_the_answer_holds_it(
    device: DeviceInfo, listed: list[DeviceInfo]
) -> None:
    expected = None if any(same_gpu(device, other) for other in listed) else Reason.MASK_IGNORED
    assert reason(device, *listed) is (expected if listed else Reason.NOT_LISTED)


@given(some_devices, some_devices)
def test_being_the_same_gpu_is_mutual(one: DeviceInfo, other: DeviceInfo) -> None:
    assert same_gpu(one, one)
    assert same_gpu(one, other) == same_gpu(other, one)


@pytest.mark.parametrize("number", ["0", "1", "17"])
def test_the_number_behind_the_mask_has_no_effect(number: str) -> None:
    assert reason(NUMBERED, replace(NUMBERED, id=number)) is None
