"""Whole discoveries on a machine with two AMD cards, whose HIP works, refuses, crashes or hangs.

Vulkan's stand-in has one of the cards as well, at the same PCI id: what ROCm cannot serve, Vulkan does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amd_machines import GIB, STAND_IN_MI210_ID, Machine, stand_in_machine
from pytest_gpudiscover import NativeInstallation, Phase, Reason
from pytest_gpudiscover.surroundings import Surroundings
from stand_ins import THROUGH_VULKAN, kept

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_gpudiscover import Report
    from tests.native.conftest import Build, Discover


@pytest.fixture
def amd(tmp_path: Path) -> Machine:
    """What the kernel shows there."""
    return stand_in_machine(tmp_path / "machine")


@pytest.fixture
def machine(discovered: Discover, amd: Machine, hip: str, stand_in: str) -> Callable[..., Report]:
    """Discover on a machine that has both drivers, with more variables."""

    def run(**variables: str) -> Report:
        path = {"LD_LIBRARY_PATH": f"{hip}:{stand_in}", "STAND_IN_DEVICES": "discrete"}
        return discovered(variants=("rocm", "vulkan"), **path | amd.environment | variables)

    return run


def of_rocm(report: Report) -> list[tuple[Phase, Reason, str]]:
    """Phase, reason and id of ROCm's rejections."""
    rejections = [rejection for rejection in report.rejected if rejection.variant == "rocm"]
    return [(one.phase, one.reason, one.device.id if one.device else "") for one in rejections]


def test_both_gpus_are_found_through_rocm_and_once(machine: Callable[..., Report]) -> None:
    report = machine()
    assert [(d.id, d.filtered_id, d.library, d.compute, d.integrated) for d in report.devices] == [
        ("0", "0", "ROCm", "gfx1103", True),
        (STAND_IN_MI210_ID, "", "ROCm", "gfx90a", False),
    ]
    assert report.devices[0].free_memory == 13 * GIB + (212 << 20)
    assert [r.reason for r in report.rejected if r.variant == "vulkan"] == [Reason.DUPLICATE]
    masks = [probe.mask for probe in report.probes if probe.phase is Phase.VERIFY]
    assert sorted(mask["ROCR_VISIBLE_DEVICES"] or "" for mask in masks) == ["0", STAND_IN_MI210_ID]


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        ({"STAND_IN_INIT": "crash"}, Reason.CRASHED, "SIGSEGV"),
        ({"STAND_IN_INIT": "exit"}, Reason.EXITED, "ended with code 3"),
        ({"STAND_IN_INIT": "100"}, Reason.UNUSABLE, "hipErrorNoDevice (100): HIP sees no GPU"),
        ({"STAND_IN_INIT": "35"}, Reason.UNUSABLE, "(35): the kernel's driver is too old for this ROCm"),
        ({"STAND_IN_SABOTAGE": "last"}, Reason.UNUSABLE, "1 of 16384 words differ"),
        ({"LD_LIBRARY_PATH": ""}, Reason.UNUSABLE, "libamdhip64.so.7 is not on this machine"),
    ],
)
def test_a_hip_that_fails_costs_every_gpu_with_the_reason_and_the_listing_stands(
    discovered: Discover, amd: Machine, hip: str, fault: dict[str, str], reason: Reason, words: str
) -> None:
    report = discovered(variant="rocm", **{"LD_LIBRARY_PATH": hip} | amd.environment | fault)
    assert of_rocm(report) == [(Phase.VERIFY, reason, "0"), (Phase.VERIFY, reason, STAND_IN_MI210_ID)]
    assert all(words in rejection.detail for rejection in report.rejected)


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        ("crash", Reason.CRASHED, "SIGSEGV"),
        ("2", Reason.UNUSABLE, "hipErrorOutOfMemory (2): the GPU has no memory left"),
        ("719", Reason.UNUSABLE, "hipErrorLaunchFailure (719): the GPU may hang: look for 'amdgpu' in"),
    ],
)
def test_a_card_that_fails_only_when_it_is_used_costs_nothing_but_itself_and_comes_through_vulkan(
    machine: Callable[..., Report], fault: str, reason: Reason, words: str
) -> None:
    report = machine(STAND_IN_DEEP=fault)
    (rejection,) = report.rejected
    assert of_rocm(report) == [(Phase.VERIFY, reason, STAND_IN_MI210_ID)]
    assert words in rejection.detail
    assert kept(report) == [("rocm", "0000:0a:00.0"), THROUGH_VULKAN]


def test_a_hip_that_hangs_is_given_up_at_the_deadline(discovered: Discover, amd: Machine, hip: str) -> None:
    variables = {"LD_LIBRARY_PATH": hip, "STAND_IN_INIT": "hang", **amd.environment}
    report = discovered(verify_timeout=1, variant="rocm", **variables)
    assert of_rocm(report) == [
        (Phase.VERIFY, Reason.TIMEOUT, "0"),
        (Phase.VERIFY, Reason.TIMEOUT, STAND_IN_MI210_ID),
    ]


def test_a_hip_of_the_wrong_version_is_not_the_right_one(
    discovered: Discover, amd: Machine, build: Build
) -> None:
    wrong = build("stand_in_hip.c", "libamdhip64.so.4")
    report = discovered(variant="rocm", LD_LIBRARY_PATH=wrong, **amd.environment)
    assert {reason for _, reason, _ in of_rocm(report)} == {Reason.UNUSABLE}
    assert all("libamdhip64.so.7 is not on this machine" in r.detail for r in report.rejected)


def test_nodes_that_a_container_was_not_given_are_a_reason_before_anything_is_loaded(
    machine: Callable[..., Report], amd: Machine
) -> None:
    (amd.root / "dev/kfd").unlink()
    report = machine(STAND_IN_INIT="crash")
    assert of_rocm(report) == [
        (Phase.ENUMERATE, Reason.UNUSABLE, "0"),
        (Phase.ENUMERATE, Reason.UNUSABLE, STAND_IN_MI210_ID),
    ]
    assert all("--device=/dev/kfd --device=/dev/dri" in r.detail for r in report.rejected)
    assert kept(report) == [THROUGH_VULKAN]


@pytest.mark.parametrize(
    ("variables", "ids"),
    [
        ({"ROCR_VISIBLE_DEVICES": "1,0"}, [STAND_IN_MI210_ID, "1"]),
        ({"ROCR_VISIBLE_DEVICES": "1,0", "HIP_VISIBLE_DEVICES": "0"}, [STAND_IN_MI210_ID]),
        ({"HIP_VISIBLE_DEVICES": "0"}, ["0"]),
        ({"ROCR_VISIBLE_DEVICES": STAND_IN_MI210_ID[:8].upper()}, [STAND_IN_MI210_ID]),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, []),
    ],
)
def test_a_user_s_masks_name_what_they_name_in_any_program_for_rocm(
    discovered: Discover, amd: Machine, hip: str, variables: dict[str, str], ids: list[str]
) -> None:
    report = discovered(variant="rocm", LD_LIBRARY_PATH=hip, **amd.environment, **variables)
    assert [device.id for device in report.devices] == ids
    assert report.rejected == ()


def test_under_wsl_both_gpus_are_found_through_hip_alone(
    discovered: Discover, tmp_path: Path, hip: str
) -> None:
    wsl = Machine(tmp_path)
    wsl.write("dev/dxg", "")
    variables = {"LD_LIBRARY_PATH": hip, "STAND_IN_ORDER": "kernel", **wsl.environment}
    report = discovered(variant="rocm", **variables)
    assert [(device.id, device.compute) for device in report.devices] == [
        ("0", "gfx1103"),
        (STAND_IN_MI210_ID, "gfx90a"),
    ]


def test_rocm_is_asked_where_the_kernel_or_a_library_shows_that_it_is_there(
    amd: Machine, tmp_path: Path
) -> None:
    (tmp_path / "libamdhip64.so.6").touch()
    empty = Machine(tmp_path / "empty")
    for environment, asked in (
        (empty.environment, False),
        (amd.environment, True),
        (empty.environment | {"LD_LIBRARY_PATH": str(tmp_path)}, True),
    ):
        located = NativeInstallation().locate(Surroundings(environment=environment))
        assert ("rocm" in [variant.name for variant in located.variants]) is asked
    order = [variant.name for variant in located.variants]
    assert order == sorted(order)
