"""Frameworks that are not there: packages named torch, cupy and jax, in a directory on PYTHONPATH.

Each shows the cards of CARDS that CUDA_VISIBLE_DEVICES names, as CUDA would, and then misbehaves as told.
"""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.frameworks.checking import check_frameworks
from pytest_gpudiscover.frameworks.comparing import Verdict
from pytest_gpudiscover.reports import Report
from pytest_gpudiscover.surroundings import Surroundings

GIB = 1 << 30
L4 = DeviceInfo(
    id="GPU-0a000000-0102-0304-0506-0708090a0b0c",
    library="CUDA",
    variant="cuda",
    description="NVIDIA L4",
    pci_id="0000:0a:00.0",
    total_memory=23 * GIB,
)
H100 = DeviceInfo(
    id="GPU-c1000000-0102-0304-0506-0708090a0b0c",
    library="CUDA",
    variant="cuda",
    description="NVIDIA H100",
    pci_id="0001:c1:00.0",
    total_memory=80 * GIB,
)
SLICES = tuple(
    DeviceInfo(
        id=f"MIG-{digit}0000000-0102-0304-0506-0708090a0b0c",
        library="CUDA",
        variant="cuda",
        description="NVIDIA H100 MIG 1g.10gb",
        pci_id="0001:c2:00.0",
        total_memory=10 * GIB,
    )
    for digit in "12"
)
IRIS = DeviceInfo(id="0", library="Vulkan", variant="vulkan", description="Iris", index=0, total_memory=GIB)
CARDS = (L4, H100, *SLICES)
BOTH = Report(devices=(L4, H100, IRIS))

_SHOWN = f"""
import json, os, sys
from types import SimpleNamespace

cards = {{one["id"]: one for one in json.loads({json.dumps(json.dumps([vars(one) for one in CARDS]))})}}
whole = [one for one in cards.values() if one["id"].startswith("GPU-")]
mask = os.environ.get("CUDA_VISIBLE_DEVICES")
shown = [cards[name] for name in (cards if mask is None else mask.split(",")) if name in cards]
if any(one["id"].startswith("MIG-") for one in shown):
    del shown[1:]
"""

_TORCH = """
__version__ = "2.9.1"
version = SimpleNamespace(cuda="12.8", hip=None)

def properties(place):
    one = shown[place]
    domain, bus, rest = one["pci_id"].split(":")
    return SimpleNamespace(
        name=one["description"],
        total_memory=one["total_memory"],
        uuid=one["id"].removeprefix("GPU-"),
        pci_domain_id=int(domain, 16),
        pci_bus_id=int(bus, 16),
        pci_device_id=int(rest[:2], 16),
    )

cuda = SimpleNamespace(device_count=lambda: len(shown), get_device_properties=properties)
"""

_CUPY = """
__version__ = "13.6.0"

class CUDARuntimeError(RuntimeError):
    def __init__(self, status):
        super().__init__(f"cudaError {status}")
        self.status = status

def count():
    if not shown:
        raise CUDARuntimeError(int(os.environ.get("STATUS", "100")))
    return len(shown)

def properties(place):
    one = shown[place]
    domain, bus, rest = one["pci_id"].split(":")
    return {
        "name": one["description"].encode(),
        "totalGlobalMem": one["total_memory"],
        "uuid": bytes.fromhex(one["id"].removeprefix("GPU-").replace("-", "")),
        "pciDomainID": int(domain, 16),
        "pciBusID": int(bus, 16),
        "pciDeviceID": int(rest[:2], 16),
    }

runtime = SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError, is_hip=False, getDeviceCount=count, getDeviceProperties=properties
)
cuda = SimpleNamespace(runtime=runtime)
"""

_JAX = """
__version__ = "0.8.0"
client = SimpleNamespace(platform_version="PJRT C API\\ncuda 12080")
found = [SimpleNamespace(platform="gpu", device_kind=one["description"], client=client) for one in shown]

def devices():
    return found or [SimpleNamespace(platform="cpu", device_kind="cpu", client=None)]
"""

_PACKAGES = {"torch": _TORCH, "cupy": _CUPY, "jax": _JAX}
Install = Callable[..., None]
Check = Callable[..., Verdict]


@pytest.fixture
def slices() -> tuple[DeviceInfo, ...]:
    """Two slices of one card, of which CUDA shows a process one at most."""
    return SLICES


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory for packages."""
    directory = tmp_path / "site"
    directory.mkdir()
    return directory


@pytest.fixture
def install(site: Path) -> Install:
    """Install a framework: code to run before it is what it is, and code that changes what it is."""

    def write(name: str, before: str = "", after: str = "") -> None:
        parts = [textwrap.dedent(before), _SHOWN, _PACKAGES[name], textwrap.dedent(after)]
        (site / f"{name}.py").write_text("\n".join(parts), encoding="utf-8")

    return write


@pytest.fixture
def check(site: Path) -> Check:
    """Check one framework against a discovery of both cards."""

    def verdict(name: str, report: Report = BOTH, timeout: float = 60.0, **variables: str) -> Verdict:
        environment = {**os.environ, "PYTHONPATH": str(site), **variables}
        around = Surroundings(environment=environment)
        (found,) = check_frameworks(report, frameworks=[name], timeout=timeout, surroundings=around)
        return found

    return verdict
