"""A requirement as people type it, and how several share a machine."""

from __future__ import annotations

import contextlib
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.errors import RequirementError
from pytest_gpudiscover.requirements import GRAMMAR, Compute, Requirement, unserved

GIB = 1 << 30


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2", Requirement(count=2)),
        ("CUDA", Requirement(library="CUDA")),
        ("2xROCm", Requirement(count=2, library="ROCm")),
        ("2x", Requirement(count=2)),
        ("2x>=16GiB", Requirement(count=2, min_memory=16 * GIB)),
        ("2>=16GiB", Requirement(count=2, min_memory=16 * GIB)),
        (">=1.5GB", Requirement(min_memory=1_500_000_000)),
        ("@gfx90a", Requirement(min_compute=Compute.parse("gfx90a"))),
        ("12xVulkan>=4096", Requirement(count=12, library="Vulkan", min_memory=4096)),
        (
            "CUDA>=16GiB@8.0",
            Requirement(library="CUDA", min_memory=16 * GIB, min_compute=Compute.parse("8.0")),
        ),
        ("level zero@1", Requirement(library="Level Zero", min_compute=Compute.parse("1"))),
    ],
)
def test_every_part_may_be_left_out_but_not_all_of_them(text: str, meant: Requirement) -> None:
    assert Requirement.parse(text) == meant


@pytest.mark.parametrize(
    "text", ["2xCUDA>=16GiB@8.0", "2XCUDA>=16gib@8.0", " 2 x cuda  >= 16 GiB @ 8.0\n", "2x cUdA>=16GIB @8.0"]
)
def test_neither_case_nor_blanks_between_the_parts_count(text: str) -> None:
    assert Requirement.parse(text).written == "2xCUDA>=16GiB@8.0"


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        ("rocm", "ROCm"),
        ("VULKAN", "Vulkan"),
        ("metal", "Metal"),
        ("LEVEL  ZERO", "Level Zero"),
        ("xpu", "xpu"),
    ],
)
def test_a_known_library_has_its_own_spelling_and_an_unknown_one_keeps_what_was_typed(
    typed: str, named: str
) -> None:
    assert Requirement.parse(typed).library == named
    assert Requirement.parse(f"3x{typed}") == Requirement(count=3, library=named)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", ""),
        (" ", ""),
        ("x", ""),
        ("-1", ""),
        ("1.5", ""),
        ("2x2", ""),
        ("16GiB", ""),
        ("CUDA 16GiB", ""),
        ("CUDA>16GiB", ""),
        ("CUDA=>16GiB", ""),
        ("CUDA@8.0>=16GiB", ""),
        ("CUDA>=1GiB>=2GiB", ""),
        ("1xCUDA, 1xROCm", ""),
        ("٢xCUDA", ""),
        ("9" * 5000, ""),
        ("0", "a count of 0 needs nothing"),
        ("0xCUDA", "a count of 0 needs nothing"),
        ("CUDA>=", "'' is no size"),
        ("CUDA>=16XiB", "'16XiB' is no size"),
        ("CUDA>=@8.0", "'' is no size"),
        ("CUDA@", "'' is no compute capability"),
        ("CUDA@eight", "'eight' is no compute capability"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_problem_and_what_was_expected(
    text: str, problem: str
) -> None:
    with pytest.raises(RequirementError) as caught:
        Requirement.parse(text)
    said = str(caught.value)
    assert f"is no requirement: {problem}" in said
    assert said.endswith(f"expected {GRAMMAR}, such as 2xCUDA>=16GiB@8.0")
    assert len(said) < 400


@given(st.text(max_size=20) | st.text("2x CUDAo>=16GiB@8.0,", max_size=20))
def test_any_text_is_a_requirement_or_refused(text: str) -> None:
    with contextlib.suppress(RequirementError):
        assert Requirement.parse(text).count >= 1


def test_a_long_text_is_refused_as_fast_as_a_short_one() -> None:
    for text in ("a" * 100_000 + "!", "2 " * 100_000, " " * 100_000 + "!", "a " * 100_000 + "!"):
        with pytest.raises(RequirementError):
            Requirement.parse(text)


requirements = st.builds(
    Requirement,
    count=st.integers(1, 999),
    library=st.none() | st.sampled_from(["CUDA", "ROCm", "Vulkan", "Metal", "Level Zero", "SYCL"]),
    min_memory=st.none() | st.integers(0, 1 << 50),
    min_compute=st.none() | st.sampled_from(["8.0", "9", "gfx1030", "12.10"]).map(Compute.parse),
)


@given(requirements)
def test_what_a_requirement_is_written_as_is_read_as_that_requirement(requirement: Requirement) -> None:
    assert Requirement.parse(requirement.written) == requirement


def test_a_requirement_is_written_as_short_as_it_can_be_read_exactly() -> None:
    assert Requirement(count=2).written == "2"
    assert Requirement(library="CUDA").written == "1xCUDA"
    assert Requirement(min_memory=GIB).written == "1x>=1GiB"
    assert Requirement(min_memory=GIB + 1).written == f"1x>={GIB + 1}bytes"


@given(st.lists(requirements, min_size=1, max_size=3))
def test_several_are_read_between_commas(several: list[Requirement]) -> None:
    assert Requirement.parse_all(", ".join(each.written for each in several)) == tuple(several)


@pytest.mark.parametrize("text", ["", ",", "1xCUDA,", ",1xCUDA", "1xCUDA,,1xROCm"])
def test_one_that_is_empty_among_several_is_refused(text: str) -> None:
    with pytest.raises(RequirementError, match="'' is no requirement"):
        Requirement.parse_all(text)


def card(library: str, memory: int = 8) -> DeviceInfo:
    return DeviceInfo(id=f"{library}-{memory}", library=library, total_memory=memory * GIB)


def lacking(text: str, *devices: DeviceInfo) -> list[str]:
    return [each.written for each in unserved(Requirement.parse_all(text), devices)]


def test_each_of_several_requirements_has_devices_of_its_own() -> None:
    assert lacking("1xCUDA, 1xROCm", card("CUDA"), card("ROCm")) == []
    assert lacking("1xCUDA, 1xCUDA", card("CUDA")) == ["1xCUDA"]
    assert lacking("1xCUDA, 1x>=4GiB", card("CUDA")) == ["1x>=4GiB"]
    assert lacking("1x>=4GiB, 1xCUDA", card("CUDA")) == ["1xCUDA"]


def test_one_requirement_leaves_to_another_what_only_that_one_can_use() -> None:
    small, big = card("CUDA", 8), card("CUDA", 80)
    for devices in permutations([small, big]):
        assert lacking("1xCUDA, 1x>=40GiB", *devices) == []
        assert lacking("1x>=40GiB, 1xCUDA", *devices) == []
    assert lacking("2xCUDA, 1x>=40GiB", small, big) == ["1x>=40GiB"]
    assert lacking("1xCUDA, 1x>=8GiB, 1x>=40GiB", card("ROCm", 40), small, big) == []


def test_what_cannot_be_met_takes_nothing_from_what_comes_behind_it() -> None:
    assert lacking("3xCUDA, 2xCUDA", card("CUDA"), card("CUDA", 9)) == ["3xCUDA"]


def brute_force(several: list[Requirement], devices: list[DeviceInfo]) -> bool:
    """Whether some order of the devices serves one requirement after the other."""
    slots = [each for each in several for _ in range(each.count)]
    return any(
        all(not slot.shortcomings(device) for slot, device in zip(slots, order, strict=True))
        for order in permutations(devices, len(slots))
    )


@given(
    st.lists(st.builds(card, st.sampled_from(["CUDA", "ROCm"]), st.integers(1, 3)), max_size=5),
    st.lists(
        st.builds(
            Requirement,
            count=st.integers(1, 2),
            library=st.none() | st.just("CUDA"),
            min_memory=st.none() | st.integers(1, 3).map(lambda size: size * GIB),
        ),
        max_size=3,
    ),
)
def test_several_are_met_together_whenever_any_assignment_meets_them(
    devices: list[DeviceInfo], several: list[Requirement]
) -> None:
    assert (unserved(several, devices) == []) == brute_force(several, devices)


@given(st.lists(st.builds(card, st.sampled_from(["CUDA", "ROCm"])), max_size=4), requirements)
def test_one_alone_is_unserved_exactly_when_it_is_unmet(
    devices: list[DeviceInfo], requirement: Requirement
) -> None:
    assert bool(unserved([requirement], devices)) == bool(requirement.unmet(devices))
