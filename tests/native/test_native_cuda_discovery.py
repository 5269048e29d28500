"""Whole discoveries on a machine with two NVIDIA cards, whose driver works, refuses, crashes or hangs.

Vulkan's stand-in has one of the cards as well, at the same PCI id: what CUDA cannot serve, Vulkan does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gpudiscover import NativeInstallation, Phase, Reason
from pytest_gpudiscover.surroundings import Surroundings
from stand_ins import GIB, H100, L4, THROUGH_VULKAN, kept

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_gpudiscover import Report
    from tests.native.conftest import Build, Discover


@pytest.fixture
def machine(discovered: Discover, cuda: str, nvml: str, stand_in: str) -> Callable[..., Report]:
    """Discover on a machine that has both drivers, with more variables."""

    def run(**variables: str) -> Report:
        path = f"{cuda}:{nvml}:{stand_in}"
        variables |= {"LD_LIBRARY_PATH": path, "STAND_IN_DEVICES": "discrete"}
        return discovered(variants=("cuda", "vulkan"), **variables)

    return run


def test_both_cards_are_found_through_cuda_and_once(machine: Callable[..., Report]) -> None:
    report = machine()
    assert [(d.id, d.library, d.compute, d.free_memory) for d in report.devices] == [
        (L4, "CUDA", "8.9", 2 * GIB),
        (H100, "CUDA", "9.0", 20 * GIB),
    ]
    assert [(r.variant, r.reason) for r in report.rejected] == [("vulkan", Reason.DUPLICATE)]
    masks = [probe.mask for probe in report.probes if probe.phase is Phase.VERIFY]
    assert sorted(mask["CUDA_VISIBLE_DEVICES"] or "" for mask in masks) == [L4, H100]


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        ({"STAND_IN_INIT": "34"}, Reason.RUNNER_ERROR, "STUB_LIBRARY (34): this libcuda is the stub that"),
        ({"STAND_IN_INIT": "100"}, Reason.RUNNER_ERROR, "CUDA_ERROR_NO_DEVICE (100): "),
        (
            {"STAND_IN_INIT": "802"},
            Reason.RUNNER_ERROR,
            "(802): the system is not ready: start NVIDIA's fabric",
        ),
        (
            {"STAND_IN_INIT": "803"},
            Reason.RUNNER_ERROR,
            "(803): the kernel's driver and libcuda are of differ",
        ),
        ({"STAND_IN_INIT": "999"}, Reason.RUNNER_ERROR, "CUDA_ERROR_UNKNOWN (999): "),
        ({"STAND_IN_INIT": "4711"}, Reason.RUNNER_ERROR, "cuInit answered a result without a name (4711): "),
        (
            {"STAND_IN_FAIL": "cuDeviceGetCount=3"},
            Reason.RUNNER_ERROR,
            "cuDeviceGetCount answered CUDA_ERROR_N",
        ),
        ({"STAND_IN_INIT": "crash"}, Reason.CRASHED, "SIGSEGV"),
        ({"STAND_IN_INIT": "exit"}, Reason.EXITED, "ended with code 3"),
    ],
)
def test_a_driver_that_fails_is_named_with_the_reason_and_the_card_comes_through_vulkan(
    machine: Callable[..., Report], fault: dict[str, str], reason: Reason, words: str
) -> None:
    report = machine(**fault)
    (rejection,) = report.rejected
    assert (rejection.variant, rejection.reason, rejection.device) == ("cuda", reason, None)
    assert words in rejection.detail
    assert kept(report) == [THROUGH_VULKAN]


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        ("crash", Reason.CRASHED, "SIGSEGV"),
        ("46", Reason.UNUSABLE, "DEVICE_UNAVAILABLE (46): the GPU is taken"),
        ("2", Reason.UNUSABLE, "OUT_OF_MEMORY (2): the GPU has no memory left for a context"),
    ],
)
def test_a_card_that_fails_only_in_its_context_costs_nothing_but_itself(
    machine: Callable[..., Report], fault: str, reason: Reason, words: str
) -> None:
    report = machine(STAND_IN_CONTEXT=fault)
    (rejection,) = report.rejected
    assert rejection.device is not None
    assert (rejection.phase, rejection.reason, rejection.device.id) == (Phase.VERIFY, reason, H100)
    assert words in rejection.detail
    assert kept(report) == [("cuda", "0000:0a:00.0"), THROUGH_VULKAN]


def test_cards_that_compute_wrong_are_rejected_with_what_came(machine: Callable[..., Report]) -> None:
    report = machine(STAND_IN_SABOTAGE="last")
    assert {(r.phase, r.reason) for r in report.rejected} == {(Phase.VERIFY, Reason.UNUSABLE)}
    assert all("is 0x00000bad where 0x9f22265c was expected" in r.detail for r in report.rejected)
    assert kept(report) == [THROUGH_VULKAN]


def test_a_card_off_the_bus_is_rejected_with_its_reason_and_costs_nothing_else(
    discovered: Discover, cuda: str, nvml: str
) -> None:
    gone = {"STAND_IN_NVML": "gone", "CUDA_VISIBLE_DEVICES": L4}
    assert discovered(variant="cuda", LD_LIBRARY_PATH=f"{cuda}:{nvml}", **gone).rejected == ()
    del gone["CUDA_VISIBLE_DEVICES"]
    report = discovered(variant="cuda", LD_LIBRARY_PATH=f"{cuda}:{nvml}", **gone)
    assert [device.id for device in report.devices] == [L4, H100]
    (rejection,) = report.rejected
    assert (rejection.phase, rejection.reason) == (Phase.ENUMERATE, Reason.UNUSABLE)
    assert "Xid 79" in rejection.detail


def test_a_driver_that_hangs_is_given_up_at_the_deadline(discovered: Discover, cuda: str) -> None:
    report = discovered(enumerate_timeout=1, variant="cuda", LD_LIBRARY_PATH=cuda, STAND_IN_INIT="hang")
    assert [(r.variant, r.reason) for r in report.rejected] == [("cuda", Reason.TIMEOUT)]


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [("crash", Reason.CRASHED, "SIGSEGV"), ("exit", Reason.EXITED, "ended with code 3 before it answered")],
)
def test_an_nvml_that_takes_cuda_s_listing_with_it_is_named_and_the_card_comes_through_vulkan(
    machine: Callable[..., Report], fault: str, reason: Reason, words: str
) -> None:
    report = machine(STAND_IN_NVML=fault)
    (rejection,) = report.rejected
    assert (rejection.variant, rejection.reason, rejection.device) == ("cuda", reason, None)
    assert words in rejection.detail
    (listing,) = [probe for probe in report.probes if probe.variant == "cuda"]
    assert listing.stderr.splitlines()[-1] == "NVML is being initialised"
    assert kept(report) == [THROUGH_VULKAN]


@pytest.mark.parametrize(("state", "with_or_without"), [("", "with"), ("18", "without")])
def test_a_crash_of_cuda_after_nvml_was_initialised_is_not_laid_at_nvml_s_door(
    discovered: Discover, cuda: str, nvml: str, state: str, with_or_without: str
) -> None:
    crashing = {"STAND_IN_CONTEXT": "crash", "STAND_IN_NVML": state, "CUDA_VISIBLE_DEVICES": H100}
    report = discovered(variant="cuda", LD_LIBRARY_PATH=f"{cuda}:{nvml}", **crashing)
    assert report.probes[-1].outcome == Reason.CRASHED
    assert report.probes[-1].stderr.splitlines()[-1] == f"CUDA goes on {with_or_without} NVML"


def test_an_nvml_that_hangs_is_given_up_at_the_deadline(discovered: Discover, cuda: str, nvml: str) -> None:
    variables = {"LD_LIBRARY_PATH": f"{cuda}:{nvml}", "STAND_IN_NVML": "hang"}
    report = discovered(enumerate_timeout=1, variant="cuda", **variables)
    assert [(r.variant, r.reason) for r in report.rejected] == [("cuda", Reason.TIMEOUT)]


@pytest.mark.parametrize("wrong_version", [True, False])
def test_an_nvml_of_the_wrong_version_or_none_costs_the_free_memory_alone(
    discovered: Discover, cuda: str, nvml: str, *, wrong_version: bool
) -> None:
    path = f"{cuda}:{nvml}" if wrong_version else cuda
    report = discovered(variant="cuda", LD_LIBRARY_PATH=path, STAND_IN_NVML="18")
    assert [(d.id, d.free_memory) for d in report.devices] == [(L4, 8 * GIB), (H100, 24 * GIB)]
    assert report.rejected == ()


def test_a_driver_that_lacks_functions_costs_only_its_own_variant(
    discovered: Discover, build: Build, stand_in: str
) -> None:
    ancient = build("stand_in_cuda.c", "libcuda.so.1", "-DANCIENT")
    variables = {"LD_LIBRARY_PATH": f"{ancient}:{stand_in}", "STAND_IN_DEVICES": "discrete"}
    report = discovered(variants=("cuda", "vulkan"), **variables)
    (rejection,) = report.rejected
    assert (rejection.variant, rejection.reason) == ("cuda", Reason.RUNNER_ERROR)
    assert kept(report) == [THROUGH_VULKAN]


@pytest.mark.parametrize(
    ("variables", "ids"),
    [
        ({"CUDA_VISIBLE_DEVICES": "1"}, [L4]),
        ({"CUDA_VISIBLE_DEVICES": "0,1"}, [H100, L4]),
        ({"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, [H100]),
        ({"CUDA_VISIBLE_DEVICES": f"{H100[:8]},{L4}"}, [H100, L4]),
        ({"CUDA_VISIBLE_DEVICES": ""}, []),
        ({"CUDA_DEVICE_ORDER": "FASTEST_FIRST"}, [H100, L4]),
    ],
)
def test_a_user_s_mask_and_order_name_what_they_name_in_any_cuda_program(
    discovered: Discover, cuda: str, variables: dict[str, str], ids: list[str]
) -> None:
    report = discovered(variant="cuda", LD_LIBRARY_PATH=cuda, **variables)
    assert [device.id for device in report.devices] == ids
    assert report.rejected == ()


@pytest.mark.parametrize(
    ("variables", "order"),
    [
        ({}, {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}),
        ({"CUDA_VISIBLE_DEVICES": "GPU-0a"}, {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}),
        ({"CUDA_VISIBLE_DEVICES": "GPU-0a,1"}, {}),
        ({"CUDA_DEVICE_ORDER": "FASTEST_FIRST"}, {}),
    ],
)
def test_probes_count_by_pci_id_unless_that_changes_what_a_user_s_numbers_name(
    tmp_path: Path, variables: dict[str, str], order: dict[str, str]
) -> None:
    (tmp_path / "libcuda.so.1").touch()
    surroundings = Surroundings(environment={"LD_LIBRARY_PATH": str(tmp_path), **variables})
    (variant,) = NativeInstallation(variant="cuda").locate(surroundings).variants
    assert variant.environment == {"GPUDISCOVER_DRIVER": "cuda", **order}
