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


def problem_with_nodes(root: str, may: Callable[[str, int], bool] = os.access) -> str:
    """Say what keeps the driver from its device nodes; "" when nothing does.

    Args:
        root: of the file system, "" for `/`.
        may: whether this process may open a path in that way.
    """
    directory = f"{root}/dev"
    control = f"{directory}/nvidiactl"
    if not os.path.exists(control):  # noqa: PTH110 - a probe does without pathlib
        return f"there is no {control}: {_START if is_container(root) else _LOAD}"
    nodes = [f"{directory}/{name}" for name in names(directory) if is_node(name)]
    return refused(nodes, where_only_root_may=_ROOTS, may=may)


_START = (
    "this container was started without GPUs: start it with them (docker run --gpus all, podman run --device"
    " nvidia.com/gpu=all, in Kubernetes a limit of nvidia.com/gpu), which needs the NVIDIA Container Toolkit"
)
_LOAD = "load the kernel's driver (modprobe nvidia), or install NVIDIA's driver"


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
