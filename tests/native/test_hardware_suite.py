"""The hardware suite on machines without a GPU: stand-in drivers, a CPU posing as one, and nothing at all."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from amd_machines import RX_7900_XTX, STAND_IN_MI210, Machine, stand_in_machine
from framework_stand_ins import Site
from pytest_gpudiscover.devices import DeviceInfo

ROOT = Path(__file__).parents[2]
L4, H100 = (f"GPU-{first}000000-0102-0304-0506-0708090a0b0c" for first in ("0a", "c1"))
NVIDIA_SMI = f"""#!/bin/sh
echo "{L4}, 00000000:0A:00.0, 8192, Stand-in L4"
echo "{H100}, 00000001:C1:1F.7, 24576, Stand-in H100"
[ -z "$THIRD_CARD" ] || echo "$THIRD_CARD"
"""
"""Lists both cards of the stand-in drivers, and one they lack, as `--format=csv,noheader,nounits` does."""

BOOKS_OF_THEIR_OWN = """
if "--leases" in sys.argv:
    sys.argv[sys.argv.index("--leases") + 1] += str(os.getpid())
"""
"""Gives each process a directory of leases for itself, as containers with a /tmp each have."""

GIB = 1 << 30
CARDS = [
    DeviceInfo(id=L4, library="CUDA", description="Stand-in L4", pci_id="0000:0a:00.0", total_memory=8 * GIB),
    DeviceInfo(
        id=H100, library="CUDA", description="Stand-in H100", pci_id="0001:c1:1f.7", total_memory=24 * GIB
    ),
]
OUTCOMES = ("skipped", "failure", "error")
FILL = {
    "a_busy_device_is_listed_with_what_it_has_left",
    "a_device_without_room_for_a_context_fails_its_verification",
}
FOLLOW = {"free_memory_follows_what_is_taken_and_given_back"}
ALONE = {"every_device_was_verified_alone", "the_mask_of_a_device_shows_that_device_alone"}
"""By what they do with a device, the tests that take each in turn."""

Suite = Callable[..., "Run"]


class Run:
    """One run of the suite.

    Attributes:
        code: its exit code.
        text: all that it printed.
        outcomes: by outcome, the tests without their parameters, each once.
    """

    def __init__(self, done: subprocess.CompletedProcess[str], report: Path) -> None:
        self.code = done.returncode
        self.text = done.stdout + done.stderr
        self.outcomes: dict[str, set[str]] = {}
        for test in ET.parse(report).iter("testcase") if report.exists() else ():
            outcome = next((child.tag for child in test if child.tag in OUTCOMES), "passed")
            name = test.attrib["name"].removeprefix("test_").partition("[")[0]
            self.outcomes.setdefault(outcome, set()).add(name)


@pytest.fixture
def frameworks(tmp_path: Path) -> Site:
    """Where stand-in frameworks are installed, which see both cards."""
    return Site(tmp_path / "site", CARDS)


@pytest.fixture
def suite(clean_environment: dict[str, str], frameworks: Site, tmp_path: Path) -> Suite:
    """Run the suite in an empty directory, with options and more variables."""
    directory = tmp_path / "empty"
    directory.mkdir()
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT), str(frameworks.path)])
    machine = {"PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "200"}
    leases = {"GPUDISCOVER_LEASES": str(tmp_path / "leases"), "VK_LOADER_LAYERS_DISABLE": "~implicit~"}

    def run(*options: str, **variables: str) -> Run:
        # This checkout's own conftest.py is not for its users.
        report = tmp_path / "junit.xml"
        plain = [f"--junitxml={report}", "-Werror", "-pno:cacheprovider", f"--confcutdir={ROOT / 'src'}"]
        plugin = ["-p", "pytest_gpudiscover.plugin", "--gpudiscover-hardware"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *plain, *plugin, *options],
            cwd=directory,
            env=clean_environment | machine | leases | variables,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return Run(done, report)

    return run


@pytest.fixture
def cards(cuda: str, nvml: str, stand_in: str, tmp_path: Path) -> dict[str, str]:
    """Variables that give a run two NVIDIA cards whose memory is counted; Vulkan shows one of them too."""
    (tmp_path / "memory").mkdir()
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "nvidia-smi"
    program.write_text(NVIDIA_SMI, encoding="ascii")
    program.chmod(0o755)
    return {
        "LD_LIBRARY_PATH": f"{cuda}:{nvml}:{stand_in}",
        "STAND_IN_DEVICES": "discrete",
        "STAND_IN_MEMORY": str(tmp_path / "memory"),
        "PATH": f"{program.parent}:{os.environ['PATH']}",
    }


@pytest.fixture
def amd_cards(hip: str, nothing: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Variables that give a run two of AMD's cards, one of which has memory of its own, which is counted."""
    (tmp_path / "memory").mkdir()
    kernel = stand_in_machine(tmp_path / "machine").environment
    return nothing | kernel | {"LD_LIBRARY_PATH": hip, "STAND_IN_MEMORY": str(tmp_path / "memory")}


@pytest.fixture
def nothing(tmp_path: Path) -> dict[str, str]:
    """Variables that leave a run without any driver."""
    return {"VK_DRIVER_FILES": str(tmp_path / "none.json"), "PATH": "/nowhere"}


def test_on_two_cards_every_test_passes_and_says_what_it_measured(
    suite: Suite, cards: dict[str, str], frameworks: Site
) -> None:
    frameworks.install("torch")
    run = suite("--gpudiscover-require=2xCUDA", **cards)
    assert run.code == 0, run.text
    assert run.outcomes == {
        "passed": {
            "a_busy_device_is_listed_with_what_it_has_left",
            "a_card_that_cuda_and_vulkan_show_is_one_device",
            "a_device_without_room_for_a_context_fails_its_verification",
            "a_framework_sees_what_is_shown_to_it",
            "every_card_of_nvidia_smi_is_found_once",
            "every_device_was_verified_alone",
            "free_memory_follows_what_is_taken_and_given_back",
            "the_mask_of_a_device_shows_that_device_alone",
            "two_processes_never_hold_the_same_card",
        },
        "skipped": {"a_framework_sees_what_is_shown_to_it", "every_card_that_amdgpu_drives_is_found_once"},
    }
    assert (
        f"{L4}: free before, with 256 MiB taken, and after: 6868.0 MiB -> 6612.0 MiB -> 6868.0 MiB"
        in run.text
    )
    assert f"{H100}: filled up, listed with 1024.0 MiB free, where its driver counts 1024.0 MiB" in run.text
    assert (
        "full, its verification says: cuDevicePrimaryCtxRetain answered CUDA_ERROR_OUT_OF_MEMORY" in run.text
    )
    assert "leases: 2 cards held by 2 processes while another waited" in run.text
    assert "torch 2.9.1 (CUDA) sees what is shown to it: 2 devices, together and each alone" in run.text
    probes = re.findall(r"^(\w+) +(\w+) +[0-9.]+ s +[0-9.]+ s +[0-9.]+ s +answered", run.text, re.MULTILINE)
    assert probes == [("enumerate", "cuda"), ("enumerate", "vulkan"), ("verify", "cuda"), ("verify", "cuda")]


def test_on_amd_s_cards_every_test_passes_that_is_about_them(suite: Suite, amd_cards: dict[str, str]) -> None:
    run = suite("--gpudiscover-require=2xROCm", **amd_cards)
    assert run.code == 0, run.text
    assert run.outcomes == {
        "passed": FILL
        | FOLLOW
        | ALONE
        | {"every_card_that_amdgpu_drives_is_found_once", "two_processes_never_hold_the_same_card"},
        "skipped": FILL
        | FOLLOW
        | {
            "a_card_that_cuda_and_vulkan_show_is_one_device",
            "a_framework_sees_what_is_shown_to_it",
            "every_card_of_nvidia_smi_is_found_once",
        },
    }
    assert "amdgpu drives 2, all of them found" in run.text
    assert "it shares the system's memory, which a test must not fill" in run.text
    assert "full, its verification says: hipMalloc answered hipErrorOutOfMemory" in run.text


def test_drivers_and_frameworks_that_lie_fail_the_test_that_asks(
    suite: Suite, cards: dict[str, str], frameworks: Site, tmp_path: Path
) -> None:
    kernel = Machine(tmp_path / "machine")
    kernel.add_unserved(RX_7900_XTX)
    kernel.serve(RX_7900_XTX)
    frameworks.install("torch", after="shown = whole")
    lies = {
        "THIRD_CARD": "GPU-7, 00000000:77:00.0, 8192, Stand-in T4",
        "STAND_IN_NVML": "still",
        "STAND_IN_SABOTAGE": "light",
        "STAND_IN_BARE": "1",
        "STAND_IN_NAME": "L4",
    }
    run = suite(
        "-k",
        "nvidia_smi or amdgpu or cuda_and_vulkan or torch or (0a000000 and (given_back or busy or room))",
        "--gpudiscover-memory-timeout=0.1",
        **cards | kernel.environment | lies,
    )
    assert (run.code, run.outcomes) == (
        1,
        {
            "failure": FILL
            | FOLLOW
            | {
                "a_card_that_cuda_and_vulkan_show_is_one_device",
                "a_framework_sees_what_is_shown_to_it",
                "every_card_of_nvidia_smi_is_found_once",
                "every_card_that_amdgpu_drives_is_found_once",
            }
        },
    )
    for said in (
        "Stand-in T4 at 00000000:77:00.0 is not usable: no driver listed it",
        "the card at 0000:03:00.0 is not usable: no driver listed it",
        "Stand-in L4 at an unknown place (Vulkan 0)",
        "taking moved the free memory from 7168.0 MiB to 7168.0 MiB",
        "filling moved the free memory from 1024.0 MiB to 7168.0 MiB",
        "bytes free a context was made, or none was tried",
        f"{L4} alone: it sees 2 devices (Stand-in L4, Stand-in H100) where 1 are shown to it",
    ):
        assert said in run.text


def test_a_mask_that_is_ignored_fails_both_tests_of_devices_alone(
    suite: Suite, cards: dict[str, str]
) -> None:
    run = suite("-k", "0a000000 and alone", **cards, STAND_IN_MASK="ignored")
    assert (run.code, run.outcomes) == (1, {"failure": ALONE})
    assert f"CUDA_VISIBLE_DEVICES={L4} shows ['Stand-in L4', 'Stand-in H100']" in run.text


def test_processes_that_keep_books_of_their_own_fail_the_test_of_leases(
    suite: Suite, cards: dict[str, str], frameworks: Site
) -> None:
    with (frameworks.path / "sitecustomize.py").open("a", encoding="utf-8") as file:
        file.write(BOOKS_OF_THEIR_OWN)
    run = suite("-k", "hold", **cards)
    assert (run.code, run.outcomes) == (1, {"failure": {"two_processes_never_hold_the_same_card"}})
    masks = json.dumps({"CUDA_VISIBLE_DEVICES": L4, "GGML_VK_VISIBLE_DEVICES": ""})
    assert f"two processes were given the same: {masks}" in run.text


def test_on_a_cpu_that_poses_as_a_gpu_the_suite_adapts(suite: Suite, lavapipe: Path) -> None:
    run = suite(
        "--gpudiscover-require=vulkan",
        "-k",
        "not hold and not framework",
        VK_DRIVER_FILES=str(lavapipe),
        GGML_VK_VISIBLE_DEVICES="0",
    )
    assert run.code == 0, run.text
    assert run.outcomes["passed"] == {
        "every_device_was_verified_alone",
        "the_mask_of_a_device_shows_that_device_alone",
    }
    assert "GGML_VK_VISIBLE_DEVICES may hide devices: unset it to compare" in run.text
    assert "the suite takes memory through CUDA and ROCm, and this device is Vulkan's" in run.text


def test_on_a_machine_with_nothing_everything_is_skipped_with_reasons(
    suite: Suite, nothing: dict[str, str]
) -> None:
    run = suite(**nothing)
    assert run.code == 0, run.text
    assert run.outcomes.keys() == {"skipped"}
    for reason in (
        "there is no nvidia-smi to compare with",
        "the kernel's driver amdgpu has no card",
        "no device is used through CUDA",
        "no usable GPU was found: ",
        "torch is not installed",
    ):
        assert reason in run.text


def test_what_is_required_fails_on_a_machine_with_nothing(suite: Suite, nothing: dict[str, str]) -> None:
    run = suite("--gpudiscover-require=cuda", **nothing)
    assert run.code == 1
    assert "--gpudiscover-require cuda: needed: 1 CUDA device; usable: 0 of 0 devices" in run.text


def test_what_is_required_fails_where_it_cannot_be_compared(suite: Suite, cards: dict[str, str]) -> None:
    run = suite("--gpudiscover-require=cuda", "-k", "nvidia_smi", **cards | {"PATH": "/nowhere"})
    assert (run.code, run.outcomes) == (1, {"failure": {"every_card_of_nvidia_smi_is_found_once"}})
    assert "there is no nvidia-smi to compare with, and --gpudiscover-require names CUDA" in run.text


def take(machine: dict[str, str], card: str, size: int) -> None:
    """Be somebody who takes so many bytes of a stand-in card; see stand_in_memory.h."""
    block = Path(machine["STAND_IN_MEMORY"]) / f"{card}-{os.getpid()}-somebody"
    with block.open("wb") as file:
        file.truncate(size)


def test_a_required_card_that_somebody_fills_fails_and_memory_that_a_test_must_not_fill_is_skipped(
    suite: Suite, cards: dict[str, str]
) -> None:
    take(cards, H100, 6 * GIB)
    run = suite(
        "--gpudiscover-require=CUDA", "-k", "given_back or busy or room", **cards, STAND_IN_KIND="unified"
    )
    assert (run.code, run.outcomes) == (1, {"passed": FOLLOW, "failure": FILL, "skipped": FOLLOW | FILL})
    assert "only 17408.0 MiB of it are free, so somebody uses it: end that, and --gpudisc" in run.text
    assert "it shares the system's memory: its free memory is the system's" in run.text


def test_where_nothing_is_required_a_card_that_somebody_fills_is_left_alone(
    suite: Suite, amd_cards: dict[str, str]
) -> None:
    take(amd_cards, STAND_IN_MI210.pci_id, 16 * GIB)
    run = suite("-k", "room or busy", **amd_cards)
    assert run.code == 0, run.text
    assert run.outcomes.keys() == {"skipped"}
    assert "only 48128.0 MiB of it are free, so somebody uses it: end that" in run.text


def test_under_strict_what_needs_a_gpu_fails_on_a_machine_with_nothing(
    suite: Suite, nothing: dict[str, str]
) -> None:
    run = suite("--gpudiscover-strict", **nothing)
    assert run.code == 1
    assert run.outcomes["skipped"] == {
        "a_card_that_cuda_and_vulkan_show_is_one_device",
        "a_framework_sees_what_is_shown_to_it",
        "every_card_of_nvidia_smi_is_found_once",
        "every_card_that_amdgpu_drives_is_found_once",
    }
    assert run.outcomes["failure"] == {"two_processes_never_hold_the_same_card"}
    assert run.outcomes["error"] == FILL | FOLLOW | ALONE
