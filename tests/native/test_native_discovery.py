"""Whole discoveries with the native runner: a real driver, drivers that misbehave, no driver, no loader."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpudiscover import NativeInstallation, Phase, Reason, discover
from pytest_gpudiscover.native.drivers import DRIVERS
from pytest_gpudiscover.surroundings import Surroundings

if TYPE_CHECKING:
    from tests.native.conftest import Discover


def test_one_text_where_several_variants_are_meant_is_refused() -> None:
    with pytest.raises(TypeError, match="without_variants: expected a sequence of texts"):
        NativeInstallation(without_variants="vulkan")


@pytest.fixture
def discovered(discovered: Discover) -> Discover:
    """Discover through Vulkan alone."""
    return partial(discovered, variant="vulkan")


def listed(environment: dict[str, str]) -> dict[str, Any]:
    """What `gpudiscover list --json --variant vulkan` prints."""
    command = [sys.executable, "-m", "pytest_gpudiscover.cli", "list", "--json", "--variant", "vulkan"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_list_shows_a_real_driver_s_device_after_a_deep_initialisation(
    lavapipe: Path, clean_environment: dict[str, str]
) -> None:
    report = listed(clean_environment | {"VK_DRIVER_FILES": str(lavapipe), "GGML_VK_VISIBLE_DEVICES": "0"})
    (device,) = report["devices"]
    assert device["library"] == "Vulkan"
    assert "llvmpipe" in device["description"]
    assert device["total_memory"] >= device["free_memory"] > 1 << 20
    assert [(probe["phase"], probe["outcome"]) for probe in report["probes"]] == [
        ("enumerate", "answered"),
        ("verify", "answered"),
    ]
    assert report["probes"][1]["mask"] == {"GGML_VK_VISIBLE_DEVICES": "0"}


def test_without_a_mask_a_cpu_is_rejected_and_said_to_be_one(
    lavapipe: Path, clean_environment: dict[str, str]
) -> None:
    report = listed(clean_environment | {"VK_DRIVER_FILES": str(lavapipe)})
    assert report["devices"] == []
    (rejection,) = report["rejected"]
    assert (rejection["reason"], rejection["phase"]) == ("cpu", "enumerate")
    assert "is a CPU" in rejection["detail"]


def test_a_device_that_computes_wrongly_is_rejected_with_what_went_wrong(
    discovered: Discover, stand_in: str
) -> None:
    card = {"LD_LIBRARY_PATH": stand_in, "STAND_IN_DEVICES": "discrete"}
    assert [device.pci_id for device in discovered(**card).devices] == ["0001:c1:1f.7"]
    report = discovered(**card, STAND_IN_SABOTAGE="fill")
    assert report.devices == ()
    (rejection,) = report.rejected
    assert (rejection.phase, rejection.reason) == (Phase.VERIFY, Reason.UNUSABLE)
    assert "1 of 262144 words differ" in rejection.detail


def test_the_same_driver_listed_twice_gives_one_device_and_one_duplicate(
    discovered: Discover, lavapipe: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again.json"
    again.write_bytes(lavapipe.read_bytes())
    report = discovered(VK_DRIVER_FILES=f"{lavapipe}:{again}", GGML_VK_VISIBLE_DEVICES="0,1")
    assert len(report.devices) == 1
    assert [r.reason for r in report.rejected] == [Reason.DUPLICATE]


def test_a_driver_that_crashes_is_named_with_its_signal_and_costs_only_its_own_process(
    discovered: Discover, lavapipe: Path, driver_file: Callable[[str], str]
) -> None:
    crashing = driver_file("__attribute__((constructor)) void crash(void) { *(volatile int *)0 = 0; }")
    report = discovered(VK_DRIVER_FILES=f"{crashing}:{lavapipe}")
    (rejection,) = report.rejected
    assert (rejection.variant, rejection.reason, rejection.device) == ("vulkan", Reason.CRASHED, None)
    assert report.probes[0].signal == "SIGSEGV"


def test_a_driver_that_hangs_is_given_up_at_the_deadline(
    discovered: Discover, driver_file: Callable[[str], str]
) -> None:
    hanging = driver_file(
        "#include <unistd.h>\n__attribute__((constructor)) void hang(void) { for (;;) pause(); }"
    )
    report = discovered(enumerate_timeout=1, VK_DRIVER_FILES=hanging)
    assert [(r.variant, r.reason) for r in report.rejected] == [("vulkan", Reason.TIMEOUT)]


@pytest.mark.parametrize(
    "source", ["int unrelated;", "int vk_icdNegotiateLoaderICDInterfaceVersion(void *v) { return -3; }"]
)
def test_a_driver_that_refuses_is_an_error_in_the_runner_s_words(
    discovered: Discover, driver_file: Callable[[str], str], source: str
) -> None:
    report = discovered(VK_DRIVER_FILES=driver_file(source))
    (rejection,) = report.rejected
    assert (rejection.variant, rejection.reason) == ("vulkan", Reason.RUNNER_ERROR)
    assert "no driver" in rejection.detail


def test_a_loader_without_any_driver_is_said_to_have_none(
    discovered: Discover, lavapipe: Path, tmp_path: Path
) -> None:
    del lavapipe  # the loader came with it
    report = discovered(VK_DRIVER_FILES=str(tmp_path / "nothing.json"))
    (rejection,) = report.rejected
    assert (rejection.variant, rejection.reason) == ("vulkan", Reason.RUNNER_ERROR)
    assert "no driver" in rejection.detail


def test_a_driver_that_is_not_on_the_machine_costs_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_gpudiscover.native.presence.is_present", lambda *_, **__: False)
    report = discover(NativeInstallation(), surroundings=Surroundings())
    assert report.probes == ()
    said = {rejection.variant: rejection.detail for rejection in report.rejected}
    assert {rejection.reason for rejection in report.rejected} == {Reason.DRIVER_MISSING}
    assert said["vulkan"].startswith("libvulkan.so.1 is not on this machine: install ")
    assert said["cuda"].startswith("libcuda.so.1 is not on this machine: if there is an NVIDIA GPU, ")


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("linux", {"cuda", "rocm", "level_zero", "vulkan"}),
        ("win32", {"cuda", "rocm", "level_zero", "vulkan"}),
        ("darwin", {"metal", "vulkan"}),
    ],
)
def test_what_a_platform_never_has_is_missed_only_by_those_who_ask_for_it(
    system: str, expected: set[str]
) -> None:
    around = Surroundings(system=system)
    located = NativeInstallation().locate(around)
    known = [*(variant.name for variant in located.variants), *(gone.variant for gone in located.missing)]
    assert sorted(known) == sorted(expected)
    for name in DRIVERS.keys() - expected:
        (gone,) = NativeInstallation(variant=name).locate(around).missing
        assert (gone.variant, gone.reason) == (name, Reason.DRIVER_MISSING)
        assert f" is not looked for on {system}: " in gone.detail
