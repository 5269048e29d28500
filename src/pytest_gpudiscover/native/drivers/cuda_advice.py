"""CUDA: what to do about a result of its driver.

What the results mean is from NVIDIA's CUDA driver API reference; which nodes a driver needs, from the README
of NVIDIA's Linux driver.
"""

from __future__ import annotations

import os

from pytest_gpudiscover.native.drivers.cuda_api import CudaError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NO_DEVICE = 100

_HUNG = "the GPU may be lost: look for 'Xid' in the kernel's log, and reset it or restart the machine"

ADVICE = {
    2: "the GPU has no memory left for a context (some 300 MB): end what else runs on it",
    3: "the driver was not initialised: restart the machine",
    34: "this libcuda is the stub that CUDA's toolkit brings for linking: take its directory ('stubs') off"
    " LD_LIBRARY_PATH, and install NVIDIA's driver",
    35: "the driver is too old: update NVIDIA's driver",
    46: "the GPU is taken, or not to be used: end the process that has it in exclusive mode, or set its"
    " compute mode back to default (nvidia-smi -c 0)",
    NO_DEVICE: "the driver sees no GPU: check that nvidia-smi lists one; in a container, start it with GPUs"
    " (docker run --gpus all, NVIDIA Container Toolkit)",
    102: "the virtual GPU has no license: check its license server",
    209: "the GPU or its driver is too old for the test kernel: update NVIDIA's driver",
    214: f"the GPU's memory has an error that cannot be corrected; {_HUNG}",
    218: "the driver could not compile the test kernel: update NVIDIA's driver",
    220: f"a link between GPUs failed; {_HUNG}",
    221: "the driver's compiler (libnvidia-ptxjitcompiler) is missing: install NVIDIA's driver in full",
    222: "the driver is too old for the test kernel: update NVIDIA's driver",
    223: "compiling for the GPU is switched off: take CUDA_DISABLE_PTX_JIT out of the environment",
    304: "the operating system refused the driver: check the permissions of /dev/nvidia*",
    700: f"the test kernel failed on the GPU; {_HUNG}",
    702: f"the test kernel took too long; {_HUNG}",
    719: f"the test kernel failed on the GPU; {_HUNG}",
    800: "the operation is not permitted: check the GPU's compute mode (nvidia-smi -q -d COMPUTE) and the"
    " limits of the container",
    802: "the system is not ready: start NVIDIA's fabric manager (systemctl start nvidia-fabricmanager), and"
    " check that its version is the driver's",
    803: "the kernel's driver and libcuda are of different versions: restart the machine after an update of"
    " the driver; in a container, do not bring a libcuda of its own",
    804: "this libcuda is a compatibility package, which this GPU does not support: take its directory"
    " ('compat') off LD_LIBRARY_PATH, or update NVIDIA's driver",
    999: f"often /dev/nvidia* may not be opened; else {_HUNG}",
}
"""By CUresult: what it means here, and what to do. 35 is CUDA's runtime's; no driver should say it."""

_ABOUT_NODES = (NO_DEVICE, 304, 999)
_READ_WRITE = os.R_OK | os.W_OK


def in_words(error: CudaError, *, nodes: str = "/dev", platform: str, wsl: bool = False) -> str:
    """Say which call failed, how, what that means, and what to do.

    Args:
        error: what the driver answered.
        nodes: the directory of the device nodes, which say more than some results do.
        platform: as `sys.platform` spells it; only Linux has such nodes.
        wsl: whether this is Linux under Windows, which has none of them either.
    """
    advice = ADVICE.get(error.result, "look the number up in NVIDIA's CUDA driver API reference")
    concrete = ""
    if error.result in _ABOUT_NODES and platform == "linux" and not wsl:
        concrete = problem_with_nodes(nodes)
    return f"{error}: {concrete or advice}"


def problem_with_nodes(directory: str, may: Callable[[str, int], bool] = os.access) -> str:
    """Say what keeps the driver from its device nodes; "" when nothing does.

    Args:
        directory: `/dev`.
        may: whether this process may open a path in that way.
    """
    control = f"{directory}/nvidiactl"
    if not os.path.exists(control):  # noqa: PTH110 - a probe does without pathlib
        return (
            f"there is no {control}: load the kernel's driver (modprobe nvidia), or, in a container, start it"
            " with GPUs (docker run --gpus all, NVIDIA Container Toolkit)"
        )
    paths = [f"{directory}/{name}" for name in sorted(os.listdir(directory)) if is_node(name)]  # noqa: PTH208
    if forbidden := [path for path in paths if not may(path, _READ_WRITE)]:
        group = os.stat(forbidden[0]).st_gid  # noqa: PTH116
        return f"no permission to open {', '.join(forbidden)}: {remedy(group)}"
    return ""


def is_node(name: str) -> bool:
    """Whether a name in `/dev` is of a node that CUDA opens: `nvidiactl`, `nvidia-uvm`, `nvidia0`."""
    return name in {"nvidiactl", "nvidia-uvm"} or (name.startswith("nvidia") and name[6:].isdigit())


def remedy(number: int) -> str:
    """Say how to get permission for nodes of a group, which is given by its number."""
    import grp  # only Unix has it, and only there are nodes

    if number == 0:
        return "ask for permission for everybody (mode 0666), which is the driver's own setting"
    try:
        group = grp.getgrgid(number).gr_name
    except KeyError:
        group = str(number)
    return f"join the group '{group}' (usermod -aG {group} yourself, then log in again)"
