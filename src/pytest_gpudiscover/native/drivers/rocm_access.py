"""ROCm: what keeps programs from AMD's GPUs, found out from the kernel's files, and what to do about it.

Which nodes ROCm opens, and which groups may, is from AMD's ROCm installation guide.
"""

from __future__ import annotations

import os

from pytest_gpudiscover.native.drivers.permission import refused
from pytest_gpudiscover.native.files import names, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KFD = "/dev/kfd"
CONTAINER = "start the container with --device=/dev/kfd --device=/dev/dri"

_PCI_DEVICES = "/sys/bus/pci/devices"
_AMD = "0x1002"
_GPU_CLASSES = ("0x03", "0x12")
"""Beginnings of the PCI classes of GPUs: displays, and processing accelerators without one."""
_ROOTS = "only root may; install AMD's udev rules, which give them to the group 'render'"


def obstacle(root: str, render_minor: int, may: Callable[[str, int], bool] = os.access) -> str:
    """Say what keeps this process from a GPU's device nodes; "" when nothing does.

    Args:
        root: the root of the file system; "" for `/`.
        render_minor: the number of the GPU's node in `/dev/dri`.
        may: whether this process may open a path in that way.
    """
    nodes = (KFD, f"/dev/dri/renderD{render_minor}")
    present = [node for node in nodes if os.path.exists(root + node)]  # noqa: PTH110 - a probe does without pathlib
    if missing := [node for node in nodes if node not in present]:
        return f"there is no {' and no '.join(missing)}: in a container, {CONTAINER}"
    return refused(nodes, root=root, where_only_root_may=_ROOTS, may=may)


def why_none(root: str, withheld: int) -> str:
    """Say why the kernel shows no GPU for computing; "" when the machine has none of AMD's.

    Args:
        root: the root of the file system; "" for `/`.
        withheld: how many of its nodes it does not let this process read.
    """
    if withheld:
        return f"the kernel keeps its GPUs from this container ({withheld} nodes): {CONTAINER}"
    return "; ".join(f"{pci_id} is an AMD GPU, {_state(driver)}" for pci_id, driver in _cards(root))


def _state(driver: str) -> str:
    """What the kernel's driver of a card means for ROCm."""
    if not driver:
        return "and no driver has it: load the kernel's (modprobe amdgpu), and look for 'amdgpu' in its log"
    if driver == "amdgpu":
        return "and the kernel does not offer it for computing: look for 'kfd' in the kernel's log"
    return f"and {driver} has it: ROCm needs the driver amdgpu"


def _cards(root: str) -> Iterator[tuple[str, str]]:
    """The PCI id of each of AMD's GPUs, and the name of the driver that has it, "" for none."""
    directory = root + _PCI_DEVICES
    for pci_id in names(directory):
        device = f"{directory}/{pci_id}"
        if text(f"{device}/vendor") == _AMD and text(f"{device}/class").startswith(_GPU_CLASSES):
            link = f"{device}/driver"
            yield pci_id, os.path.realpath(link).rpartition("/")[2] if os.path.exists(link) else ""  # noqa: PTH110
