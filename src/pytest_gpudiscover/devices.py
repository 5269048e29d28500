"""What a device is, and when two of them are one.

Pure data and rules: nothing here does I/O or knows the time.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple


class Comparison(enum.Enum):
    """How two listed devices relate."""

    UNIQUE = "unique"
    """Two GPUs, as far as can be told."""
    SAME_BACKEND = "same_backend"
    """One GPU, listed twice by one library."""
    DUPLICATE = "duplicate"
    """One GPU, seen through two libraries."""


@dataclass(frozen=True, kw_only=True, order=True)
class DeviceID:
    """What names a device among the survivors of a discovery: the library, and the id within it."""

    library: str
    id: str


class PciAddress(NamedTuple):
    """A PCI address as numbers, so that `0000:C1:00.0` and `00000000:c1:00.0` are one address."""

    domain: int
    bus: int
    device: int
    function: int


_FULL_PCI_ID = re.compile(
    r"(?:([0-9a-f]{1,8}):)([0-9a-f]{1,2}):([0-9a-f]{1,2})\.([0-9a-f])", re.ASCII | re.IGNORECASE
)
_SHORT_PCI_ID = re.compile(r"([0-9a-f]{1,2}):([0-9a-f]{1,2})\.([0-9a-f])", re.ASCII | re.IGNORECASE)


@lru_cache  # a machine has few, and they are compared again and again
def pci_address(pci_id: str) -> PciAddress | None:
    """Read a PCI id in either form a runner sends; None when there is none or it cannot be read.

    `0000:01:00.0` is domain:bus:device.function. In the short form `01:00.0`, which the first releases of
    Ollama's runner sent, the last digit is the *domain*, and the function is 0.
    """
    if full := _FULL_PCI_ID.fullmatch(pci_id):
        domain, bus, device, function = (int(part, 16) for part in full.groups())
        return PciAddress(domain, bus, device, function)
    if short := _SHORT_PCI_ID.fullmatch(pci_id):
        bus, device, domain = (int(part, 16) for part in short.groups())
        return PciAddress(domain, bus, device, 0)
    return None


def is_number(device_id: str) -> bool:
    """Whether an id is a position (`0`, `12`) and no UUID. Only ASCII digits count."""
    return device_id.isascii() and device_id.isdigit()


@dataclass(frozen=True, kw_only=True)
class DeviceInfo:
    """One GPU as one library reports it.

    Attributes:
        id: a UUID such as `GPU-...`, or after discovery the position among the library's survivors.
        library: `CUDA`, `ROCm`, `Vulkan`, `Metal`, `Level Zero`, or whatever a runner called it.
        variant: the directory of libraries that was probed (`cuda_v13`); "" for none.
        name: the library's own name for it (`CUDA0`).
        description: the product name.
        filtered_id: for a numeric id, the token that a mask must use to show this device; else "".
        integrated: whether it shares the system's memory.
        pci_id: as the runner sent it; "" where the library has none. Compare with `pci_address`.
        total_memory: bytes.
        free_memory: bytes.
        compute_major: with `compute_minor`, the compute capability; 0 or -1 where the library has none.
        compute_minor: see `compute_major`. ROCm packs hexadecimal: gfx1030 is 16 and 48.
        driver_major: with `driver_minor`, the version the driver supports; 0 where unknown.
        driver_minor: see `driver_major`.
        library_path: the directories the runner says it loaded its libraries from.
        stale: whether a refresh could not update `free_memory`.
        index: the position in the library's raw enumeration, where the runner knows it.
        gfx_target: ROCm's target as text (`gfx90a`), where the runner sends it.
    """

    id: str
    library: str
    variant: str = ""
    name: str = ""
    description: str = ""
    filtered_id: str = ""
    integrated: bool = False
    pci_id: str = ""
    total_memory: int = 0
    free_memory: int = 0
    compute_major: int = 0
    compute_minor: int = 0
    driver_major: int = 0
    driver_minor: int = 0
    library_path: tuple[str, ...] = ()
    stale: bool = False
    index: int | None = None
    gfx_target: str = ""

    @property
    def device_id(self) -> DeviceID:
        """The library and the id."""
        return DeviceID(library=self.library, id=self.id)

    @property
    def compute(self) -> str:
        """The compute capability as people write it: `8.9`, `gfx1030`; "" where the library has none."""
        if self.gfx_target:
            return self.gfx_target
        if self.compute_major <= 0:
            return ""
        if self.library == "ROCm":
            return f"gfx{self.compute_major:x}{max(self.compute_minor, 0):02x}"
        return f"{self.compute_major}.{self.compute_minor}"

    @property
    def driver(self) -> str:
        """The driver's version as people write it: `13.0`; "" where unknown."""
        if self.driver_major <= 0:
            return ""
        return f"{self.driver_major}.{self.driver_minor}"

    @property
    def runner_id(self) -> str:
        """The id before renumbering: what tells two numbered devices of one library apart."""
        return self.filtered_id or self.id

    def compare(self, other: DeviceInfo) -> Comparison:
        """Tell whether `other` is the same GPU.

        Equal PCI addresses make one GPU, except that two UUIDs of one library at one address are two slices
        of a partitioned card (MIG). Where either has no PCI id, only the same library and the same id as the
        runner gave it make one device: two identical cards are two cards.
        """
        same_library = self.library == other.library
        mine, theirs = pci_address(self.pci_id), pci_address(other.pci_id)
        if mine is None or theirs is None:
            same = same_library and self.runner_id == other.runner_id
            return Comparison.SAME_BACKEND if same else Comparison.UNIQUE
        if mine != theirs:
            return Comparison.UNIQUE
        if not same_library:
            return Comparison.DUPLICATE
        slices = self.id != other.id and not is_number(self.id) and not is_number(other.id)
        return Comparison.UNIQUE if slices else Comparison.SAME_BACKEND
