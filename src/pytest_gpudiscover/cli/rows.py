"""The devices of a report as the words of a table. Pure: no terminal here."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.text import GIB, printable

_LIMIT = 160
"""Characters of one cell; a longer text ends in an ellipsis. `--json` has it whole."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One device in words, free of control characters; "" where nothing is known.

    Attributes:
        library: the GPU library.
        variant: the variant that serves the device.
        id: the id, and the token of a mask where that is another.
        description: the product name, and what is special about the device.
        compute: the compute capability.
        driver: the driver's version.
        memory: free and total, in GiB.
        pci_id: as the runner sent it.
    """

    library: str
    variant: str
    id: str
    description: str
    compute: str
    driver: str
    memory: str
    pci_id: str


def row(device: DeviceInfo) -> Row:
    """Put a device into words."""
    return Row(
        library=printable(device.library, _LIMIT),
        variant=printable(device.variant, _LIMIT),
        id=_id(device),
        description=" ".join([printable(device.description or device.name, _LIMIT), *_marks(device)]),
        compute=printable(device.compute, _LIMIT),
        driver=printable(device.driver, _LIMIT),
        memory=f"{device.free_memory / GIB:.1f} of {device.total_memory / GIB:.1f}",
        pci_id=printable(device.pci_id, _LIMIT),
    )


def _id(device: DeviceInfo) -> str:
    renumbered = device.filtered_id not in ("", device.id)
    return printable(f"{device.id} (in masks: {device.filtered_id})" if renumbered else device.id, _LIMIT)


def _marks(device: DeviceInfo) -> list[str]:
    marks = ["integrated"] * device.integrated + ["free memory is stale"] * device.stale
    return [f"({', '.join(marks)})"] if marks else []
