"""Ready-made machines: `MACHINES` names them, and each call builds one.

`@pytest.mark.parametrize("machine", MACHINES)` runs a test on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pytest_gpudiscover.simulation.hosts import FakeHost
from pytest_gpudiscover.simulation.profiles import BUILDS, document_of
from pytest_gpudiscover.text import GIB

_CUDA = ("cuda_v13", "cuda_v12")
_EVERYTHING = (*_CUDA, "rocm", "vulkan")
_LLVMPIPE = {
    "name": "llvmpipe",
    "description": "llvmpipe (LLVM 20.1.8, 256 bits)",
    "total_memory": 2 * GIB,
}
"""Mesa's CPU renderer, named as in ggml-org/llama.cpp pull request 19846; its heap was seen on Debian."""


def hybrid_laptop() -> FakeHost:
    """A laptop with an NVIDIA GPU, which CUDA uses, and an integrated Radeon that only Vulkan can use."""
    return _machine(["RTX 4060 Laptop", "Radeon 780M"], pci_ids=["0000:01:00.0", "0000:c5:00.0"])


def eight_h100() -> FakeHost:
    """A server with eight H100, at addresses like those of an HGX board: each behind a switch of its own.

    The first two are those of NVIDIA/nccl issue 1264; the rest go on in the same way.
    """
    buses = ("18", "2a", "3a", "5d", "9a", "ab", "ba", "db")
    return _machine(["H100"] * len(buses), pci_ids=[f"0000:{bus}:00.0" for bus in buses])


def mixed_workstation() -> FakeHost:
    """A workstation with a card of each maker: CUDA, ROCm and Vulkan have one each to use."""
    return _machine(["RTX 4090", "RX 7900 XTX", "Arc A770"])


def two_generations() -> FakeHost:
    """A card that CUDA 13 dropped beside one that CUDA 12.4 does not know: no variant covers both."""
    return _machine(["GTX 1060", "RTX 5090"])


def jetson() -> FakeHost:
    """A Jetson AGX Orin with JetPack 6: one integrated GPU without a PCI address, in a CUDA of its own."""
    return _machine(["Jetson Orin"], variants=["cuda_jetpack6"])


def apple() -> FakeHost:
    """A Mac with an M2 Max: one GPU through Metal, from a runner that has everything built in."""
    return _machine(["Apple M2 Max"], variants=[""])


def wsl() -> FakeHost:
    """Linux on Windows with an NVIDIA card: CUDA has it, and Vulkan lists nothing but the CPU.

    NVIDIA has no Vulkan driver for it (KhronosGroup/Vulkan-Loader issue 1455). The card and its address are
    those of microsoft/WSL issue 12584.
    """
    return _with_llvmpipe(document_of(["RTX 4060 Laptop"], variants=_CUDA, pci_ids=["0000:06:00.0"]))


def cpu_only() -> FakeHost:
    """No GPU: CUDA and ROCm list nothing, and Vulkan lists the CPU posing as one, which is refused."""
    nothing = {name: {"library": BUILDS[name].library, "devices": []} for name in (*_CUDA, "rocm")}
    return _with_llvmpipe({"gpu": [], "variant": nothing})


MACHINES: Mapping[str, Callable[[], FakeHost]] = MappingProxyType(
    {
        build.__name__: build
        for build in (
            hybrid_laptop,
            eight_h100,
            mixed_workstation,
            two_generations,
            jetson,
            apple,
            wsl,
            cpu_only,
        )
    }
)
"""The machines by name: `MACHINES["hybrid_laptop"]()`."""


def _machine(
    cards: Sequence[str], *, variants: Sequence[str] = _EVERYTHING, pci_ids: Sequence[str] = ()
) -> FakeHost:
    return FakeHost(document_of(cards, variants=variants, pci_ids=pci_ids))


def _with_llvmpipe(document: Mapping[str, Any]) -> FakeHost:
    """The same machine where Mesa's Vulkan drivers are installed and find no GPU."""
    refused = {"reason": "cpu", "detail": f"{_LLVMPIPE['description']} is a CPU posing as a GPU"}
    vulkan = {"library": "Vulkan", "devices": [{"gpu": _LLVMPIPE["name"], "unusable": refused}]}
    return FakeHost(
        {
            **document,
            "gpu": [*document["gpu"], _LLVMPIPE],
            "variant": {**document["variant"], "vulkan": vulkan},
        }
    )
