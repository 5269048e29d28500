"""What a machine says of its own cards, without any of our drivers: nvidia-smi, and the kernel's list.

nvidia-smi is NVIDIA's own reader of NVML, and a process of its own. The kernel's files are from
`Documentation/ABI/testing/sysfs-bus-pci` and the documentation of `amdgpu`.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_gpudiscover.text import printable

PATIENCE = 60.0
"""Seconds that nvidia-smi may take: the first call may load the kernel's driver."""

_MIB = 1 << 20
_WSL = "/usr/lib/wsl/lib/nvidia-smi"
_COLUMNS = "uuid,pci.bus_id,memory.total,name"
_AMD = "0x1002"
_CLASSES = ("0x03", "0x12")
"""How the PCI classes of displays and of accelerators begin."""


class UnknownError(Exception):
    """The machine does not say; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """One card, as the machine says.

    Attributes:
        pci_id: domain:bus:device.function.
        name: the product name; "" where unknown.
        uuid: `GPU-...`; "" where unknown.
        memory: bytes in all; None where unknown, as on cards that share the system's memory.
    """

    pci_id: str
    name: str = ""
    uuid: str = ""
    memory: int | None = None


def nvidia_cards() -> tuple[Card, ...]:
    """The cards that nvidia-smi lists.

    Raises:
        UnknownError: there is no nvidia-smi, or it fails.
    """
    program = shutil.which("nvidia-smi") or shutil.which(_WSL)
    if program is None:
        raise UnknownError("there is no nvidia-smi to compare with")
    command = [program, f"--query-gpu={_COLUMNS}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnknownError(f"nvidia-smi cannot be asked: {error}") from error
    if done.returncode:
        raise UnknownError(f"nvidia-smi fails: {printable((done.stdout + done.stderr).strip())}")
    return tuple(map(_card, filter(str.strip, done.stdout.splitlines())))


def _card(line: str) -> Card:
    parts = [part.strip() for part in line.split(",", 3)]
    if len(parts) < 4:
        raise UnknownError(f"nvidia-smi lists no card: {printable(line.strip())}")
    uuid, pci_id, memory, name = parts
    return Card(pci_id=pci_id, name=name, uuid=uuid, memory=int(memory) * _MIB if memory.isdigit() else None)


def amd_cards(root: Path) -> tuple[Card, ...]:
    """The cards that the kernel's driver `amdgpu` drives, and whose nodes are here.

    Others may be lent to virtual machines, or not be given to this container.

    Args:
        root: where `sys` and `dev` are.
    """
    return tuple(_amd_cards(root / "sys/bus/pci/devices", root / "dev/dri"))


def _amd_cards(devices: Path, nodes: Path) -> Iterator[Card]:
    for device in sorted(devices.glob("*")):
        ours = _read(device / "vendor") == _AMD and _read(device / "class").startswith(_CLASSES)
        here = any((nodes / node.name).exists() for node in device.glob("drm/renderD*"))
        if ours and here and (device / "driver").resolve().name == "amdgpu":
            memory = _read(device / "mem_info_vram_total")
            yield Card(pci_id=device.name, memory=int(memory) if memory.isdigit() else None)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
