"""What a machine is, as far as a discovery depends on it. Pure: data, and what follows from it alone.

Where each fact is read: `gathering`. Paths are those that the machine's own processes use. What is not there,
or cannot be read, is missing, "" or None: nothing here raises for a strange machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

NVIDIA, AMD, INTEL = "NVIDIA", "AMD", "Intel"

_VENDORS = {0x10DE: NVIDIA, 0x1002: AMD, 0x8086: INTEL}
"""By vendor id of the PCI bus: those whose cards compute."""
_GIVEN_AWAY = frozenset({"vfio-pci", "pci-stub", "pciback"})
_DRIVERS = {"nvidia": NVIDIA, "amdgpu": AMD, "i915": INTEL, "xe": INTEL}


@dataclass(frozen=True, kw_only=True)
class Module:
    """A kernel driver that is loaded.

    Attributes:
        name: `nvidia`, `nvgpu` (of Jetson's chips), `amdgpu`, `i915`, `xe`, `nouveau`, `radeon`.
        version: its own; "" for one that comes with the kernel.
    """

    name: str
    version: str = ""

    @property
    def vendor(self) -> str:
        """Whose cards it drives for computing; "" for nobody's."""
        return _DRIVERS.get(self.name, "")


@dataclass(frozen=True, kw_only=True)
class Card:
    """A display controller or processing accelerator on the PCI bus.

    Attributes:
        pci_id: `0000:01:00.0`.
        vendor_id: of the PCI bus.
        device_id: of the PCI bus.
        driver: the kernel driver that has it; "" for none.
        model: its product name, where the driver tells.
        uuid: what a mask may call it, where the driver tells: `GPU-...`.
    """

    pci_id: str
    vendor_id: int
    device_id: int = 0
    driver: str = ""
    model: str = ""
    uuid: str = ""

    @property
    def vendor(self) -> str:
        """Whose it is; "" for a card that only shows pictures, such as a server's or a virtual machine's."""
        return _VENDORS.get(self.vendor_id, "")

    @property
    def served(self) -> bool:
        """Whether the driver that has it is one that computes."""
        return _DRIVERS.get(self.driver) == self.vendor != ""

    @property
    def given_away(self) -> bool:
        """Whether it is held for a virtual machine."""
        return self.driver in _GIVEN_AWAY

    def __str__(self) -> str:
        name = self.model or f"{self.vendor} card {self.vendor_id:04x}:{self.device_id:04x}"
        return f"{name} at {self.pci_id}"


@dataclass(frozen=True, kw_only=True)
class Node:
    """A device node.

    Attributes:
        path: `/dev/nvidia0`.
        owner: the owner's name, or number.
        group: the group's name; "" where the number has none.
        gid: the group's number.
        mode: the permission bits.
        openable: whether this user may open it for reading and writing.
        member: whether the user was made a member of the group, which a running session may not know yet.
    """

    path: str
    owner: str = "root"
    group: str = "root"
    gid: int = 0
    mode: int = 0o666
    openable: bool = True
    member: bool = False

    @property
    def vendor(self) -> str:
        """Whose cards it leads to; "" for a render node, which may be of any."""
        name = self.path.removeprefix("/dev/")
        return NVIDIA if name.startswith("nvidia") else AMD if name == "kfd" else ""


@dataclass(frozen=True, kw_only=True)
class Library:
    """A file that the system's loader may take for a library.

    Attributes:
        name: what it is loaded by: `libcuda.so.1`.
        path: where it lies.
        target: the name of the file behind its links: `libcuda.so.550.54.14`.
        named_by_user: whether `LD_LIBRARY_PATH` leads there.
    """

    name: str
    path: str
    target: str
    named_by_user: bool = False

    @property
    def version(self) -> str:
        """What stands behind `.so.` in the name of the file; "" for nothing that tells more than the name."""
        version = self.target.partition(".so.")[2]
        return version if "." in version else ""

    @property
    def stub(self) -> bool:
        """Whether it is one of those that CUDA's toolkit brings for linking."""
        return PurePosixPath(self.path).parent.name == "stubs"

    @property
    def compatible(self) -> bool:
        """Whether it is of NVIDIA's package for forward compatibility, which is newer than the driver."""
        return "compat" in PurePosixPath(self.path).parent.parts


@dataclass(frozen=True, kw_only=True)
class Container:
    """The container that we are in.

    Attributes:
        kind: `docker`, `podman`, `kubernetes`, `containerd`, `lxc`, or what systemd was told.
        evidence: what tells.
    """

    kind: str
    evidence: str


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What this process may use; None: as much as there is, or unknown.

    Attributes:
        files: open files.
        processes: processes and threads of the user.
        locked: bytes of locked memory.
        memory: bytes that the control group may use.
    """

    files: int | None = None
    processes: int | None = None
    locked: int | None = None
    memory: int | None = None


@dataclass(frozen=True, kw_only=True)
class Ollama:
    """An installation of Ollama on PATH.

    Attributes:
        path: the executable.
        root: where its libraries are.
        variants: those that are there.
        problem: why it cannot be asked; "" when it can.
    """

    path: str
    root: str = ""
    variants: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class LeaseFolder:
    """Where leases are written down.

    Attributes:
        path: of the directory, which need not be there yet.
        problem: why nothing can be written there; "" when it can.
    """

    path: str
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Everything that a discovery depends on.

    Attributes:
        system: as `Surroundings` has it. The kernel, cards, nodes, libraries and containers are Linux's.
        user: who we are.
        kernel: its release; WSL's names Microsoft.
        modules: the kernel drivers that are loaded, as far as they are of GPUs.
        cards: on the PCI bus.
        rocm: the UUIDs of the GPUs that AMD's kernel driver shows for computing, of which a card may have
            several; "" for one that has none. Empty where there are none, or nobody knows.
        nodes: those that lead to GPUs.
        libraries: the files for each name, in the order in which the loader looks.
        variables: those of the environment that change what a discovery finds.
        absent_files: of the files that `VK_DRIVER_FILES` and its like name, those that are not there.
        container: the one we are in; None: none.
        limits: what we may use.
        ollama: on PATH; None: none.
        leases: where they are written.
    """

    system: str = "linux"
    user: str = ""
    kernel: str = ""
    modules: tuple[Module, ...] = ()
    cards: tuple[Card, ...] = ()
    rocm: tuple[str, ...] = ()
    nodes: tuple[Node, ...] = ()
    libraries: tuple[Library, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    absent_files: tuple[str, ...] = ()
    container: Container | None = None
    limits: Limits = field(default_factory=Limits)
    ollama: Ollama | None = None
    leases: LeaseFolder | None = None

    @property
    def wsl(self) -> bool:
        """Whether this is Linux under Windows, where one node leads to every GPU."""
        return "microsoft" in self.kernel.lower()

    def cards_of(self, *vendors: str) -> list[Card]:
        """The cards of these vendors."""
        return [card for card in self.cards if card.vendor in vendors]

    def module(self, name: str) -> Module | None:
        """A kernel driver; None when it is not loaded."""
        return next((module for module in self.modules if module.name == name), None)

    def library(self, name: str) -> Library | None:
        """The file that the loader takes first; None when there is none."""
        return next((library for library in self.libraries if library.name == name), None)

    def drives(self, vendor: str) -> bool:
        """Whether the kernel, which containers share with their host, has a GPU of a vendor in hand."""
        if self.cards:
            return any(card.served for card in self.cards_of(vendor))
        return any(module.vendor == vendor for module in self.modules)

    def has_nodes_of(self, vendor: str) -> bool:
        """Whether any node is there that leads to a vendor's cards, or may."""
        may_lead = ("", vendor) if vendor != NVIDIA else (vendor,)
        return any(node.vendor in may_lead for node in self.nodes)

    def has_gpu_of(self, vendor: str) -> bool:
        """Whether anything tells of a GPU of a vendor: a card, a driver that is loaded, or a node."""
        has_node = any(node.vendor == vendor for node in self.nodes)
        has_card = any(not card.given_away for card in self.cards_of(vendor))
        return has_node or has_card or self.drives(vendor)

    @property
    def has_gpu(self) -> bool:
        """Whether anything tells of a GPU that computes."""
        under_windows = any(node.path == "/dev/dxg" for node in self.nodes)
        return under_windows or any(self.has_gpu_of(vendor) for vendor in (NVIDIA, AMD, INTEL))
