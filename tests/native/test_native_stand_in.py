"""The native runner on devices that no machine here has, acted by a stand-in for the Vulkan library."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.native.conftest import Start

GIB = 1024**3
ON_A_MAC = """
import json, sys, types
from pytest_gpudiscover.native.drivers import vulkan

vulkan.sys = types.SimpleNamespace(platform="darwin", stderr=sys.stderr)
entries = vulkan.list_devices(environment={}, deep=True)
print(json.dumps([entry.to_wire() for entry in entries]))
"""


def asked(start: Start, stand_in: str, devices: str, **variables: str) -> list[dict[str, Any]]:
    """Start a runner on such a machine, and ask it."""
    return start(LD_LIBRARY_PATH=stand_in, STAND_IN_DEVICES=devices, **variables).devices()


def test_a_discrete_card_is_reported_in_full(start: Start, stand_in: str) -> None:
    (device,) = asked(start, stand_in, "discrete")
    assert device == {
        "id": "00010203-0405-0607-0809-0a0b0c0d0e0f",
        "backend": "Vulkan",
        "name": "Vulkan0",
        "description": "Stand-in discrete",
        "pci_id": "0001:c1:1f.7",
        "total_memory": 8 * GIB,
        "free_memory": 5 * GIB,
        "ComputeMajor": 0,
        "ComputeMinor": 0,
        "driver_major": 24,
        "driver_minor": 3,
        "LibraryPath": [],
        "index": 0,
    }


def test_an_integrated_card_counts_every_heap_and_no_overdrawn_budget(start: Start, stand_in: str) -> None:
    (device,) = asked(start, stand_in, "integrated")
    assert device["integration"] is True
    assert device["total_memory"] == 24 * GIB
    assert device["free_memory"] == 5 * GIB


def test_without_a_budget_all_memory_counts_as_free(start: Start, stand_in: str) -> None:
    (device,) = asked(start, stand_in, "discrete", STAND_IN_BARE="1")
    assert device["free_memory"] == device["total_memory"] == 8 * GIB


def test_a_driver_without_uuid_and_pci_address_gives_numbers(start: Start, stand_in: str) -> None:
    first, second = asked(start, stand_in, "discrete,virtual", STAND_IN_BARE="1")
    assert [first["id"], second["id"]] == ["0", "1"]
    assert "pci_id" not in first.keys() | second.keys()


@pytest.mark.parametrize(
    ("mask", "indexes"),
    [
        ("2,0", [2, 0]),
        ("1", [1]),
        (" 1 , 2", [1, 2]),
        (",1 0", [1, 0]),
        ("0,9,1", [0]),
        ("1,x,0", [1]),
        ("-1,0", []),
        ("", []),
    ],
)
def test_a_mask_picks_by_place_in_the_raw_enumeration(
    start: Start, stand_in: str, mask: str, indexes: list[int]
) -> None:
    devices = asked(start, stand_in, "discrete,integrated,virtual", GGML_VK_VISIBLE_DEVICES=mask)
    assert [device["index"] for device in devices] == indexes
    assert [device["name"] for device in devices] == [f"Vulkan{place}" for place in range(len(indexes))]


def test_only_a_deep_listing_puts_devices_to_work(start: Start, stand_in: str, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    asked(start, stand_in, "discrete", STAND_IN_CALLS=str(calls))
    assert "vkCreateDevice" not in calls.read_text()
    (device,) = asked(start, stand_in, "discrete", STAND_IN_CALLS=str(calls), GGML_CUDA_INIT="1")
    assert "unusable" not in device
    assert {"vkCreateDevice", "vkCmdFillBuffer", "vkCmdCopyBuffer", "vkQueueSubmit"} <= set(
        calls.read_text().split()
    )


@pytest.mark.parametrize("fault", ["", "vkMapMemory=-5", "vkQueueSubmit=-4"])
def test_whatever_was_created_is_destroyed(start: Start, stand_in: str, tmp_path: Path, fault: str) -> None:
    calls = tmp_path / "calls"
    asked(start, stand_in, "discrete", STAND_IN_CALLS=str(calls), STAND_IN_FAIL=fault, GGML_CUDA_INIT="1")
    called = calls.read_text().split()
    for made, unmade in (("Create", "Destroy"), ("Allocate", "Free")):
        created = sorted(
            name for name in called if name.startswith(f"vk{made}") and name != "vkAllocateCommandBuffers"
        )
        destroyed = sorted(name.replace(unmade, made) for name in called if name.startswith(f"vk{unmade}"))
        assert created == destroyed
    assert called.count("vkUnmapMemory") == (0 if fault.startswith("vkMapMemory") else 1)
    assert called[-1] == "vkDestroyInstance"


def test_a_cpu_is_not_put_to_work_unless_the_mask_names_it(
    start: Start, stand_in: str, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    (device,) = asked(start, stand_in, "cpu", STAND_IN_CALLS=str(calls), GGML_CUDA_INIT="1")
    assert device["unusable"]["reason"] == "cpu"
    assert "vkCreateDevice" not in calls.read_text()


@pytest.mark.parametrize(
    ("sabotage", "wrong"),
    [
        ("fill", "1 of 262144 words differ, word 262143 is 0x00000bad"),
        ("copy", "262144 of 262144 words differ, word 0 is 0xa5a5a5a5"),
    ],
)
def test_a_device_whose_buffer_reads_back_wrong_is_unusable(
    start: Start, stand_in: str, sabotage: str, wrong: str
) -> None:
    (device,) = asked(start, stand_in, "discrete", STAND_IN_SABOTAGE=sabotage, GGML_CUDA_INIT="1")
    assert device["unusable"]["reason"] == "unusable"
    assert wrong in device["unusable"]["detail"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("vkCreateDevice=-3", "vkCreateDevice answered VK_ERROR_INITIALIZATION_FAILED"),
        ("vkAllocateMemory=-2", "vkAllocateMemory answered VK_ERROR_OUT_OF_DEVICE_MEMORY"),
        ("vkQueueSubmit=-4", "vkQueueSubmit answered VK_ERROR_DEVICE_LOST"),
        ("vkWaitForFences=2", "vkWaitForFences answered VK_TIMEOUT"),
        ("vkCreateFence=-4711", "vkCreateFence answered VkResult -4711"),
    ],
)
def test_a_device_that_fails_deep_says_which_call_failed_and_how(
    start: Start, stand_in: str, fault: str, words: str
) -> None:
    devices = asked(start, stand_in, "discrete,discrete", STAND_IN_FAIL=fault, GGML_CUDA_INIT="1")
    assert len(devices) == 2
    for device in devices:
        assert device["unusable"]["reason"] == "unusable"
        assert words in device["unusable"]["detail"]


def test_what_a_hanging_device_may_still_use_is_not_destroyed(
    start: Start, stand_in: str, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    fault = {"STAND_IN_FAIL": "vkWaitForFences=2", "GGML_CUDA_INIT": "1"}
    asked(start, stand_in, "discrete", STAND_IN_CALLS=str(calls), **fault)
    assert "vkDestroyDevice" not in calls.read_text()


def test_a_device_that_cannot_even_be_described_is_unusable(start: Start, stand_in: str) -> None:
    fault = "vkEnumerateDeviceExtensionProperties=-1"
    (device,) = asked(start, stand_in, "discrete", STAND_IN_FAIL=fault)
    assert device["unusable"]["detail"].endswith("VK_ERROR_OUT_OF_HOST_MEMORY")


def test_a_driver_that_cannot_list_its_devices_is_an_error_in_words(start: Start, stand_in: str) -> None:
    runner = start(LD_LIBRARY_PATH=stand_in, STAND_IN_FAIL="vkEnumeratePhysicalDevices=-3")
    status, _, body = runner.get()
    assert status == 500
    assert "vkEnumeratePhysicalDevices answered VK_ERROR_INITIALIZATION_FAILED" in body


def test_what_a_driver_prints_never_reaches_the_answer(start: Start, stand_in: str) -> None:
    runner = start(LD_LIBRARY_PATH=stand_in, STAND_IN_DEVICES="discrete")
    assert len(runner.devices()) == 1
    code, stdout, stderr = runner.end()
    assert code == 130
    assert stdout == "a driver that is fond of standard output\n"
    assert "and of standard error\n" in stderr


@pytest.mark.parametrize(
    ("variables", "driver"), [({}, "stand-in Mesa 24.3.1"), ({"STAND_IN_BARE": "1"}, "unknown")]
)
def test_what_drives_a_device_is_written_before_it_is_put_to_work(
    start: Start, stand_in: str, variables: dict[str, str], driver: str
) -> None:
    runner = start(LD_LIBRARY_PATH=stand_in, STAND_IN_DEVICES="discrete", **variables)
    assert len(runner.devices()) == 1
    assert f"Vulkan0 is Stand-in discrete, driver {driver}\n" in runner.end()[2]


def test_on_macos_a_portability_driver_is_asked_for_put_to_work_and_marked(
    clean_environment: dict[str, str], stand_in: str
) -> None:
    machine = {"LD_LIBRARY_PATH": stand_in, "STAND_IN_DEVICES": "integrated", "STAND_IN_PORTABLE": "1"}
    machine["PYTHONPATH"] = str(Path(__file__).parents[2] / "src")
    done = subprocess.run(
        [sys.executable, "-c", ON_A_MAC], env=clean_environment | machine, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    # What the driver itself prints comes before or after that, as C's buffer has it.
    (said,) = (line for line in done.stdout.splitlines() if line.startswith("["))
    (device,) = json.loads(said)
    assert "unusable" not in device
    assert "stand-in Mesa 24.3.1, which does not have all of Vulkan (a portability driver)\n" in done.stderr


def test_later_requests_get_the_first_answer(start: Start, stand_in: str, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    runner = start(LD_LIBRARY_PATH=stand_in, STAND_IN_DEVICES="discrete", STAND_IN_CALLS=str(calls))
    assert runner.get("/else")[0] == 404
    assert not calls.exists()
    assert runner.devices() == runner.devices()
    assert calls.read_text().split().count("vkCreateInstance") == 1


@pytest.mark.parametrize(
    ("vendor", "version"),
    [
        pytest.param(f"{0x10DE} 4 {580 << 22 | 95 << 14 | 5 << 6}", (580, 95), id="NVIDIA's own"),
        pytest.param(f"{0x10DE} 0 {390 << 22 | 157 << 14}", (390, 157), id="NVIDIA's own, too old to say so"),
        pytest.param(f"{0x10DE} 24 {25 << 22 | 1 << 12}", (25, 1), id="Mesa on an NVIDIA card"),
        pytest.param(f"{0x8086} 5 {101 << 14 | 5590}", (101, 5590), id="Intel's own on Windows"),
        pytest.param(f"{0x8086} 6 {24 << 22 | 3 << 12 | 1}", (24, 3), id="Mesa on an Intel card"),
    ],
)
def test_a_driver_version_is_read_as_its_vendor_packs_it(
    start: Start, stand_in: str, vendor: str, version: tuple[int, int]
) -> None:
    (device,) = asked(start, stand_in, "discrete", STAND_IN_VENDOR=vendor)
    assert (device["driver_major"], device["driver_minor"]) == version


def test_a_library_that_is_no_vulkan_1_1_is_named_as_too_old(start: Start, gcc: str, tmp_path: Path) -> None:
    library = str(tmp_path / "libvulkan.so.1")
    source = "int vkEnumerateInstanceExtensionProperties; int vkCreateInstance;"
    subprocess.run([gcc, "-shared", "-x", "c", "-o", library, "-"], input=source, text=True, check=True)
    status, _, body = start(LD_LIBRARY_PATH=str(tmp_path)).get()
    assert status == 500
    assert "Vulkan 1.1, got one that lacks vkDestroyInstance: update it" in body


def test_a_library_that_cannot_be_loaded_is_reported_with_the_loaders_words(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "libvulkan.so.1").write_text("no library")
    status, _, body = start(LD_LIBRARY_PATH=str(tmp_path)).get()
    assert status == 500
    assert "libvulkan.so.1" in body
    assert "file too short" in body or "invalid ELF header" in body
