"""The registry: which GPU drivers the native runner can ask, and by which libraries each is known.

Importing it loads no driver, and not even `ctypes`: the engine reads it too. A new driver is one module here
with a function `list_devices`, as `Driver.list_devices` describes it, and one entry in `DRIVERS`.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_gpudiscover.native.drivers.interface import Entry

ROOT_VARIABLE = "GPUDISCOVER_ROOT"
"""Names a directory that stands for `/` where the kernel is asked: `/sys` and `/dev` are below it."""
WSL_DEVICE = "/dev/dxg"
"""The one device node of GPUs in Linux under Windows, where the kernel shows nothing else of them."""


class Driver:
    """One kind of GPU driver.

    Attributes:
        variant: what a probe calls it, and the name of its module (`vulkan`).
        library: the library its devices report (`Vulkan`).
        libraries: by platform (as `sys.platform` spells it), the files it can be loaded from, in the order
            they are tried: bare names go through the system's loader, absolute paths are taken as they are.
        install: by platform, what to do when none of them is there.
        traces: by platform, what the kernel shows where the driver is: with one of these it can be asked
            without any of the libraries.
        order: variables that fix the order in which the driver counts its devices, for probes. They would
            change what a user's numbers name, so they are left to users who set them, or a mask of numbers.
    """

    def __init__(
        self,
        *,
        variant: str,
        library: str,
        libraries: Mapping[str, tuple[str, ...]],
        install: Mapping[str, str],
        traces: Mapping[str, tuple[str, ...]] | None = None,
        order: Mapping[str, str] | None = None,
    ) -> None:
        self.variant = variant
        self.library = library
        self.libraries = libraries
        self.install = install
        self.traces = traces or {}
        self.order = order or {}

    def library_names(self, platform: str) -> tuple[str, ...]:
        """The files it can be loaded from on a platform; none where it does not exist."""
        return self.libraries.get(platform, ())

    def missing(self, platform: str) -> str:
        """The sentence for people whose machine lacks it."""
        names = self.library_names(platform)
        if not names:
            known = ", ".join(self.libraries)
            return f"{self.library} is not looked for on {platform}: it is looked for on {known}"
        return f"{names[0]} is not on this machine: {self.install[platform]}"

    def list_devices(self, *, environment: Mapping[str, str], deep: bool) -> list[Entry]:
        """List what the driver shows, in its order, as the mask in `environment` wants it.

        Only the process that is there to ask this driver does this: it loads the library, which may crash or
        hang.

        Args:
            environment: where the library's own mask is read from.
            deep: put each device that is for use to work, and mark the ones that fail.

        Raises:
            DriverError: the driver refuses as a whole.
        """
        module = importlib.import_module(f"{__name__}.{self.variant}")
        entries: list[Entry] = module.list_devices(environment=environment, deep=deep)
        return entries


# Untested so far: real GPUs, and everything but Linux. Under WSL the library lies where no loader may look.
CUDA = Driver(
    variant="cuda",
    library="CUDA",
    libraries={
        "linux": ("libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"),
        "win32": ("nvcuda.dll",),
    },
    install={
        "linux": "if there is an NVIDIA GPU, install NVIDIA's driver (under WSL, the one for Windows), and"
        " start containers with GPUs (docker run --gpus all)",
        "win32": "if there is an NVIDIA GPU, install NVIDIA's driver",
    },
    order={"CUDA_DEVICE_ORDER": "PCI_BUS_ID"},
)

# Untested so far: real GPUs, and everything but Linux. The number is ROCm's major version; the plain name is
# what PyTorch brings along.
ROCM = Driver(
    variant="rocm",
    library="ROCm",
    libraries={
        "linux": (
            "libamdhip64.so.7",
            "libamdhip64.so.6",
            "libamdhip64.so.5",
            "libamdhip64.so",
            "/opt/rocm/lib/libamdhip64.so",
        ),
        "win32": ("amdhip64_7.dll", "amdhip64_6.dll", "amdhip64.dll"),
    },
    install={
        "linux": "if there is an AMD GPU, load the kernel's driver (modprobe amdgpu), install ROCm's HIP"
        " runtime (Debian and Ubuntu: libamdhip64-5; Fedora: rocm-hip; AMD's packages: hip-runtime-amd), and"
        " start containers with --device=/dev/kfd --device=/dev/dri",
        "win32": "if there is an AMD GPU, install AMD's driver and its HIP SDK",
    },
    traces={"linux": ("/sys/class/kfd/kfd/topology/nodes",)},
)

# Untested so far: real Macs. Since macOS 11 only the loader has the framework's file; its directory stays.
METAL = Driver(
    variant="metal",
    library="Metal",
    libraries={
        "darwin": (
            "/System/Library/Frameworks/Metal.framework/Metal",
            "/System/Library/Frameworks/Metal.framework",
        )
    },
    install={"darwin": "macOS 10.15 and later has it"},
)

# Untested so far: real GPUs, and everything but Linux.
LEVEL_ZERO = Driver(
    variant="level_zero",
    library="Level Zero",
    libraries={"linux": ("libze_loader.so.1",), "win32": ("ze_loader.dll",)},
    install={
        "linux": "if there is an Intel GPU, install the loader and Intel's driver (Debian and Ubuntu: libze1"
        " and libze-intel-gpu1)",
        "win32": "if there is an Intel GPU, install Intel's driver, which brings it",
    },
)

# Untested so far: everything but Linux. Homebrew's directories are no places the macOS loader looks at.
VULKAN = Driver(
    variant="vulkan",
    library="Vulkan",
    libraries={
        "linux": ("libvulkan.so.1",),
        "win32": ("vulkan-1.dll",),
        "darwin": (
            "libvulkan.1.dylib",
            "/opt/homebrew/lib/libvulkan.1.dylib",
            "/usr/local/lib/libvulkan.1.dylib",
            "libMoltenVK.dylib",
            "/opt/homebrew/lib/libMoltenVK.dylib",
            "/usr/local/lib/libMoltenVK.dylib",
        ),
    },
    install={
        "linux": "install the Vulkan loader (Debian and Ubuntu: libvulkan1; Fedora: vulkan-loader)",
        "win32": "install the driver of your graphics card, which brings it",
        "darwin": "install the Vulkan loader and MoltenVK (Homebrew: vulkan-loader, molten-vk)",
    },
)

DRIVERS: Mapping[str, Driver] = {driver.variant: driver for driver in (CUDA, ROCM, METAL, LEVEL_ZERO, VULKAN)}
"""Every driver that can be asked, by variant, in the order they are asked."""
