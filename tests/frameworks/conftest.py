"""Stand-in frameworks that know four devices, of which a discovery has found some."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from framework_stand_ins import Site
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

Install = Callable[..., None]
Check = Callable[..., Verdict]


@pytest.fixture
def slices() -> tuple[DeviceInfo, ...]:
    """Two slices of one card, of which CUDA shows a process one at most."""
    return SLICES


@pytest.fixture
def packages(tmp_path: Path) -> Site:
    """Where frameworks are installed."""
    return Site(tmp_path / "site", CARDS)


@pytest.fixture
def site(packages: Site) -> Path:
    """The directory they lie in."""
    return packages.path


@pytest.fixture
def install(packages: Site) -> Install:
    """Install a framework: code to run before it is what it is, and code that changes what it is."""
    return packages.install


@pytest.fixture
def check(site: Path) -> Check:
    """Check one framework against a discovery of both cards."""

    def verdict(name: str, report: Report = BOTH, timeout: float = 60.0, **variables: str) -> Verdict:
        environment = {**os.environ, "PYTHONPATH": str(site), **variables}
        around = Surroundings(environment=environment)
        (found,) = check_frameworks(report, frameworks=[name], timeout=timeout, surroundings=around)
        return found

    return verdict
