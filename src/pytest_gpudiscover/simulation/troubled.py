"""Machines on which something is wrong: what the ready-made fixtures of the plugin build.

Their GPUs have names that say what they do, so that tests can refer to them. Only the variants that show the
trouble are there. The figures are made up.
"""

from __future__ import annotations

from typing import Any

from pytest_gpudiscover.simulation.hosts import FakeHost

SLOW_START = 0.25
"""Seconds that each runner of `rocm` on the slow machine takes before it can be asked."""


def crashing() -> FakeHost:
    """`healthy` and `crashing` through CUDA, and `radeon`, which ROCm dies of as soon as it lists it."""
    return FakeHost(
        {
            "gpu": [
                _gpu("healthy", "NVIDIA GeForce RTX 4090", 1, 24, compute="8.9"),
                _gpu("crashing", "NVIDIA GeForce RTX 3090", 2, 24, compute="8.6"),
                _gpu("radeon", "AMD Radeon RX 7900 XTX", 3, 24, compute="gfx1100"),
            ],
            "variant": {
                "cuda_v13": {"library": "CUDA", "devices": ["healthy", "crashing"]},
                "rocm": {"library": "ROCm", "devices": ["radeon"]},
            },
            "fault": [
                {"name": "crash_deep", "device": "crashing", "signal": "SEGV"},
                {"name": "crash_enumerate", "device": "radeon", "signal": "ABRT"},
            ],
        }
    )


def slow() -> FakeHost:
    """`healthy` and `hanging` through CUDA, and `slow` through ROCm, each of whose runners starts late."""
    return FakeHost(
        {
            "gpu": [
                _gpu("healthy", "NVIDIA GeForce RTX 4090", 1, 24, compute="8.9"),
                _gpu("hanging", "NVIDIA GeForce RTX 3090", 2, 24, compute="8.6"),
                _gpu("slow", "AMD Radeon RX 7900 XTX", 3, 24, compute="gfx1100"),
            ],
            "variant": {
                "cuda_v13": {"library": "CUDA", "devices": ["healthy", "hanging"]},
                "rocm": {"library": "ROCm", "devices": ["slow"]},
            },
            "fault": [
                {"name": "hang_deep", "device": "hanging"},
                {"name": "slow_start", "variant": "rocm", "seconds": SLOW_START},
            ],
        }
    )


def duplicate() -> FakeHost:
    """`both` through CUDA and Vulkan, which write its PCI id differently, and two twins without any."""
    twins = [_gpu(name, "Intel(R) Arc(tm) A770 Graphics", None, 16) for name in ("twin", "other_twin")]
    seen_by_vulkan = {
        "gpu": "both",
        "id": "00000000-0100-0000-0000-000000000000",
        "pci_id": "00000000:01:00.0",
    }
    return FakeHost(
        {
            "gpu": [_gpu("both", "NVIDIA GeForce RTX 4090", 1, 24, compute="8.9"), *twins],
            "variant": {
                "cuda_v13": {"library": "CUDA", "devices": ["both"]},
                "vulkan": {"library": "Vulkan", "devices": [seen_by_vulkan, "twin", "other_twin"]},
            },
        }
    )


def integrated() -> FakeHost:
    """Through CUDA `shared`, which shares the system's memory, and `card`; through Vulkan `apu`."""
    return FakeHost(
        {
            "gpu": [
                _gpu("shared", "NVIDIA GB10", 1, 120, compute="12.1", integrated=True, free_memory="512 MiB"),
                _gpu("card", "NVIDIA GeForce RTX 4090", 2, 24, compute="8.9", free_memory="23 GiB"),
                _gpu("apu", "AMD Radeon 780M Graphics", 3, 16, integrated=True, free_memory="14 GiB"),
            ],
            "variant": {
                "cuda_v13": {"library": "CUDA", "devices": ["shared", "card"]},
                "vulkan": {"library": "Vulkan", "devices": ["apu"]},
            },
        }
    )


def _gpu(name: str, description: str, bus: int | None, gibibytes: int, **figures: Any) -> dict[str, Any]:
    return {
        "name": name,
        "description": description,
        "pci_id": "" if bus is None else f"0000:{bus:02x}:00.0",
        "total_memory": f"{gibibytes} GiB",
        **figures,
    }
