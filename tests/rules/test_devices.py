"""What a device says about itself, and how PCI ids and numbers are read."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpudiscover.devices import Comparison, DeviceID, DeviceInfo, PciAddress, is_number, pci_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0000:01:00.0", (0, 1, 0, 0)),
        ("0000:C1:1f.7", (0, 0xC1, 0x1F, 7)),
        ("00010000:c1:00.0", (0x10000, 0xC1, 0, 0)),
        ("c1:1f.2", (2, 0xC1, 0x1F, 0)),
        ("1:0:0.0", (1, 0, 0, 0)),
    ],
)
def test_a_pci_id_is_read_as_numbers(text: str, address: tuple[int, int, int, int]) -> None:
    assert pci_address(text) == PciAddress(*address)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "junk",
        "0000:01:00",
        "01:00",
        "0000:01:00.00",
        " 01:00.0",
        "01:00.0\n",
        "000000000:01:00.0",
        "g0:00.0",
        "-1:00.0",
    ],
)
def test_what_is_no_pci_id_is_none(text: str) -> None:
    assert pci_address(text) is None


@given(st.integers(0, 2**32 - 1), st.integers(0, 255), st.integers(0, 31), st.integers(0, 7), st.booleans())
def test_every_spelling_of_a_pci_id_is_one_address(
    domain: int, bus: int, slot: int, function: int, upper: bool
) -> None:
    spellings = [
        f"{domain:08x}:{bus:02x}:{slot:02x}.{function:x}",
        f"{domain:x}:{bus:x}:{slot:x}.{function:x}",
    ]
    spellings += [f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"]
    read = {pci_address(text.upper() if upper else text) for text in spellings}
    assert read == {PciAddress(domain, bus, slot, function)}


@given(st.text(max_size=20))
def test_any_text_is_a_pci_id_or_none(text: str) -> None:
    address = pci_address(text)
    assert address is None or min(address) >= 0


@pytest.mark.parametrize(
    ("text", "number"), [("0", True), ("007", True), ("", False), ("-1", False), ("1.0", False)]
)
def test_a_number_is_ascii_digits_only(text: str, number: bool) -> None:
    assert is_number(text) is number
    for odd in ("\u0663", "\u00b2", "\uff11", "1 ", "1\n", "0x1"):
        assert not is_number(odd)


def device(library: str = "CUDA", **fields: Any) -> DeviceInfo:
    return dataclasses.replace(DeviceInfo(library=library, id="0"), **fields)


@pytest.mark.parametrize(
    ("library", "major", "minor", "shown"),
    [
        ("CUDA", 8, 9, "8.9"),
        ("CUDA", 12, 0, "12.0"),
        ("CUDA", 1, 3, "1.3"),
        ("ROCm", 16, 48, "gfx1030"),
        ("ROCm", 9, 10, "gfx90a"),
        ("ROCm", 0x11, 0, "gfx1100"),
        ("Vulkan", 0, 0, ""),
        ("Vulkan", -1, -1, ""),
        ("Metal", -1, 0, ""),
        ("ROCm", -1, -1, ""),
    ],
)
def test_compute_is_shown_as_people_write_it(library: str, major: int, minor: int, shown: str) -> None:
    assert device(library, compute_major=major, compute_minor=minor).compute == shown


def test_a_target_that_the_runner_names_is_shown_as_it_is() -> None:
    assert device("ROCm", compute_major=9, compute_minor=0, gfx_target="gfx90c").compute == "gfx90c"


@pytest.mark.parametrize(
    ("major", "minor", "shown"), [(13, 0, "13.0"), (12, 4, "12.4"), (1, 0, "1.0"), (0, 0, ""), (-1, 5, "")]
)
def test_a_driver_is_shown_as_people_write_it(major: int, minor: int, shown: str) -> None:
    assert device(driver_major=major, driver_minor=minor).driver == shown


def test_a_device_is_named_by_library_and_id() -> None:
    assert device().device_id == DeviceID(library="CUDA", id="0")


def test_the_runners_id_outlives_renumbering() -> None:
    assert device(id="0", filtered_id="3").runner_id == "3"
    assert device(id="GPU-a").runner_id == "GPU-a"


def test_a_device_is_a_value_that_cannot_change() -> None:
    one = device()
    assert {one: 1}[device()] == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.free_memory = 5  # type: ignore[misc]


def test_a_comparison_has_the_three_outcomes_that_others_rely_on() -> None:
    assert {comparison.name for comparison in Comparison} == {"UNIQUE", "SAME_BACKEND", "DUPLICATE"}
    card = device(pci_id="0000:01:00.0")
    assert card.compare(card) is Comparison.SAME_BACKEND
    assert card.compare(device("Vulkan", pci_id="0000:01:00.0")) is Comparison.DUPLICATE
    assert card.compare(device(pci_id="0000:02:00.0")) is Comparison.UNIQUE
