"""Parts of the hardware suite without a run of it: what a machine says of its cards, and who takes memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pytest_gpudiscover.hardware import talking
from pytest_gpudiscover.hardware.talking import Program
from pytest_gpudiscover.hardware.truth import Card, UnknownError, amd_cards, nvidia_cards
from pytest_gpudiscover.native.drivers.rocm_hip import SIGNATURES

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
HIP = """
#include <stdlib.h>
static size_t left = 3000u << 20;
int hipInit(unsigned flags) { return flags ? 1 : 0; }
int hipSetDevice(int device) { return device ? 101 : 0; }
int hipMemGetInfo(size_t *free, size_t *total) { *free = left; *total = 4000u << 20; return 0; }
int hipMalloc(void **block, size_t size) {
    if (size > left - (100u << 20)) return 2;
    left -= size;
    *block = malloc(sizeof size);
    *(size_t *)*block = size;
    return 0;
}
int hipFree(void *block) { left += *(size_t *)block; free(block); return 0; }
"""
"""HIP with one device of 4000 MiB, of which it keeps 100 MiB for itself."""
UNCALLED = "".join(
    f"int {name}(void) {{ return 1; }}\n"
    for name in (*SIGNATURES, "hipGetDeviceProperties")
    if f"{name}(" not in HIP
)
"""What it must have for the native runner's sake."""

OUTLIVES = """
import time
print("up", flush=True)
time.sleep(600)
"""


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the one nvidia-smi of this machine is to be."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "nvidia-smi"


def test_nvidia_smi_is_read(nvidia_smi: Path) -> None:
    lines = (
        "GPU-1, 00000000:0A:00.0, 23034, NVIDIA L4\\nGPU-2, 0000000F:01:00.0, [N/A], NVIDIA GH200, 96GB\\n"
    )
    nvidia_smi.write_text(f"#!/bin/sh\nprintf '{lines}'", encoding="ascii")
    nvidia_smi.chmod(0o755)
    assert nvidia_cards() == (
        Card(pci_id="00000000:0A:00.0", name="NVIDIA L4", uuid="GPU-1", memory=23034 * MIB),
        Card(pci_id="0000000F:01:00.0", name="NVIDIA GH200, 96GB", uuid="GPU-2", memory=None),
    )


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9", "nvidia-smi fails: NVIDIA-SMI has failed"),
        ("#!/no/such/shell", "nvidia-smi cannot be asked: "),
        (None, "there is no nvidia-smi to compare with"),
    ],
)
def test_what_is_wrong_with_nvidia_smi_is_said(nvidia_smi: Path, program: str | None, said: str) -> None:
    if program:
        nvidia_smi.write_text(program, encoding="ascii")
        nvidia_smi.chmod(0o755)
    with pytest.raises(UnknownError, match=said):
        nvidia_cards()


def test_amd_s_cards_are_those_that_amdgpu_drives_here(tmp_path: Path) -> None:
    for number, (pci_id, vendor, kind, driver, memory) in enumerate(
        [
            ("0000:03:00.0", "0x1002", "0x030000", "amdgpu", "25753026560"),
            ("0000:03:00.1", "0x1002", "0x040300", "snd_hda_intel", ""),
            ("0000:1b:00.0", "0x1002", "0x120000", "amdgpu", ""),
            ("0000:41:00.0", "0x1002", "0x030000", "vfio-pci", ""),
            ("0000:61:00.0", "0x10de", "0x030000", "nvidia", ""),
            ("0000:81:00.0", "0x1002", "0x030000", "amdgpu", ""),
        ]
    ):
        device = tmp_path / "sys/bus/pci/devices" / pci_id
        (device / f"drm/renderD{number}").mkdir(parents=True)
        (tmp_path / "sys/bus/pci/drivers" / driver).mkdir(parents=True, exist_ok=True)
        (device / "driver").symlink_to(tmp_path / "sys/bus/pci/drivers" / driver)
        (device / "vendor").write_text(f"{vendor}\n")
        (device / "class").write_text(f"{kind}\n")
        if memory:
            (device / "mem_info_vram_total").write_text(f"{memory}\n")
    (tmp_path / "dev/dri").mkdir(parents=True)
    for number in range(5):  # the last card is not given to this container
        (tmp_path / "dev/dri" / f"renderD{number}").touch()
    assert amd_cards(tmp_path) == (
        Card(pci_id="0000:03:00.0", memory=25753026560),
        Card(pci_id="0000:1b:00.0"),
    )


def test_memory_is_taken_through_hip(gcc: str, tmp_path: Path) -> None:
    library = tmp_path / "libamdhip64.so.6"
    flags = ["-shared", "-fPIC", "-x", "c", "-o", str(library), "-"]
    subprocess.run([gcc, *flags], input=HIP + UNCALLED, text=True, check=True)
    command = [sys.executable, "-P", "-m", "pytest_gpudiscover.hardware.holder", "ROCm"]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path), "PYTHONPATH": str(ROOT / "src")}
    with Program(command, environment) as program:
        assert program.hear() == "ready"
        assert program.ask(f"take {256 * MIB}") == f"took {256 * MIB}"
        assert program.ask(f"leave {1024 * MIB}") == f"left {1024 * MIB}"
        assert program.ask("give") == "gave"
        # Blocks of 2 MiB are the smallest that are tried.
        assert program.ask("leave 0") == f"left {100 * MIB}"
        refusal = program.ask(f"take {1024 * MIB}")
        assert refusal.startswith("failed: hipMalloc answered hipErrorOutOfMemory (2): the GPU has no memory")


def test_a_program_that_ends_without_a_word_fails_the_test() -> None:
    with (
        Program([sys.executable, "-c", "exit(3)"], {}) as program,
        pytest.raises(AssertionError, match="nothing"),
    ):
        program.hear()


def test_a_program_that_outlives_its_input_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talking, "_GRACE", 0)
    with Program([sys.executable, "-c", OUTLIVES], {}) as program:
        assert program.hear() == "up"
    assert psutil.Process().children() == []
