"""Cards that are cut into slices (MIG), acted by stand-ins for CUDA and NVML.

The machine has a card cut into two slices, and a whole one. A process sees a slice and nothing else, or the
whole card: as its mask says, and without one the first slice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpudiscover import Discovery, NativeInstallation, Phase, Reason
from pytest_gpudiscover.leasing.showing import lease_env
from pytest_gpudiscover.masks import UserMasks
from pytest_gpudiscover.surroundings import Surroundings
from stand_ins import GIB, H100, L4

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gpudiscover import Report
    from tests.native.conftest import Discover, Start

FIRST = "MIG-51ce0001-0102-0304-0506-0708090a0b0c"
SECOND = "MIG-51ce0002-0102-0304-0506-0708090a0b0c"
WHOLE, CUT = L4, H100

Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def ask(start: Start, cuda: str, nvml: str) -> Ask:
    """Start a runner on the machine, with more variables, and ask it for the devices."""

    def asked(**variables: str) -> list[dict[str, Any]]:
        machine = {"LD_LIBRARY_PATH": f"{cuda}:{nvml}", "STAND_IN_KIND": "cut"}
        return start(GPUDISCOVER_DRIVER="cuda", **(machine | variables)).devices()

    return asked


def ids(devices: list[dict[str, Any]]) -> list[str]:
    """What the devices of an answer are called."""
    return [device["id"] for device in devices]


def test_every_slice_is_listed_and_the_whole_card_that_cuda_hides_behind_one(ask: Ask) -> None:
    devices = ask()
    assert ids(devices) == [FIRST, SECOND, WHOLE]
    assert [device["name"] for device in devices] == ["CUDA0", "CUDA1", "CUDA2"]
    assert devices[1] == {
        "id": SECOND,
        "backend": "CUDA",
        "name": "CUDA1",
        "description": "Stand-in H100 MIG 1g.10gb",
        "pci_id": "0001:c1:1f.7",
        "total_memory": 10 * GIB,
        "free_memory": 9 * GIB,
        "ComputeMajor": 9,
        "ComputeMinor": 0,
        "driver_major": 12,
        "driver_minor": 8,
        "LibraryPath": [],
        "index": 1,
    }
    shown, _, whole = devices
    assert (shown["pci_id"], shown["free_memory"]) == ("0001:c1:1f.7", GIB)
    assert (whole["pci_id"], whole["free_memory"], whole["ComputeMinor"]) == ("0000:0a:00.0", 2 * GIB, 9)


@pytest.mark.parametrize("known_to", [{"STAND_IN_NVML": "9"}, {"STAND_IN_FAIL": "nvmlDeviceGetMigMode=3"}])
def test_without_nvml_the_slice_that_cuda_shows_is_all_there_is(ask: Ask, known_to: dict[str, str]) -> None:
    assert FIRST in ids(ask(**known_to))
    assert SECOND not in ids(ask(**known_to))


def test_a_slice_whose_memory_nvml_does_not_tell_has_what_it_was_cut_with(ask: Ask) -> None:
    device = ask(STAND_IN_NVML="memory")[1]
    assert (device["id"], device["total_memory"], device["free_memory"]) == (SECOND, 10 * GIB, 10 * GIB)


def test_nvml_is_opened_once_and_closed_again(ask: Ask, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    ask(STAND_IN_CALLS=str(calls))
    called = [name for name in calls.read_text().split() if name.startswith("nvml")]
    assert (called[0], called[-1]) == ("nvmlInit_v2", "nvmlShutdown")
    assert called.count("nvmlInit_v2") == called.count("nvmlShutdown") == 1


def test_a_deep_listing_has_only_what_was_put_to_work(ask: Ask) -> None:
    assert ids(ask(GGML_CUDA_INIT="1")) == [FIRST]
    assert ids(ask(GGML_CUDA_INIT="1", CUDA_VISIBLE_DEVICES=SECOND)) == [SECOND]


@pytest.mark.parametrize(
    ("mask", "shown"),
    [
        (SECOND, [SECOND]),
        (SECOND[:12], [SECOND]),
        (f"MIG-{CUT}/5/0", [SECOND]),
        (f"{SECOND},{FIRST}", [SECOND, FIRST]),
        (f"{FIRST}, MIG-{CUT}/5/0", [FIRST, SECOND]),
        (f"{FIRST},{WHOLE}", [FIRST, WHOLE]),
        (f"{FIRST},{WHOLE[:8]},{SECOND}", [FIRST, WHOLE, SECOND]),
        (f"{FIRST},{FIRST}", [FIRST]),
        (WHOLE, [WHOLE]),
        (CUT, [FIRST]),
        (f"{CUT},{SECOND}", [FIRST, SECOND]),
        # A number is for CUDA to understand, and what follows one that may not exist may be hidden.
        ("0", [FIRST]),
        ("0,1", [FIRST]),
        (f"{FIRST},7,{SECOND}", [FIRST]),
        # So is what follows an entry that means nothing, or more than one.
        (f"{FIRST},MIG-ffff,{SECOND}", [FIRST]),
        (f"{FIRST},MIG-51ce,{SECOND}", [FIRST]),
        (f"{FIRST},-1,{SECOND}", [FIRST]),
        (f"{FIRST},MIG-{CUT}/9/0,{SECOND}", [FIRST]),
        ("", []),
        ("-1", []),
    ],
)
def test_a_user_s_mask_hides_what_it_does_not_name(ask: Ask, mask: str, shown: list[str]) -> None:
    assert ids(ask(CUDA_VISIBLE_DEVICES=mask)) == shown


def test_a_mask_that_names_a_slice_that_is_gone_is_an_error(start: Start, cuda: str, nvml: str) -> None:
    gone = {"STAND_IN_KIND": "cut", "CUDA_VISIBLE_DEVICES": "MIG-ffff"}
    status, _, body = start(GPUDISCOVER_DRIVER="cuda", LD_LIBRARY_PATH=f"{cuda}:{nvml}", **gone).get()
    assert status == 500
    assert "CUDA_VISIBLE_DEVICES is set: check that it names what is there" in body


@pytest.mark.parametrize("only", [{}, {"STAND_IN_INIT": "100"}])
def test_a_card_in_mig_mode_without_slices_is_unusable_with_the_remedy(
    ask: Ask, only: dict[str, str]
) -> None:
    uncut = next(device for device in ask(STAND_IN_KIND="uncut", **only) if device["id"] == CUT)
    assert uncut["unusable"]["reason"] == "unusable"
    assert "nvidia-smi mig -cgi ... -C" in uncut["unusable"]["detail"]


@pytest.fixture
def machine(discovered: Discover, cuda: str, nvml: str, stand_in: str) -> Callable[..., Report]:
    """Discover on the machine, whose cut card Vulkan shows as well, as a whole."""

    def run(**variables: str) -> Report:
        path = f"{cuda}:{nvml}:{stand_in}"
        machine = {"LD_LIBRARY_PATH": path, "STAND_IN_KIND": "cut", "STAND_IN_DEVICES": "discrete"}
        return discovered(variants=("cuda", "vulkan"), **(machine | variables))

    return run


def kept(report: Report) -> list[str]:
    """What the usable devices are called."""
    return [device.id for device in report.devices]


def test_each_slice_is_verified_alone_and_the_whole_card_through_vulkan_gives_way(
    machine: Callable[..., Report],
) -> None:
    report = machine()
    assert kept(report) == [FIRST, SECOND, WHOLE]
    assert [device.free_memory for device in report.devices] == [GIB, 9 * GIB, 2 * GIB]
    masks = [probe.mask for probe in report.probes if probe.phase is Phase.VERIFY]
    assert sorted(mask["CUDA_VISIBLE_DEVICES"] or "" for mask in masks) == sorted([FIRST, SECOND, WHOLE])
    (rejection,) = report.rejected
    assert (rejection.variant, rejection.reason) == ("vulkan", Reason.DUPLICATE)
    assert rejection.detail == "the same GPU is served through CUDA"


@pytest.mark.parametrize(
    ("fault", "card", "reason", "broken", "left"),
    [("crash", "2", Reason.CRASHED, FIRST, SECOND), ("46", "3", Reason.UNUSABLE, SECOND, FIRST)],
)
def test_a_slice_that_fails_costs_neither_the_other_nor_the_whole_card(
    machine: Callable[..., Report], fault: str, card: str, reason: Reason, broken: str, left: str
) -> None:
    report = machine(STAND_IN_CONTEXT=fault, STAND_IN_CARD=card)
    assert kept(report) == [left, WHOLE]
    failed = [rejection for rejection in report.rejected if rejection.phase is Phase.VERIFY]
    assert [(r.device and r.device.id, r.reason) for r in failed] == [(broken, reason)]


def test_where_no_slice_works_vulkan_serves_the_card(machine: Callable[..., Report]) -> None:
    report = machine(STAND_IN_SABOTAGE="idle")
    assert [(device.library, device.pci_id) for device in report.devices] == [("Vulkan", "0001:c1:1f.7")]


def test_a_stub_says_so_and_nothing_is_asked_of_nvml(machine: Callable[..., Report], tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    report = machine(STAND_IN_INIT="34", STAND_IN_CALLS=str(calls))
    assert [r.reason for r in report.rejected] == [Reason.RUNNER_ERROR]
    assert "STUB_LIBRARY (34)" in report.rejected[0].detail
    assert "nvml" not in calls.read_text()


@pytest.mark.parametrize(
    ("mask", "found"), [(f"{SECOND},{FIRST}", [SECOND, FIRST]), ("0", [FIRST]), (WHOLE[:8], [WHOLE])]
)
def test_a_discovery_stays_within_a_user_s_mask(
    machine: Callable[..., Report], mask: str, found: list[str]
) -> None:
    assert kept(machine(CUDA_VISIBLE_DEVICES=mask, STAND_IN_DEVICES="")) == found


def test_a_refresh_finds_every_slice_and_the_whole_card_in_one_answer(
    clean_environment: dict[str, str], cuda: str, nvml: str
) -> None:
    machine = {"LD_LIBRARY_PATH": f"{cuda}:{nvml}", "STAND_IN_KIND": "cut"}
    surroundings = Surroundings(environment=clean_environment | machine)
    discovery = Discovery(NativeInstallation(variant="cuda"), surroundings=surroundings, refresh_timeout=60)

    async def twice() -> None:
        await discovery.devices()
        await discovery.devices()

    asyncio.run(twice())
    assert [(d.id, d.stale, d.free_memory) for d in discovery.report.devices] == [
        (FIRST, False, GIB),
        (SECOND, False, 9 * GIB),
        (WHOLE, False, 2 * GIB),
    ]
    (probe,) = discovery.report.probes
    assert probe.mask["CUDA_VISIBLE_DEVICES"] == f"{FIRST},{SECOND},{WHOLE}"


def test_a_lease_of_a_slice_shows_a_program_just_that_slice(machine: Callable[..., Report], ask: Ask) -> None:
    devices = machine().devices
    for device in devices:
        env = lease_env([device], devices, UserMasks.read({}, "linux"))
        assert ids(ask(GGML_CUDA_INIT="1", **env)) == [device.id]


def test_a_card_that_shares_the_system_s_memory_has_what_the_system_has(
    clean_environment: dict[str, str], cuda: str, nvml: str
) -> None:
    machine = {"LD_LIBRARY_PATH": f"{cuda}:{nvml}", "STAND_IN_KIND": "unified", "STAND_IN_NVML": "memory"}
    surroundings = Surroundings(environment=clean_environment | machine, available_memory=lambda: 5 * GIB)
    discovery = Discovery(NativeInstallation(variant="cuda"), surroundings=surroundings)
    devices = asyncio.run(discovery.devices())
    assert [(d.id, d.integrated, d.free_memory) for d in devices] == [
        (WHOLE, True, 5 * GIB),
        (CUT, False, 24 * GIB),
    ]
