"""Refresh: newer figures go to the devices they belong to, and to nobody else."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from pytest_gpudiscover import refreshing
from pytest_gpudiscover.devices import DeviceID, DeviceInfo
from pytest_gpudiscover.refreshing import (
    Matched,
    appeared,
    needs_available_memory,
    updated,
    vanished,
    with_available_memory,
)
from pytest_gpudiscover.reports import Phase, Reason, Rejection
from pytest_gpudiscover.wire import Answer

GIB = 1 << 30


def matched(
    kept: Sequence[DeviceInfo], answer: Answer, masked: Collection[str] = ("CUDA", "ROCm", "Vulkan")
) -> Matched:
    return refreshing.matched(kept, answer, masked)


def card(
    device_id: str, pci_id: str = "", free: int = 1, library: str = "ROCm", filtered_id: str = ""
) -> DeviceInfo:
    return DeviceInfo(
        id=device_id,
        library=library,
        pci_id=pci_id,
        filtered_id=filtered_id,
        total_memory=GIB,
        free_memory=free,
        description="card",
    )


def free_memory(kept: list[DeviceInfo], *listed: DeviceInfo) -> dict[str, int]:
    return {device.id: size for device, size in matched(kept, Answer(listed)).free.items()}


def test_a_pci_id_decides_whatever_the_numbers_say() -> None:
    kept = [card("0", "0000:01:00.0"), card("1", "0000:02:00.0")]
    assert free_memory(kept, card("0", "02:00.0", 20), card("1", "01:00.0", 10)) == {"0": 10, "1": 20}


def test_a_uuid_decides_where_a_side_has_no_pci_id() -> None:
    kept = [card("GPU-a", "0000:01:00.0"), card("GPU-b")]
    assert free_memory(kept, card("GPU-b", "0000:02:00.0", 20), card("GPU-a", "", 10)) == {
        "GPU-a": 10,
        "GPU-b": 20,
    }


def test_number_n_is_the_nth_entry_of_the_mask() -> None:
    kept = [card("0", filtered_id="3"), card("1", filtered_id="5")]
    assert free_memory(kept, card("1", free=50), card("0", free=30)) == {"0": 30, "1": 50}


def test_a_card_of_another_kind_in_its_place_is_a_stranger() -> None:
    kept = card("0", filtered_id="0")
    for other in (replace(kept, description="another"), replace(kept, total_memory=2 * GIB)):
        found = matched([kept], Answer((other,)))
        assert (found.free, found.missing, found.strangers) == ({}, (kept,), (other,))


def test_numbers_count_within_their_own_library() -> None:
    kept = [card("0", library="Vulkan"), card("0"), card("1")]
    found = matched(
        kept, Answer((card("0", free=10), card("1", free=20), card("0", free=5, library="Vulkan")))
    )
    assert found.free == {
        DeviceID(library="ROCm", id="0"): 10,
        DeviceID(library="ROCm", id="1"): 20,
        DeviceID(library="Vulkan", id="0"): 5,
    }


def test_a_number_takes_its_place_among_devices_with_uuids() -> None:
    assert free_memory(
        [card("GPU-a"), card("1", filtered_id="4")], card("GPU-a", free=10), card("1", free=20)
    ) == {
        "GPU-a": 10,
        "1": 20,
    }


def test_a_device_without_a_pci_id_does_not_take_the_figures_of_a_neighbour_that_has_one() -> None:
    kept = [card("0"), card("1", "0000:02:00.0")]
    assert free_memory(kept, card("0", "0000:02:00.0", 20)) == {"1": 20}


def test_the_card_that_was_rejected_never_lends_its_memory_to_the_one_that_took_its_number() -> None:
    # The reference masks nothing and compares numbers: after renumbering, device 0 gets the memory of the
    # card that failed verification.
    kept = [card("0", "0000:02:00.0", free=200, filtered_id="1")]
    failed, survivor = card("0", "0000:01:00.0", free=7), card("1", "0000:02:00.0", free=150)
    found = matched(kept, Answer((failed, survivor)))
    assert list(found.free.values()) == [150]
    assert found.strangers == (failed,)


def test_callers_keep_what_they_were_given() -> None:
    # The reference hands out its own list, so that a refresh rewrites what the caller holds.
    held = (card("0", free=100),)
    newer = updated(held, {held[0].device_id: 50})
    assert [device.free_memory for device in held] == [100]
    assert [device.free_memory for device in newer] == [50]


def test_a_device_that_a_good_answer_leaves_out_is_missing() -> None:
    kept = [card("GPU-a"), card("GPU-b")]
    found = matched(kept, Answer((card("GPU-b"),)))
    assert found.missing == (kept[0],)
    rejection = vanished(kept[0], Answer())
    assert (rejection.phase, rejection.reason, rejection.detail) == (
        Phase.REFRESH,
        Reason.VANISHED,
        "it was kept, and a good answer no longer lists it; its figures are the old ones",
    )


def test_a_device_that_a_good_answer_lists_badly_is_rejected_with_that_reason() -> None:
    device = DeviceInfo(id="GPU-a", library="CUDA", variant="cuda_v13")
    refused = Rejection.of(device, Phase.ENUMERATE, Reason.BAD_DEVICE, "free_memory: an integer was expected")
    rejection = vanished(device, Answer((refused,)))
    assert (rejection.phase, rejection.reason, rejection.detail) == (
        Phase.REFRESH,
        Reason.BAD_DEVICE,
        "free_memory: an integer was expected",
    )


def test_a_stranger_inherits_nobodys_figures() -> None:
    kept = [card("0", "0000:01:00.0")]
    stranger = card("0", "0000:09:00.0", free=99)
    found = matched(kept, Answer((stranger,)))
    assert (found.free, found.missing, found.strangers) == ({}, tuple(kept), (stranger,))


def test_a_number_beyond_the_mask_is_a_stranger() -> None:
    assert matched([card("0")], Answer((card("0"), card("7")))).strangers == (card("7"),)


def test_a_huge_number_is_a_stranger() -> None:
    assert matched([card("0")], Answer((card("9" * 128),))).strangers == (card("9" * 128),)


def test_nobody_is_matched_twice() -> None:
    kept = [card("GPU-a", "0000:01:00.0")]
    again = card("GPU-a", "0000:01:00.0", free=99)
    found = matched(kept, Answer((card("GPU-a", "0000:01:00.0", free=5), again)))
    assert (list(found.free.values()), found.strangers) == ([5], (again,))


def test_refused_entries_bring_no_figures() -> None:
    kept = card("GPU-a", free=5)
    refusal = Rejection.of(card("GPU-a", free=99), Phase.REFRESH, Reason.UNUSABLE, "no")
    assert matched([kept], Answer((refusal,))).missing == (kept,)


def test_only_a_device_that_nobody_ever_listed_has_appeared() -> None:
    new, rejected_before = card("GPU-new", "0000:09:00.0"), card("GPU-old", "0000:01:00.0")
    found = appeared([new, rejected_before], [rejected_before])
    (rejection,) = found
    assert (rejection.device, rejection.phase, rejection.reason, rejection.detail) == (
        new,
        Phase.REFRESH,
        Reason.APPEARED,
        "it was not there before; a rescan would take it up",
    )


def test_what_could_not_be_refreshed_keeps_its_figure_and_is_stale() -> None:
    old = card("GPU-a", free=100)
    assert updated([old], {}) == (replace(old, stale=True),)


def test_a_device_that_was_stale_is_fresh_again() -> None:
    old = replace(card("GPU-a", free=100), stale=True)
    assert updated([old], {old.device_id: 0}) == (replace(old, free_memory=0, stale=False),)


def test_the_systems_memory_replaces_that_of_integrated_cuda_devices_only() -> None:
    devices = [
        replace(card("a", library=library), integrated=integrated, stale=True)
        for library in ("CUDA", "ROCm", "Vulkan")
        for integrated in (True, False)
    ]
    assert [device.id for device in devices if needs_available_memory(device)] == ["a"]
    assert with_available_memory(devices, 123) == (replace(devices[0], free_memory=123), *devices[1:])


def test_a_number_of_a_library_without_a_mask_is_the_one_the_runner_gave() -> None:
    # Nothing hides the rejected card 0 there: the survivor, renumbered to 0, is still the runner's 1.
    survivor = DeviceInfo(id="0", filtered_id="1", library="SYCL", free_memory=15)
    answer = Answer(
        (
            DeviceInfo(id="0", library="SYCL", free_memory=1),
            DeviceInfo(id="1", library="SYCL", free_memory=14),
        )
    )
    assert matched([survivor], answer, masked=()).free == {survivor.device_id: 14}
