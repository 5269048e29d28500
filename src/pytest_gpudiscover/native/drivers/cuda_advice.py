"""CUDA: what to do about a result of its driver.

What the results mean is from NVIDIA's CUDA driver API reference and NVML API reference.
"""

from __future__ import annotations

from pytest_gpudiscover.native.drivers.cuda_api import CudaError
from pytest_gpudiscover.native.drivers.cuda_slices import LOST
from pytest_gpudiscover.native.drivers.cuda_system import problem_with_nodes, versions_that_differ

NO_DEVICE = 100

_HUNG = "the GPU may be lost: look for 'Xid' in the kernel's log, and reset it or restart the machine"

ADVICE = {
    2: "the GPU has no memory left for a context (some 300 MB): end what else runs on it",
    3: "the driver was not initialised: restart the machine",
    34: "this libcuda is the stub that CUDA's toolkit brings for linking: take its directory ('stubs') off"
    " LD_LIBRARY_PATH, and install NVIDIA's driver",
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
    222: "the driver is too old for the test kernel (PTX 6.0, of CUDA 9.0): update NVIDIA's driver",
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
    805: "the server of MPS cannot be reached: start it (nvidia-cuda-mps-control -d), or take"
    " CUDA_MPS_PIPE_DIRECTORY out of the environment",
    807: "the server of MPS is not ready: ask again, or end it (echo quit | nvidia-cuda-mps-control)",
    999: f"often /dev/nvidia* may not be opened; else {_HUNG}",
}
"""By CUresult: what it means here, and what to do."""

ASK_NVML = (3, NO_DEVICE, 304, 999)
"""Results that NVML may say more of."""
_ABOUT_NODES = (NO_DEVICE, 304, 999)
_MISMATCH = 803
_NO_DEVICE_IN_WSL = (
    "the driver sees no GPU: remove NVIDIA's Linux driver packages from WSL, whose own library is in"
    " /usr/lib/wsl/lib, and check that the driver for Windows is installed"
)

_NVML_SAYS = {
    4: "that it has no permission to talk to the driver",
    9: "that the kernel's driver is not loaded: load it (modprobe nvidia), or install NVIDIA's driver again",
    17: "that the driver's control device is blocked: check the limits of the container",
    18: "that the kernel's driver and the libraries are of different versions: restart the machine after an"
    " update of the driver",
}


def in_words(error: CudaError, *, root: str = "", platform: str, wsl: bool = False) -> str:
    """Say which call failed, how, what that means, and what to do.

    Args:
        error: what the driver answered.
        root: the root of the file system, "" for `/`: nodes and versions there say more than some results do.
        platform: as `sys.platform` spells it; only Linux has such nodes.
        wsl: whether this is Linux under Windows, which has none of them either.
    """
    advice = ADVICE.get(error.result, "look the number up in NVIDIA's CUDA driver API reference")
    concrete = _NO_DEVICE_IN_WSL if wsl and error.result == NO_DEVICE else ""
    if platform == "linux" and not wsl:
        if error.result in _ABOUT_NODES:
            concrete = problem_with_nodes(root)
        if error.result == _MISMATCH:
            concrete = versions_that_differ(root)
    return f"{error}: {concrete or advice}"


def nvml_in_words(state: int, *, lost: bool) -> str:
    """Say what NVML adds to a refusal of CUDA's; "" when that is nothing.

    Args:
        state: the nvmlReturn_t of its initialisation.
        lost: whether it knows of a card that has fallen off the bus.
    """
    if lost:
        return f"; {LOST}"
    return f"; NVML says {_NVML_SAYS[state]}" if state in _NVML_SAYS else ""
