"""Kernel drivers, the cards on the PCI bus, and what AMD's driver makes of its own.

Classes of the bus are from its specification ("PCI Code and ID Assignment"): 03 is a display controller; 12 a
processing accelerator, as which AMD's MI300 presents itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pytest_gpudiscover.doctor.facts import Card, Module
from pytest_gpudiscover.doctor.gathering.tree import Tree
from pytest_gpudiscover.native.drivers.rocm_nodes import readable_nodes

_MODULES = ("nvidia", "nvgpu", "nouveau", "amdgpu", "radeon", "i915", "xe")
_NVIDIA = "/proc/driver/nvidia"
_NVIDIA_VERSION = re.compile(r"Kernel Module\D*?\s(?:for \S+\s+)?(\d+(?:\.\d+)+)")
_DEVICES = "/sys/bus/pci/devices"
_DISPLAY, _ACCELERATOR = 0x03, 0x12
_AMD = 0x1002


def modules(tree: Tree) -> tuple[Module, ...]:
    """The kernel drivers of GPUs that are loaded."""
    found = [Module(name=name, version=_version(tree, name)) for name in _MODULES]
    return tuple(module for module in found if module.version or _was_loaded(tree, module.name))


def _was_loaded(tree: Tree, name: str) -> bool:
    # What is built into the kernel has no such file, and is there without a card.
    return tree.has(f"/sys/module/{name}/initstate")


def _version(tree: Tree, name: str) -> str:
    told = _nvidia(tree) if name == "nvidia" else ""
    return told or tree.text(f"/sys/module/{name}/version").strip()


def _nvidia(tree: Tree) -> str:
    """The version that NVIDIA's driver gives in /proc, where a container sees it too."""
    found = _NVIDIA_VERSION.search(tree.text(f"{_NVIDIA}/version"))
    return found[1] if found else ""


def cards(tree: Tree) -> tuple[Card, ...]:
    """The cards on the PCI bus, in its order."""
    return tuple(_cards(tree))


def _cards(tree: Tree) -> Iterator[Card]:
    for pci_id in tree.names(_DEVICES):
        device = f"{_DEVICES}/{pci_id}"
        kind, vendor = tree.number(f"{device}/class"), tree.number(f"{device}/vendor")
        if kind is None or vendor is None or not _may_compute(kind >> 16, vendor):
            continue
        told = _told_by_nvidia(tree, pci_id)
        yield Card(
            pci_id=pci_id,
            vendor_id=vendor,
            device_id=tree.number(f"{device}/device") or 0,
            driver=tree.link(f"{device}/driver").rpartition("/")[2],
            model=told.get("Model", "") or tree.text(f"{device}/product_name").strip(),
            uuid=_uuid(told, tree.text(f"{device}/unique_id").strip()),
        )


def rocm(tree: Tree) -> tuple[str, ...]:
    """The UUIDs of what ROCm counts, which are not cards: an MI300X may be cut into eight."""
    nodes, _withheld = readable_nodes(str(tree.below("/")))
    return tuple(node.uuid for node in nodes if node.is_gpu)


def _may_compute(kind: int, vendor: int) -> bool:
    # Others' accelerators of this class, such as Intel's for neural networks, are no GPUs.
    return kind == _DISPLAY or (kind == _ACCELERATOR and vendor == _AMD)


def _uuid(told: Mapping[str, str], unique: str) -> str:
    """What masks know a card by, from what NVIDIA's driver or AMD's tells of it; "" for unknown."""
    by_nvidia = told.get("GPU UUID", "")
    if "?" in by_nvidia:  # so it stands until the card is initialised for the first time
        return ""
    return by_nvidia or (f"GPU-{unique}" if unique else "")


def _told_by_nvidia(tree: Tree, pci_id: str) -> Mapping[str, str]:
    lines = tree.text(f"{_NVIDIA}/gpus/{pci_id}/information").splitlines()
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}
