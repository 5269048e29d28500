"""Requirements: what somebody needs of a machine, and in words what is lacking."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.errors import RequirementError
from pytest_gpudiscover.requirements import Compute, Requirement
from pytest_gpudiscover.text import parse_size

GIB = 1 << 30
L4 = DeviceInfo(
    id="GPU-a",
    library="CUDA",
    description="NVIDIA L4",
    total_memory=24 * GIB,
    compute_major=8,
    compute_minor=9,
)
MI210 = DeviceInfo(
    id="0", library="ROCm", description="MI210", total_memory=64 * GIB, compute_major=9, compute_minor=0x0A
)
IRIS = DeviceInfo(id="0", library="Vulkan", description="Iris", total_memory=2 * GIB, free_memory=GIB)


def meets(text: str, device: DeviceInfo) -> bool:
    return Compute.parse(text).met_by(device)


@pytest.mark.parametrize("text", ["8.9", "8", "8.0", " 7.10 ", "8.8"])
def test_a_capability_is_met_from_its_level_on(text: str) -> None:
    assert meets(text, L4)


@pytest.mark.parametrize("text", ["8.10", "9", "9.0", "10", "12.0"])
def test_capabilities_are_compared_as_numbers(text: str) -> None:
    assert not meets(text, L4)


@pytest.mark.parametrize(
    ("text", "met"), [("gfx90a", True), ("gfx908", True), ("GFX90A", True), ("gfx90c", False)]
)
def test_rocms_targets_are_compared_as_hexadecimals(text: str, met: bool) -> None:
    assert meets(text, MI210) is met
    assert not meets("gfx1030", MI210)
    assert meets("gfx1030", replace(MI210, compute_major=0x11, compute_minor=0))


def test_a_capability_is_compared_within_one_kind_of_library_only() -> None:
    assert not meets("1.0", MI210)
    assert not meets("gfx100", L4)
    assert not meets("1", IRIS)
    assert not meets("0", replace(IRIS, compute_major=-1, compute_minor=-1))


@pytest.mark.parametrize(
    "text", ["", "8.", ".9", "8.9.1", "-1", "eight", "gfx", "gfx9", "gfxxyz", "sm_89", "\u0668.9", "9" * 5000]
)
def test_what_is_no_capability_is_refused_with_examples(text: str) -> None:
    with pytest.raises(RequirementError, match=r"8\.9, or gfx1030"):
        Compute.parse(text)


def test_a_refused_capability_is_never_shown_raw() -> None:
    with pytest.raises(RequirementError) as caught:
        Compute.parse("\x1b[2J" * 1000)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


@given(st.text(max_size=12))
def test_any_text_is_a_capability_or_refused(text: str) -> None:
    with contextlib.suppress(RequirementError):
        assert Compute.parse(text).text == text.strip()


def test_a_device_that_lacks_nothing_has_no_shortcomings() -> None:
    requirement = Requirement(library="cuda", min_memory=24 * GIB, min_compute=Compute.parse("8.9"))
    assert requirement.shortcomings(L4) == []


def test_every_shortcoming_is_said_in_words() -> None:
    requirement = Requirement(library="CUDA", min_memory=16 * GIB, min_compute=Compute.parse("8.0"))
    assert requirement.shortcomings(IRIS) == [
        "its library is Vulkan",
        "it has 2.0 GiB",
        "its compute capability is unknown",
    ]
    assert Requirement(min_compute=Compute.parse("9.0")).shortcomings(L4) == ["its compute capability is 8.9"]


def test_memory_is_total_memory() -> None:
    assert Requirement(min_memory=2 * GIB).selected([IRIS]) == [IRIS]
    assert Requirement(min_memory=2 * GIB + 1).selected([IRIS]) == []


@pytest.mark.parametrize(
    ("needed", "had", "said"),
    [
        ("24GiB", 24 * GIB - 1, ["24.0 GiB or more", "it has 23.9 GiB"]),
        ("24GiB", 24564 << 20, ["24.0 GiB or more", "it has 23.9 GiB"]),
        ("1.1GiB", GIB, ["1.1 GiB or more", "it has 1.0 GiB"]),
        ("24GB", 22 * GIB, ["24.0 GB or more", "it has 23.6 GB"]),
        ("24564MiB", (24564 << 20) - 1, ["24564.0 MiB or more", "it has 24563.9 MiB"]),
        (str(8 * GIB + 1), 8 * GIB, ["8589934593 bytes or more", "it has 8589934592 bytes"]),
    ],
)
def test_memory_that_is_lacking_reads_as_less_than_what_is_needed(
    needed: str, had: int, said: list[str]
) -> None:
    reasons = Requirement(min_memory=parse_size(needed)).unmet([replace(L4, total_memory=had)])
    assert [words for words, reason in zip(said, reasons, strict=True) if words not in reason] == []


@given(st.integers(1, 1 << 50), st.integers(1, 1 << 50))
def test_a_device_that_lacks_memory_never_claims_to_have_it(needed: int, lacking: int) -> None:
    requirement = Requirement(min_memory=needed)
    (shortcoming,) = requirement.shortcomings(replace(L4, total_memory=max(needed - lacking, 0)))
    number, unit = shortcoming.removeprefix("it has ").split()
    said = str(requirement).removeprefix("1 device of ").removesuffix(" or more").split()
    assert said[1] == unit
    assert float(number) < float(said[0])
    assert parse_size("".join(said)) == needed


def test_what_meets_a_requirement_is_selected_in_order_however_many() -> None:
    assert Requirement(count=1).selected([MI210, L4, IRIS]) == [MI210, L4, IRIS]
    assert Requirement(count=5, library="CUDA").selected([MI210, L4]) == [L4]


def test_a_requirement_that_is_met_has_no_reasons() -> None:
    assert Requirement(count=2).unmet([L4, IRIS]) == []
    assert Requirement(count=0).unmet([]) == []


def test_an_unmet_requirement_says_what_was_needed_and_what_each_device_lacks() -> None:
    requirement = Requirement(count=2, library="CUDA", min_memory=16 * GIB, min_compute=Compute.parse("8.0"))
    assert requirement.unmet([L4, IRIS]) == [
        "needed: 2 CUDA devices of 16.0 GiB or more with compute 8.0 or higher; usable: 1 of 2 devices",
        "Vulkan 0 (Iris): its library is Vulkan, it has 2.0 GiB, its compute capability is unknown",
    ]
    assert Requirement().unmet([]) == ["needed: 1 device; usable: 0 of 0 devices"]


def test_where_there_are_only_too_few_the_reasons_name_those_that_there_are() -> None:
    assert Requirement(count=3).unmet([L4, IRIS]) == [
        "needed: 3 devices; usable: 2 of 2 devices",
        f"fitting: CUDA {L4.id} (NVIDIA L4), Vulkan 0 (Iris)",
    ]


def test_reasons_never_show_a_device_raw() -> None:
    hostile = replace(IRIS, library="\x1b[2J", description="\x1b" * 10_000, gfx_target="\x1b")
    requirement = Requirement(library="CUDA", min_compute=Compute.parse("8.0"))
    for line in requirement.unmet([hostile]):
        assert line.isprintable()
        assert len(line) < 1000
