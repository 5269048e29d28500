"""Duplicates: each physical GPU survives once, and nobody else is taken for it."""

from __future__ import annotations

import pytest

from pytest_gpudiscover.devices import Comparison, DeviceInfo
from pytest_gpudiscover.reports import Phase, Reason, Rejection
from pytest_gpudiscover.selection import without_duplicates, without_repeats

PCI_IDS = ["", "0000:01:00.0", "00000000:01:00.0", "01:00.0", "0000:C1:00.0", "0000:c1:00.0", "junk"]


def device(library: str, device_id: str, pci_id: str = "", description: str = "card") -> DeviceInfo:
    return DeviceInfo(library=library, id=device_id, pci_id=pci_id, description=description)


SLICES = [
    device("Vulkan", "GPU-a", PCI_IDS[1]),
    device("Vulkan", "GPU-b", PCI_IDS[1]),
    device("CUDA", "0", PCI_IDS[1]),
]


def kept(*devices: DeviceInfo) -> list[DeviceInfo]:
    return without_duplicates(devices)[0]


def test_all_slices_that_another_library_sees_are_duplicates_of_the_card_it_lists() -> None:
    assert without_duplicates(SLICES)[0] == [SLICES[2]]
    assert [rejection.id for rejection in without_duplicates(SLICES)[1]] == ["GPU-a", "GPU-b"]


def test_slices_of_one_card_are_no_duplicates() -> None:
    slices = [device("CUDA", "MIG-a", PCI_IDS[1]), device("CUDA", "MIG-b", PCI_IDS[1])]
    assert kept(*slices) == slices


def test_twins_without_pci_ids_are_no_duplicates() -> None:
    for ids in (("0", "1"), ("GPU-a", "GPU-b")):
        twins = [device("CUDA", name) for name in ids]
        assert kept(*twins) == twins


def test_devices_of_two_libraries_that_both_lack_a_pci_id_are_no_duplicates() -> None:
    both = [device("CUDA", "0"), device("Vulkan", "0")]
    assert kept(*both) == both


def test_without_a_pci_id_the_id_that_the_runner_gave_tells_duplicates() -> None:
    renumbered = DeviceInfo(library="ROCm", id="0", filtered_id="1")
    assert kept(renumbered, DeviceInfo(library="ROCm", id="0")) == [
        renumbered,
        DeviceInfo(library="ROCm", id="0"),
    ]
    assert kept(renumbered, DeviceInfo(library="ROCm", id="1")) == [renumbered]


def test_one_id_is_a_duplicate_also_where_only_one_side_has_a_pci_id() -> None:
    with_pci, without = device("CUDA", "GPU-a", PCI_IDS[1]), device("CUDA", "GPU-a")
    assert (kept(with_pci, without), kept(without, with_pci)) == ([with_pci], [without])
    both = [with_pci, device("CUDA", "GPU-b")]
    assert kept(*both) == both


@pytest.mark.parametrize("winner", ["CUDA", "ROCm"])
@pytest.mark.parametrize("loser", ["Vulkan", "Metal", "Level Zero"])
def test_cuda_and_rocm_win_over_duplicates_of_other_libraries(winner: str, loser: str) -> None:
    best, worse = device(winner, "0", PCI_IDS[1]), device(loser, "0", PCI_IDS[1])
    neighbour = device("Vulkan", "GPU-n", "0000:09:00.0")
    assert kept(best, neighbour, worse) == [best, neighbour]
    assert kept(worse, neighbour, best) == [best, neighbour]


def test_of_cuda_and_rocm_the_earlier_duplicate_stays() -> None:
    cuda, rocm = device("CUDA", "0", PCI_IDS[1]), device("ROCm", "0", PCI_IDS[1])
    assert (kept(cuda, rocm), kept(rocm, cuda)) == ([cuda], [rocm])


def test_of_two_other_libraries_the_later_duplicate_stays_in_the_earlier_ones_place() -> None:
    first, between, last = (
        device("Vulkan", "0", PCI_IDS[1]),
        device("Vulkan", "1", PCI_IDS[4]),
        device("Metal", "0", PCI_IDS[1]),
    )
    assert kept(first, between, last) == [last, between]


def test_of_duplicates_within_one_library_the_first_stays() -> None:
    first, again = device("Vulkan", "0", PCI_IDS[1], "first"), device("Vulkan", "1", PCI_IDS[1], "again")
    assert kept(first, again) == [first]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("0000:c1:00.0", "0000:C1:00.0", True),
        ("0000:01:00.0", "00000000:01:00.0", True),
        ("0:1:0.0", "0000:01:00.0", True),
        ("0000:01:00.0", "01:00.0", True),
        ("0002:01:00.0", "01:00.2", True),
        ("0000:01:00.2", "01:00.2", False),
        ("0000:01:00.0", "0001:01:00.0", False),
        ("0000:01:00.0", "0000:01:00.1", False),
        ("0000:01:00.0", "0000:01:01.0", False),
        ("0000:01:00.0", "0000:02:00.0", False),
        ("junk", "junk", False),
        ("", "", False),
        ("\u0660:01:00.0", "0000:01:00.0", False),
        ("0000:01:00.0\n", "0000:01:00.0", False),
    ],
)
def test_duplicates_are_told_by_pci_ids_as_numbers(one: str, other: str, same: bool) -> None:
    expected = Comparison.DUPLICATE if same else Comparison.UNIQUE
    assert device("CUDA", "GPU-a", one).compare(device("Vulkan", "0", other)) is expected


def test_a_duplicates_detail_names_the_winner_and_never_raw() -> None:
    _, (rejection,) = without_duplicates([device("CUDA", "0", PCI_IDS[1]), device("Vulkan", "0", PCI_IDS[1])])
    assert rejection.detail == "the same GPU is served through CUDA"
    _, (hostile,) = without_duplicates([device("A", "0", PCI_IDS[1]), device("\x1b[2J", "0", PCI_IDS[1])])
    assert hostile.detail.isprintable()


def test_the_second_device_of_one_answer_with_the_same_id_is_refused_and_never_named_raw() -> None:
    first, again = (
        device("CUDA\x1b", "GPU-a", description="one"),
        device("CUDA\x1b", "GPU-a", description="two"),
    )
    bad = Rejection(phase=Phase.ENUMERATE, reason=Reason.BAD_DEVICE, detail="bad", device=first)
    entries = without_repeats([bad, first, device("Vulkan", "GPU-a"), again])
    assert entries[:3] == [bad, first, device("Vulkan", "GPU-a")]
    assert isinstance(entries[3], Rejection)
    assert (entries[3].phase, entries[3].reason, entries[3].device) == (
        Phase.ENUMERATE,
        Reason.DUPLICATE,
        again,
    )
    assert entries[3].detail.isprintable()


def test_what_follows_a_repeated_device_is_still_looked_at() -> None:
    first, other = device("CUDA", "GPU-a"), device("CUDA", "GPU-b")
    entries = without_repeats([first, first, other, other])
    assert [isinstance(entry, DeviceInfo) for entry in entries] == [True, False, True, False]
    assert (entries[0], entries[2]) == (first, other)


def test_of_a_name_without_end_a_duplicates_detail_shows_60_characters() -> None:
    endless = "x" * 200
    _, (duplicate,) = without_duplicates([device(endless, "0", PCI_IDS[1]), device(endless, "1", PCI_IDS[1])])
    assert duplicate.detail == f"the same GPU is served through {'x' * 59}…"
    repeat = without_repeats([device(endless, "0")] * 2)[1]
    assert isinstance(repeat, Rejection)
    assert repeat.detail == f"the runner lists {'x' * 59}… twice, so that nothing tells the two apart"
