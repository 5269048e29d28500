"""Machines as directories: what the kernel, the loader and a container would show of them, below one root."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_gpudiscover.doctor.facts import Machine
from pytest_gpudiscover.doctor.findings import Finding, Name, Severity
from pytest_gpudiscover.doctor.gathering import Visitor, gathered
from pytest_gpudiscover.doctor.rules import findings
from pytest_gpudiscover.reports import Report
from pytest_gpudiscover.surroundings import Surroundings

NVIDIA, AMD, INTEL, ASPEED, VIRTIO = "0x10de", "0x1002", "0x8086", "0x1a03", "0x1af4"
PRODUCTS = {NVIDIA: "0x2684", AMD: "0x744c"}
"""An RTX 4090, an RX 7900 XTX."""
LIBRARIES = "/usr/lib/x86_64-linux-gnu"
UUID = "GPU-5d2a7c0e-93b1-4f6e-8a47-1c60e2b9d384"
KERNEL_MODULE = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {}  Thu Feb 22 01:44:30 UTC 2024\nGCC version: 12\n"
)
OPEN_MODULE = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {}  Release Build  (builder@host)\n"


class MachineTree:
    """A machine that a test builds. Where its files could not have their names, the test is skipped."""

    def __init__(self, root: Path) -> None:
        if sys.platform == "win32":
            pytest.skip("no file may have a colon in its name here, and sysfs calls a device 0000:01:00.0")
        self.root = root
        self.group = 109 if os.geteuid() == 0 else os.getegid()
        """The number of a group that files can be given to."""

    def below(self, path: str) -> Path:
        """Where a file of the machine lies, its directory made."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def file(self, path: str, content: str | bytes = "") -> None:
        """Put a file on it."""
        self.below(path).write_bytes(content if isinstance(content, bytes) else content.encode())

    def link(self, path: str, target: str) -> None:
        """Put a symbolic link on it."""
        self.below(path).symlink_to(target)

    def card(
        self, vendor: str, *, driver: str = "", pci_id: str = "0000:01:00.0", kind: str = "0x030000"
    ) -> None:
        """Put a card into it; with a driver, which is then loaded."""
        device = f"/sys/bus/pci/devices/{pci_id}"
        for name, value in {
            "class": kind,
            "vendor": vendor,
            "device": PRODUCTS.get(vendor, "0x0001"),
        }.items():
            self.file(f"{device}/{name}", f"{value}\n")
        if driver:
            self.link(f"{device}/driver", f"../../../../bus/pci/drivers/{driver}")
            self.file(f"/sys/module/{driver}/initstate", "live\n")

    def kernel_shows(self, *, processors: int, parts: int) -> None:
        """Have AMD's driver show nodes for computing: of processors, and then of parts of one card."""
        gpu = "vendor_id 4098\ndevice_id 29857\ndrm_render_minor {}\nunique_id {}\n"
        for place in range(processors + parts):
            part = place - processors
            properties = gpu.format(128 + part, 0xC0DE << 48 | part) if part >= 0 else "cpu_cores_count 96\n"
            self.file(f"/sys/class/kfd/kfd/topology/nodes/{place}/properties", properties)

    def node(self, path: str, mode: int = 0o666) -> None:
        """Put something in the place of a device node, which is root's."""
        self.file("/etc/passwd", f"root:x:{os.geteuid()}:0:root:/root:/bin/sh\n")
        self.file(path)
        os.chown(self.below(path), -1, self.group)
        self.below(path).chmod(mode)

    def named_group(self, name: str, *members: str) -> None:
        """Give the group of the nodes a name, and members."""
        self.file("/etc/group", f"root:x:0:\n{name}:x:{self.group}:{','.join(members)}\n")

    def library(self, name: str, target: str = "", directory: str = LIBRARIES) -> None:
        """Put a library on it, as a link where its file has another name."""
        self.file(f"{directory}/{target or name}")
        if target:
            self.link(f"{directory}/{name}", target)

    def nvidia_driver(
        self, version: str = "550.54.14", said: str = KERNEL_MODULE, *, uuid: str = UUID
    ) -> None:
        """Load NVIDIA's driver, which tells of its one card."""
        self.file("/proc/driver/nvidia/version", said.format(version))
        information = (
            f"Model: \t\t NVIDIA GeForce RTX 4090\nGPU UUID: \t {uuid}\nBus Location: \t 0000:01:00.0\n"
        )
        self.file("/proc/driver/nvidia/gpus/0000:01:00.0/information", information)

    def nvidia_nodes(self) -> None:
        """Put the nodes of one card of NVIDIA on it."""
        for name in ("nvidia0", "nvidiactl", "nvidia-uvm"):
            self.node(f"/dev/{name}")

    def nvidia_libraries(self, version: str = "550.54.14") -> None:
        """Install the libraries of NVIDIA's driver."""
        self.library("libcuda.so.1", f"libcuda.so.{version}")
        self.library("libnvidia-ml.so.1", f"libnvidia-ml.so.{version}")

    def gathered(self, *, may: Callable[[str, int], bool] | None = None, **variables: str) -> Machine:
        """What is read of it, by a user named ann."""
        who = Visitor("ann", may or (lambda path, mode: True))
        surroundings = Surroundings(environment={"PATH": "/usr/bin", **variables})
        return gathered(surroundings, root=self.root, leases=Path("/leases"), who=who)

    def findings(
        self, report: Report | None = None, *, may: Callable[[str, int], bool] | None = None, **variables: str
    ) -> list[Finding]:
        """What the doctor says of it."""
        return findings(self.gathered(may=may, **variables), report or Report())


def workstation(tree: MachineTree) -> None:
    """Make it a healthy machine with one card of NVIDIA."""
    tree.card(NVIDIA, driver="nvidia")
    tree.nvidia_driver()
    tree.nvidia_nodes()
    tree.nvidia_libraries()
    tree.library("libvulkan.so.1", "libvulkan.so.1.3.239")


def radeon(tree: MachineTree) -> None:
    """Make it a machine with one card of AMD, whose nodes are for the group render."""
    tree.card(AMD, driver="amdgpu", pci_id="0000:03:00.0")
    tree.node("/dev/kfd", 0o660)
    tree.node("/dev/dri/renderD128", 0o660)
    tree.named_group("render")
    tree.library("libvulkan.so.1", "libvulkan.so.1.3.239")
    tree.library("libamdhip64.so.6", "libamdhip64.so.6.2.60204", directory="/opt/rocm/lib")


def no_nodes(path: str, mode: int) -> bool:
    """What may be done by a user who may open no device node."""
    return "/dev/" not in path


def named(found: list[Finding], name: Name) -> list[Finding]:
    """The findings of a name."""
    return [finding for finding in found if finding.name is name]


def bad(found: list[Finding]) -> list[Name]:
    """The names of the problems and warnings."""
    return [finding.name for finding in found if finding.severity in (Severity.PROBLEM, Severity.WARNING)]
