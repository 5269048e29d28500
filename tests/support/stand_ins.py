"""Native runners on the cards of the stand-in drivers in tests/native, and what a discovery keeps of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_gpudiscover import Report
    from tests.native.conftest import NativeRunner, Start

GIB = 1024**3
L4 = "GPU-0a000000-0102-0304-0506-0708090a0b0c"
H100 = "GPU-c1000000-0102-0304-0506-0708090a0b0c"
A770 = "a7a7a7a7-a7a7-a7a7-a7a7-a7a7a7a7a7a7"
B580 = "b5b5b5b5-b5b5-b5b5-b5b5-b5b5b5b5b5b5"
THROUGH_VULKAN = ("vulkan", "0001:c1:1f.7")
"""The card of Vulkan's stand-in, where every other stand-in has one as well."""


def runner(driver: str, start: Start, *directories: str, **variables: str) -> NativeRunner:
    """Start a runner for a driver whose libraries are looked for in these directories."""
    return start(GPUDISCOVER_DRIVER=driver, LD_LIBRARY_PATH=":".join(directories), **variables)


def asked(driver: str, start: Start, *directories: str, **variables: str) -> list[dict[str, Any]]:
    """Start a runner on such a machine, and ask it."""
    return runner(driver, start, *directories, **variables).devices()


def refused(driver: str, start: Start, *directories: str, **variables: str) -> str:
    """What a runner says that has no devices to list, but an error."""
    status, _, body = runner(driver, start, *directories, **variables).get()
    assert status == 500
    return body


def kept(report: Report) -> list[tuple[str, str]]:
    """The variant and the PCI id of each usable device."""
    return [(device.variant, device.pci_id) for device in report.devices]
