"""Cards: one name for one GPU, in every process."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.leasing.cards import capacities, card_name, names_for_people

L4 = DeviceInfo(id="GPU-1fd4", library="CUDA", description="NVIDIA L4", pci_id="0000:C1:00.0")


@pytest.mark.parametrize(
    "pci_id", ["0000:C1:00.0", "0000:c1:00.0", "00000000:C1:00.0", "0:c1:0.0", "c1:00.0"]
)
def test_a_card_is_named_by_its_place_however_that_is_written(pci_id: str) -> None:
    assert card_name(replace(L4, pci_id=pci_id)) == "pci 0000:c1:00.0"


def test_a_card_has_one_name_in_every_library_and_behind_every_mask() -> None:
    through_vulkan = replace(L4, library="Vulkan", id="00000000-c100", index=3)
    numbered = replace(L4, id="0", filtered_id="2")
    assert card_name(through_vulkan) == card_name(numbered) == card_name(L4)


def test_the_slices_of_one_card_are_cards_of_their_own() -> None:
    one, other = (card_name(replace(L4, id=f"MIG-{letter}")) for letter in "ab")
    assert one == "pci 0000:c1:00.0 MIG-a"
    assert other == "pci 0000:c1:00.0 MIG-b"


def test_without_a_place_a_card_is_named_by_what_shows_it_behind_any_mask() -> None:
    assert card_name(replace(L4, pci_id="")) == "CUDA GPU-1fd4"
    assert card_name(replace(L4, pci_id="nonsense")) == "CUDA GPU-1fd4"
    renumbered = DeviceInfo(id="0", library="ROCm", filtered_id="2")
    assert card_name(renumbered) == "ROCm 2"
    assert card_name(DeviceInfo(id="uuid", library="Vulkan", index=1)) == "Vulkan 1"


def test_shares_may_take_what_is_free_or_all_where_nobody_knows() -> None:
    known = replace(L4, total_memory=24, free_memory=23)
    unknown = DeviceInfo(id="0", library="Vulkan", total_memory=8)
    assert capacities([known, unknown]) == {"pci 0000:c1:00.0": 23, "Vulkan 0": 8}


def test_people_are_told_the_library_the_product_and_the_id() -> None:
    assert names_for_people([L4]) == {"pci 0000:c1:00.0": "CUDA NVIDIA L4 GPU-1fd4"}
    odd = replace(L4, description="", name="CUDA0\n\x1b[31m")
    assert list(names_for_people([odd]).values()) == [r"CUDA CUDA0\n\x1b[31m GPU-1fd4"]
