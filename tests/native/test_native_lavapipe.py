"""The native runner on a real Vulkan driver, and on drivers that break the real loader."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.native.conftest import Start

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

SABOTAGED_FILL = """
import json, sys
from pytest_gpudiscover.native.drivers import vulkan, vulkan_api

class Sabotaged(vulkan_api.Vulkan):
    def __init__(self, library):
        super().__init__(library)
        fill = self.vkCmdFillBuffer
        self.vkCmdFillBuffer = lambda commands, buffer, start, size, word: (
            fill(commands, buffer, start, size - 4, word)
        )

vulkan_api.Vulkan = Sabotaged
entries = vulkan.list_devices(environment={"GGML_VK_VISIBLE_DEVICES": "0"}, deep=True)
json.dump([entry.to_wire() for entry in entries], sys.stdout)
"""


def test_a_cpu_driver_is_listed_as_a_cpu_and_not_for_use(start: Start, lavapipe: Path) -> None:
    (device,) = start(VK_DRIVER_FILES=str(lavapipe)).devices()
    assert device["unusable"]["reason"] == "cpu"
    assert "is a CPU" in device["unusable"]["detail"]
    assert "GGML_VK_VISIBLE_DEVICES=0" in device["unusable"]["detail"]
    assert device["description"].startswith("llvmpipe")
    assert UUID.fullmatch(device["id"])
    assert device["total_memory"] >= device["free_memory"] > 0
    assert (device["backend"], device["name"], device["index"]) == ("Vulkan", "Vulkan0", 0)
    assert "pci_id" not in device


@pytest.mark.parametrize("deep", ["", "1"])
def test_a_mask_that_names_the_cpu_makes_it_usable(start: Start, lavapipe: Path, deep: str) -> None:
    runner = start(VK_DRIVER_FILES=str(lavapipe), GGML_VK_VISIBLE_DEVICES="0", GGML_CUDA_INIT=deep)
    (device,) = runner.devices()
    assert "unusable" not in device


def test_an_empty_mask_shows_nothing_of_a_real_driver(start: Start, lavapipe: Path) -> None:
    assert start(VK_DRIVER_FILES=str(lavapipe), GGML_VK_VISIBLE_DEVICES="").devices() == []


def test_deep_compares_what_a_real_driver_really_wrote(
    clean_environment: dict[str, str], lavapipe: Path
) -> None:
    source = Path(__file__).parents[2] / "src"
    environment = clean_environment | {
        "VK_DRIVER_FILES": str(lavapipe),
        "VK_LOADER_LAYERS_DISABLE": "~implicit~",
        "PYTHONPATH": str(source),
    }
    command = [sys.executable, "-c", SABOTAGED_FILL]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    (device,) = json.loads(done.stdout)
    assert device["unusable"]["reason"] == "unusable"
    assert "1 of 262144 words differ" in device["unusable"]["detail"]


def test_a_driver_that_is_listed_twice_gives_two_entries(
    start: Start, lavapipe: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "again.json"
    copy.write_bytes(lavapipe.read_bytes())
    runner = start(VK_DRIVER_FILES=f"{lavapipe}:{copy}", GGML_VK_VISIBLE_DEVICES="0,1", GGML_CUDA_INIT="1")
    first, second = runner.devices()
    assert first["id"] == second["id"]
    assert [first["index"], second["index"]] == [0, 1]
    assert [first["name"], second["name"]] == ["Vulkan0", "Vulkan1"]
    assert not {"unusable"} & (first.keys() | second.keys())


def test_a_driver_that_segfaults_takes_only_its_process_down(
    start: Start, lavapipe: Path, driver_file: Callable[[str], str]
) -> None:
    broken = driver_file("__attribute__((constructor)) void load(void) { *(volatile int *)0 = 1; }")
    runner = start(VK_DRIVER_FILES=f"{lavapipe}:{broken}")
    with pytest.raises(ConnectionError):
        runner.get()
    assert runner.process.wait(60) == -signal.SIGSEGV


def test_a_driver_that_hangs_holds_its_answer_back(start: Start, driver_file: Callable[[str], str]) -> None:
    broken = driver_file(
        "#include <unistd.h>\n"
        '__attribute__((constructor)) void load(void) { write(2, "hanging\\n", 8); for (;;) pause(); }'
    )
    runner = start(VK_DRIVER_FILES=broken)
    with runner.connect() as client:
        client.sendall(b"GET /info HTTP/1.1\r\n\r\n")
        assert runner.process.stderr is not None
        assert runner.process.stderr.readline() == b"hanging\n"
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)
    assert runner.process.poll() is None


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(
            "int vk_icdNegotiateLoaderICDInterfaceVersion(unsigned *v) { return -9; }", id="refuses"
        ),
        pytest.param("int nothing_of_vulkan;", id="lacks every symbol"),
    ],
)
def test_a_driver_that_refuses_costs_the_others_nothing(
    start: Start, lavapipe: Path, driver_file: Callable[[str], str], source: str
) -> None:
    broken = driver_file(source)
    assert len(start(VK_DRIVER_FILES=f"{broken}:{lavapipe}").devices()) == 1
    status, media_type, body = start(VK_DRIVER_FILES=broken).get()
    assert (status, media_type) == (500, "text/plain; charset=utf-8")
    assert "VK_ERROR_INCOMPATIBLE_DRIVER" in body


def test_a_machine_with_a_loader_and_no_driver_is_an_error_in_words(start: Start, lavapipe: Path) -> None:
    nowhere = lavapipe.with_name("no-such-driver.json")
    status, _, body = start(VK_DRIVER_FILES=str(nowhere)).get()
    assert status == 500
    assert body.startswith("Vulkan: no driver accepted")
    assert "VK_ERROR_INCOMPATIBLE_DRIVER" in body
    assert "VK_DRIVER_FILES" in body
