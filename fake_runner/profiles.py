"""A catalogue of real cards: what public logs show of each, and where.

Plain data, imported only by a host file that names a card (`profile = "RTX 4090"`) and by who lists them.
Memory is what a tool printed for that card, at the precision it printed; `precision` says which that is, and
nothing is made up below it. docs/profiles.md shows the catalogue as a table.

Compute capabilities are those of NVIDIA's pages "CUDA GPU Compute Capability" and "Legacy CUDA GPU Compute
Capability"; gfx targets are those that the same logs print, or Gentoo's list of `amdgpu_targets` gives.
"""

from __future__ import annotations

MIB = 2**20
GIB = 2**30

EXACT = "bytes"
"""Printed in bytes, or in KiB."""
WHOLE_MIB = "MiB"
"""Printed in whole MiB."""
TENTH_GIB = "0.1 GiB"
"""Printed in GiB with one decimal."""

CUDA_13 = "13.0"
"""What the drivers of the branch 580 show: the last branch for Pascal, and new enough for Blackwell."""
HIP_6_3 = "60342.13"
"""HIP 6.3.42134 as a runner of Ollama shows it: 60342134, its last three digits split off."""


class Profile:
    """One kind of card.

    Attributes:
        description: the product name, as CUDA, ROCm or Metal reports it; Vulkan's, where only that knows it.
        vendor: who made the GPU: `NVIDIA`, `AMD`, `Intel` or `Apple`.
        memory: the total, in bytes.
        precision: how that was printed: `bytes`, `MiB` or `0.1 GiB`.
        compute: `8.9` or `gfx1030`; "" where no compute library knows the card.
        driver: the version that its library shows (CUDA's, HIP's); "" where it shows none.
        integrated: whether the library calls it an integrated GPU.
        unified: whether it shares the system's memory, whatever the library calls it.
        vulkan: the name that Vulkan reports; "" where no public log shows the card through Vulkan.
        jetson: whether it is a part of a Jetson board, which has CUDA libraries of its own.
        source: where the memory and the name were seen, on one line.
    """

    __slots__ = (
        "compute",
        "description",
        "driver",
        "integrated",
        "jetson",
        "memory",
        "precision",
        "source",
        "unified",
        "vendor",
        "vulkan",
    )

    def __init__(
        self,
        description: str,
        *,
        vendor: str,
        memory: int,
        source: str,
        precision: str = WHOLE_MIB,
        compute: str = "",
        driver: str = "",
        integrated: bool = False,
        unified: bool = False,
        vulkan: str = "",
        jetson: bool = False,
    ) -> None:
        self.description = description
        self.vendor = vendor
        self.memory = memory
        self.precision = precision
        self.compute = compute
        self.driver = driver
        self.integrated = integrated
        self.unified = unified
        self.vulkan = vulkan
        self.jetson = jetson
        self.source = source

    @property
    def figures(self) -> dict[str, object]:
        """What a `[[gpu]]` of a host file says of this card: its keys, and the values as they stand there."""
        known = {"compute": self.compute, "driver": self.driver}
        return {
            "description": self.description,
            "total_memory": self.memory,
            "integrated": self.integrated,
        } | {key: value for key, value in known.items() if value}


def _nvidia(description: str, mebibytes: int, compute: str, source: str) -> Profile:
    """A card with memory of its own, as `nvidia-smi` shows it; NVIDIA's Vulkan driver uses the same name."""
    return Profile(
        description,
        vendor="NVIDIA",
        memory=mebibytes * MIB,
        compute=compute,
        driver=CUDA_13,
        vulkan=description,
        source=source,
    )


def _amd(description: str, size: int, target: str, source: str, vulkan: str = "") -> Profile:
    """A card with memory of its own; the size in bytes, as ROCm's tools show it."""
    return Profile(
        description,
        vendor="AMD",
        memory=size,
        precision=EXACT,
        compute=target,
        driver=HIP_6_3,
        vulkan=vulkan,
        source=source,
    )


_SMI = "`nvidia-smi --query-gpu=name,memory.total`"
_MODAL = "`nvidia-smi`, in modal-labs/modal-client pull request 2797"

PROFILES = {
    "GTX 1060": _nvidia(
        "NVIDIA GeForce GTX 1060 6GB", 6144, "6.1", f"{_SMI}, in public hardware inventories (535.288.01)"
    ),
    "RTX 2080 Ti": _nvidia(
        "NVIDIA GeForce RTX 2080 Ti", 11264, "7.5", f"{_SMI}, in public hardware inventories (575.57.08)"
    ),
    "RTX 3090": _nvidia(
        "NVIDIA GeForce RTX 3090", 24576, "8.6", "`nvidia-smi`, in noonghunna/club-3090 issue 390"
    ),
    "RTX 4060 Laptop": _nvidia(
        "NVIDIA GeForce RTX 4060 Laptop GPU", 8188, "8.9", "`nvidia-smi`, in microsoft/WSL issue 12584"
    ),
    "RTX 4090": _nvidia(
        "NVIDIA GeForce RTX 4090", 24564, "8.9", f"{_SMI}, in public hardware inventories (590.44.01)"
    ),
    "RTX 5090": _nvidia(
        "NVIDIA GeForce RTX 5090", 32607, "12.0", "`nvidia-smi`, in noonghunna/club-3090 issue 1229"
    ),
    "A100 40GB": _nvidia("NVIDIA A100-SXM4-40GB", 40960, "8.0", _MODAL),
    "A100 80GB": _nvidia(
        "NVIDIA A100-SXM4-80GB", 81920, "8.0", "`nvidia-smi`, in NVIDIA/mig-parted issue 31"
    ),
    "H100": _nvidia("NVIDIA H100 80GB HBM3", 81559, "9.0", "`nvidia-smi`, in NVIDIA/nccl issue 1264"),
    "H200": _nvidia("NVIDIA H200", 143771, "9.0", "`nvidia-smi`, in public cluster guides (580.159.03)"),
    "B200": _nvidia(
        "NVIDIA B200", 183359, "10.0", "`nvidia-smi`, beside public hashcat results (570.172.08)"
    ),
    "L4": _nvidia("NVIDIA L4", 23034, "8.9", _MODAL),
    "Jetson Orin": Profile(
        "Orin",
        vendor="NVIDIA",
        memory=round(61.4 * GIB),
        precision=TENTH_GIB,
        compute="8.7",
        driver="12.2",
        integrated=True,
        unified=True,
        jetson=True,
        source="Ollama's log of a Jetson AGX Orin 64GB, in ollama/ollama issue 3406",
    ),
    "DGX Spark": Profile(
        "NVIDIA GB10",
        vendor="NVIDIA",
        memory=128501256192,
        precision=EXACT,
        compute="12.1",
        driver=CUDA_13,
        integrated=True,
        unified=True,
        source="the system's memory, as NVML has no figure for this GPU, in leptonai/gpud pull request 1170",
    ),
    "MI210": _amd(
        "AMD Instinct MI210", 68702699520, "gfx90a", "`rocminfo`, in ROCm/legacy-rocm-build issue 3460"
    ),
    "MI300X": _amd(
        "AMD Instinct MI300X", 206141652992, "gfx942", "`rocm-smi`, in ROCm/legacy-rocm-build issue 4750"
    ),
    "RX 6700 XT": _amd(
        "AMD Radeon RX 6700 XT",
        12868124672,
        "gfx1031",
        "`rocminfo` of its twin RX 6750 XT, in ollama/ollama issue 6003",
        "AMD Radeon RX 6700 XT (RADV NAVI22)",
    ),
    "RX 7900 XTX": Profile(
        "AMD Radeon RX 7900 XTX",
        vendor="AMD",
        memory=24560 * MIB,
        compute="gfx1100",
        driver=HIP_6_3,
        vulkan="AMD Radeon RX 7900 XTX (RADV NAVI31)",
        source="`lact cli info`, in ilya-zlobintsev/LACT pull request 533",
    ),
    "Radeon 780M": Profile(
        "AMD Radeon 780M Graphics",
        vendor="AMD",
        memory=47104 * MIB,
        compute="gfx1103",
        driver=HIP_6_3,
        integrated=True,
        unified=True,
        vulkan="AMD Radeon 780M Graphics (RADV PHOENIX)",
        source="Vulkan on a machine with 48 GiB, in ggml-org/llama.cpp issue 27998",
    ),
    "Radeon 8060S": Profile(
        "AMD Radeon Graphics",
        vendor="AMD",
        memory=118111600640,
        precision=EXACT,
        compute="gfx1151",
        driver=HIP_6_3,
        integrated=True,
        unified=True,
        vulkan="Radeon 8060S Graphics (RADV GFX1151)",
        source="HIP on a machine with 128 GB, in ROCm/rocm-systems pull request 8475",
    ),
    "Arc A770": Profile(
        "Intel(R) Arc(tm) A770 Graphics (DG2)",
        vendor="Intel",
        memory=17079205888,
        precision=EXACT,
        vulkan="Intel(R) Arc(tm) A770 Graphics (DG2)",
        source="`vulkaninfo`, in doitsujin/dxvk issue 3384",
    ),
    "Arc B580": Profile(
        "Intel(R) Arc(tm) B580 Graphics (BMG G21)",
        vendor="Intel",
        memory=12216 * MIB,
        vulkan="Intel(R) Arc(tm) B580 Graphics (BMG G21)",
        source="`llama-server --list-devices`, in public guides to llama.cpp's Vulkan image",
    ),
    "UHD Graphics 770": Profile(
        "Intel(R) UHD Graphics 770",
        vendor="Intel",
        memory=32606 * MIB,
        integrated=True,
        unified=True,
        vulkan="Intel(R) UHD Graphics 770",
        source="`llama-server --list-devices` with 64 GB on Windows, in HilbertraumAI/HilbertRaum issue 318",
    ),
    "Apple M2 Max": Profile(
        "Apple M2 Max",
        vendor="Apple",
        memory=73728 * MIB,
        unified=True,
        source="recommendedMaxWorkingSetSize with 96 GB, in ggml-org/llama.cpp issue 3213",
    ),
}
"""The cards by name."""

PROFILES["A100"] = PROFILES["A100 80GB"]
