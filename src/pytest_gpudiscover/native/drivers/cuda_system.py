"""CUDA: what the system tells of NVIDIA's driver, where a result alone says too little. Linux only.

Which nodes the driver needs is from the README of NVIDIA's Linux driver.
"""

from __future__ import annotations

import os

from pytest_gpudiscover.native.containers import CONTROL_GROUP, GROUPS, LEFT_BEHIND, TOLD_TO_SYSTEMD
from pytest_gpudiscover.native.drivers.permission import refused
from pytest_gpudiscover.native.files import names, text
from pytest_gpudiscover.native.versions import is_of_nvidia_s_driver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_ROOTS = "ask for permission for everybody (mode 0666), which is the driver's own setting"
_NEEDED = {
    "nvidiactl": (
        "this container was started without GPUs",
        "load the kernel's driver (modprobe nvidia), or install NVIDIA's driver",
    ),
    "nvidia-uvm": (
        "this container was given only a part of what its GPUs need",
        "let NVIDIA's tool load the module and make the node (sudo nvidia-modprobe -u -c 0)",
    ),
}
"""By node that CUDA needs: what it means in a container that there is none; elsewhere, what to do."""
_START = (
    "start it with them (docker run --gpus all, podman run --device nvidia.com/gpu=all, in Kubernetes a limit"
    " of nvidia.com/gpu), which needs the NVIDIA Container Toolkit"
)


def problem_with_nodes(root: str, may: Callable[[str, int], bool] = os.access) -> str:
    """Say what keeps the driver from its device nodes; "" when nothing does.

    Args:
        root: of the file system, "" for `/`.
        may: whether this process may open a path in that way.
    """
    directory = f"{root}/dev"
    there = [name for name in names(directory) if is_node(name)]
    missing = [] if _is_jetson(root) else [name for name in _NEEDED if name not in there]
    if missing:
        in_container, on_host = _NEEDED[missing[0]]
        advice = f"{in_container}: {_START}" if is_container(root) else on_host
        return f"there is no {directory}/{missing[0]}: {advice}"
    return refused([f"{directory}/{name}" for name in there], where_only_root_may=_ROOTS, may=may)


def _is_jetson(root: str) -> bool:
    """Whether the GPU is one of Jetson's chips, whose driver makes other nodes."""
    return os.path.exists(f"{root}/sys/module/nvgpu/initstate")  # noqa: PTH110 - a probe does without pathlib


def is_container(root: str) -> bool:
    """Whether this process runs in a container, as far as the file system tells."""
    if any(os.path.exists(root + path) for path in LEFT_BEHIND):  # noqa: PTH110 - the same
        return True
    groups = text(root + CONTROL_GROUP)
    return bool(text(root + TOLD_TO_SYSTEMD)) or any(word in groups for word in GROUPS)


def versions_that_differ(root: str) -> str:
    """Say which version the kernel's driver has, and which the libcuda of this process; "" when unknown."""
    kernel = text(f"{root}/sys/module/nvidia/version")
    marked = [word for word in text(f"{root}/proc/self/maps").split() if "/libcuda.so." in word]
    library = marked[0].rpartition("/libcuda.so.")[2] if marked else ""
    if not (kernel and is_of_nvidia_s_driver(library)) or kernel == library:
        return ""
    return (
        f"the kernel's driver is {kernel}, and {marked[0]} is of {library}: restart the machine after an"
        " update of the driver; in a container, do not bring a libcuda of its own"
    )


def is_node(name: str) -> bool:
    """Whether a name in `/dev` is of a node that CUDA opens: `nvidiactl`, `nvidia-uvm`, `nvidia0`."""
    return name in {"nvidiactl", "nvidia-uvm"} or (name.startswith("nvidia") and name[6:].isdigit())
