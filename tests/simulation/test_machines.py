"""The ready-made machines: what a person would expect each to be discovered as."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_gpudiscover import Phase, Reason, Report, discover
from pytest_gpudiscover.devices import pci_address
from pytest_gpudiscover.simulation import MACHINES, FakeHost

PAGE = Path(__file__).parents[2] / "docs" / "profiles.md"


def discovered(machine: str) -> Report:
    return discover(MACHINES[machine]().in_memory())


def kept(report: Report) -> list[tuple[str, str, str]]:
    return [(device.library, device.variant, device.description) for device in report.devices]


@pytest.mark.parametrize("machine", MACHINES)
def test_no_gpu_is_kept_twice_and_none_is_lost(machine: str) -> None:
    host = MACHINES[machine]()
    devices = discover(host.in_memory()).devices
    addresses = [pci_address(device.pci_id) for device in devices if device.pci_id]
    assert len(addresses) == len(set(addresses))
    assert len(devices) == sum(gpu["name"] != "llvmpipe" for gpu in host.document["gpu"])


@pytest.mark.parametrize("machine", MACHINES)
def test_a_machine_is_new_each_time_and_says_in_a_sentence_what_it_is(machine: str) -> None:
    build = MACHINES[machine]
    assert isinstance(build(), FakeHost)
    assert build() == build()
    assert build() is not build()
    assert re.match(r"[A-Z][^.]{20,}\.", str(build.__doc__))


def test_a_hybrid_laptop_uses_its_nvidia_gpu_through_cuda_and_the_integrated_one_through_vulkan() -> None:
    report = discovered("hybrid_laptop")
    assert kept(report) == [
        ("CUDA", "cuda_v13", "NVIDIA GeForce RTX 4060 Laptop GPU"),
        ("Vulkan", "vulkan", "AMD Radeon 780M Graphics (RADV PHOENIX)"),
    ]
    assert [device.integrated for device in report.devices] == [False, True]
    reasons = {(r.library, r.reason) for r in report.rejected}
    assert reasons == {
        ("ROCm", Reason.CRASHED),
        ("CUDA", Reason.OVERLAP),
        ("Vulkan", Reason.DUPLICATE),
    }


def test_a_server_uses_its_eight_h100_through_the_newest_cuda() -> None:
    report = discovered("eight_h100")
    assert kept(report) == [("CUDA", "cuda_v13", "NVIDIA H100 80GB HBM3")] * 8
    assert len({device.id for device in report.devices}) == 8
    assert all(device.id.startswith("GPU-") for device in report.devices)
    assert report.devices[0].pci_id == "0000:18:00.0"


def test_a_mixed_workstation_uses_each_card_through_its_maker_s_library_and_intel_s_through_vulkan() -> None:
    assert kept(discovered("mixed_workstation")) == [
        ("CUDA", "cuda_v13", "NVIDIA GeForce RTX 4090"),
        ("ROCm", "rocm", "AMD Radeon RX 7900 XTX"),
        ("Vulkan", "vulkan", "Intel(R) Arc(tm) A770 Graphics (DG2)"),
    ]


def test_two_generations_are_used_through_a_cuda_each() -> None:
    assert sorted(kept(discovered("two_generations"))) == [
        ("CUDA", "cuda_v12", "NVIDIA GeForce GTX 1060 6GB"),
        ("CUDA", "cuda_v13", "NVIDIA GeForce RTX 5090"),
    ]


def test_a_jetson_uses_its_integrated_gpu_through_its_own_cuda() -> None:
    report = discovered("jetson")
    assert kept(report) == [("CUDA", "cuda_jetpack6", "Orin")]
    (device,) = report.devices
    assert (device.integrated, device.compute, device.pci_id) == (True, "8.7", "")


def test_a_mac_uses_its_gpu_through_metal_from_a_runner_without_variants() -> None:
    report = discovered("apple")
    assert kept(report) == [("Metal", "", "Apple M2 Max")]
    assert [probe.phase for probe in report.probes] == [Phase.ENUMERATE]


def test_wsl_has_cuda_and_a_vulkan_that_lists_nothing_but_the_cpu() -> None:
    report = discovered("wsl")
    assert kept(report) == [("CUDA", "cuda_v13", "NVIDIA GeForce RTX 4060 Laptop GPU")]
    assert [r.description for r in report.rejected if r.reason == Reason.CPU] == [
        "llvmpipe (LLVM 20.1.8, 256 bits)"
    ]


def test_without_a_gpu_nothing_is_kept_and_the_cpu_that_poses_as_one_is_refused() -> None:
    report = discovered("cpu_only")
    assert kept(report) == []
    assert [(r.phase, r.reason, r.library) for r in report.rejected] == [
        (Phase.ENUMERATE, Reason.CPU, "Vulkan")
    ]
    assert len([probe for probe in report.probes if probe.phase == Phase.ENUMERATE]) == 4


def test_real_processes_find_on_a_machine_what_is_found_in_memory(tmp_path: Path) -> None:
    host = MACHINES["hybrid_laptop"]().save(tmp_path / "host.json")
    assert kept(host.discover()) == kept(discovered("hybrid_laptop"))


def test_the_page_names_every_machine_in_order() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("\n## Machines\n")[2]
    assert re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", section, re.MULTILINE) == list(MACHINES)
