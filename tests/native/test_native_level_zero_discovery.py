"""Whole discoveries on a machine with two Intel cards, whose driver works, refuses, crashes or hangs.

Vulkan's stand-in has one of the cards as well, at the same PCI id.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from pytest_gpudiscover import Phase, Reason
from stand_ins import A770, B580, GIB

if TYPE_CHECKING:
    from tests.native.conftest import Build, Discover


@pytest.fixture
def machine(discovered: Discover, level_zero: str) -> Discover:
    """Discover through Level Zero alone, with more variables."""
    return partial(discovered, variant="level_zero", LD_LIBRARY_PATH=level_zero)


def test_both_cards_are_found_and_each_is_verified_alone(machine: Discover) -> None:
    report = machine()
    assert [(d.id, d.library, d.free_memory) for d in report.devices] == [
        (A770, "Level Zero", 15 * GIB),
        (B580, "Level Zero", 7 * GIB),
    ]
    assert report.rejected == ()
    masks = [probe.mask for probe in report.probes if probe.phase is Phase.VERIFY]
    assert sorted(mask["ZE_AFFINITY_MASK"] or "" for mask in masks) == ["0", "1"]


def test_a_card_that_vulkan_has_too_is_one_device(
    discovered: Discover, level_zero: str, stand_in: str
) -> None:
    variables = {"LD_LIBRARY_PATH": f"{level_zero}:{stand_in}", "STAND_IN_DEVICES": "discrete"}
    report = discovered(variants=("level_zero", "vulkan"), **variables)
    assert [(device.variant, device.pci_id) for device in report.devices] == [
        ("level_zero", "0000:03:00.0"),
        ("vulkan", "0001:c1:1f.7"),
    ]
    (rejection,) = report.rejected
    assert (rejection.reason, rejection.device and rejection.device.id) == (Reason.DUPLICATE, B580)


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        ("78000001", Reason.RUNNER_ERROR, "zeInit answered ZE_RESULT_ERROR_UNINITIALIZED (0x78000001): "),
        ("70000001", Reason.RUNNER_ERROR, "ZE_RESULT_ERROR_DEVICE_LOST (0x70000001): the GPU hangs, was "),
        ("4711", Reason.RUNNER_ERROR, "zeInit answered a result without a name (0x4711): look the number up"),
        ("crash", Reason.CRASHED, "SIGSEGV"),
        ("exit", Reason.EXITED, "ended with code 3"),
    ],
)
def test_a_driver_that_fails_is_named_with_the_reason(
    machine: Discover, fault: str, reason: Reason, words: str
) -> None:
    report = machine(STAND_IN_INIT=fault)
    (rejection,) = report.rejected
    assert (rejection.variant, rejection.reason, rejection.device) == ("level_zero", reason, None)
    assert words in rejection.detail
    assert report.devices == ()


def test_a_driver_that_hangs_is_given_up_at_the_deadline(machine: Discover) -> None:
    report = machine(enumerate_timeout=1, STAND_IN_INIT="hang")
    assert [(r.variant, r.reason) for r in report.rejected] == [("level_zero", Reason.TIMEOUT)]


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        ("crash", Reason.CRASHED, "SIGSEGV"),
        ("70000003", Reason.UNUSABLE, "OUT_OF_DEVICE_MEMORY (0x70000003): the GPU has no memory left for"),
    ],
)
def test_a_card_that_fails_only_in_its_context_costs_nothing_but_itself(
    machine: Discover, fault: str, reason: Reason, words: str
) -> None:
    report = machine(STAND_IN_CONTEXT=fault)
    (rejection,) = report.rejected
    assert rejection.device is not None
    assert (rejection.phase, rejection.reason, rejection.device.id) == (Phase.VERIFY, reason, B580)
    assert words in rejection.detail
    assert [device.id for device in report.devices] == [A770]


def test_cards_that_fill_wrong_are_rejected_with_what_came(machine: Discover) -> None:
    report = machine(STAND_IN_SABOTAGE="last")
    assert {(r.phase, r.reason) for r in report.rejected} == {(Phase.VERIFY, Reason.UNUSABLE)}
    assert all("is 0xbabababa where 0x5eed600d was expected" in r.detail for r in report.rejected)
    assert report.devices == ()


def test_a_loader_that_lacks_a_function_is_said_to_be_too_old(discovered: Discover, build: Build) -> None:
    ancient = build("stand_in_level_zero.c", "libze_loader.so.1", "-DANCIENT")
    (rejection,) = discovered(variant="level_zero", LD_LIBRARY_PATH=ancient).rejected
    assert (rejection.variant, rejection.reason) == ("level_zero", Reason.RUNNER_ERROR)
    assert "lacks zeCommandListAppendMemoryFill: update it" in rejection.detail


@pytest.mark.parametrize(
    ("mask", "ids", "verified"),
    [
        ("1", [B580], ["1"]),
        ("1,0", [A770, B580], ["0", "1"]),
        ("", [A770, B580], ["0", "1"]),
        ("-1", [], []),
    ],
)
def test_a_user_s_mask_shows_what_it_shows_in_any_program(
    machine: Discover, mask: str, ids: list[str], verified: list[str]
) -> None:
    report = machine(ZE_AFFINITY_MASK=mask)
    assert [device.id for device in report.devices] == ids
    assert report.rejected == ()
    masks = [probe.mask for probe in report.probes if probe.phase is Phase.VERIFY]
    assert sorted(mask["ZE_AFFINITY_MASK"] or "" for mask in masks) == verified
