"""The files by which a Linux kernel shows AMD's GPUs, as a tree below a directory that stands for `/`.

Figures are those that real machines show; `docs/profiles.md` names the sources of the memory sizes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

GIB = 1024**3
AMD = 0x1002

IDS = """\
# List of AMDGPU IDs
1.0.0
15BF,	C4,	AMD Radeon 780M Graphics
743F,	C1,	AMD Radeon RX 6500 XT
744C,	C8,	AMD Radeon RX 7900 XTX
744C,	CC,	AMD Radeon RX 7900 XT
74A1,	00,	AMD Instinct MI300X OAM
"""


@dataclass(frozen=True, kw_only=True)
class Card:
    """One GPU, as the kernel describes it; sizes in bytes."""

    pci_id: str
    unique_id: int
    device_id: int = 0x744C
    revision: int = 0xC8
    target: int = 110000
    vram: int = 24560 << 20
    vram_used: int = 1 << 30
    gtt: int = 15 * GIB
    gtt_used: int = 0
    minor: int = 128
    product_name: str = ""
    vram_maker: str = ""


def mi300x(place: int) -> Card:
    """One of the eight of a server; each is on a bus of its own."""
    return Card(
        pci_id=f"0000:{0x05 + 0x20 * place:02x}:00.0",
        unique_id=0xA1B2C3D4E5F60000 + place,
        device_id=0x74A1,
        revision=0,
        target=90402,
        vram=206141652992,
        vram_used=297 << 20,
        gtt=1008 * GIB,
        minor=128 + 8 * place,
    )


RX_7900_XTX = Card(pci_id="0000:03:00.0", unique_id=0x00D1E2F3A4B5C6D7, minor=128)
RX_6500_XT = Card(
    pci_id="0000:2d:00.0",
    unique_id=0,
    device_id=0x743F,
    revision=0xC1,
    target=100304,
    vram=4080 << 20,
    vram_used=500 << 20,
    gtt=16 * GIB - (64 << 20),
    gtt_used=100 << 20,
    vram_maker="samsung",
)
"""In a machine with 32 GiB, of which amdgpu lends half, as it does to any GPU."""
RADEON_780M = Card(
    pci_id="0000:c4:00.0",
    unique_id=0,
    device_id=0x15BF,
    revision=0xC4,
    target=110003,
    vram=512 << 20,
    vram_used=300 << 20,
    gtt=14 * GIB,
    gtt_used=GIB,
    minor=129,
)


class Machine:
    """A machine whose kernel shows its GPUs below a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.nodes = root / "sys/class/kfd/kfd/topology/nodes"
        self.write("usr/share/libdrm/amdgpu.ids", IDS)

    @property
    def environment(self) -> dict[str, str]:
        """What makes a native runner look here."""
        return {"GPUDISCOVER_ROOT": str(self.root)}

    def write(self, path: str, text: object) -> None:
        """Write a file below the root."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n", encoding="utf-8")

    def add_processor(self, node: int) -> None:
        """Add a node without a GPU."""
        self._add_node(node, {"cpu_cores_count": 16, "simd_count": 0, "vendor_id": 0, "device_id": 0})

    def add(self, card: Card, node: int) -> None:
        """Add a GPU, everything of it: its node of the topology, its PCI device, its device nodes."""
        domain, bus, slot = card.pci_id.split(":")
        device, function = slot.split(".")
        self.write("dev/kfd", "")
        self.write(f"dev/dri/renderD{card.minor}", "")
        self._add_pci_device(card)
        link = self.root / f"sys/class/drm/renderD{card.minor}/device"
        link.parent.mkdir(parents=True)
        link.symlink_to(self.root / f"sys/devices/pci0000:00/{card.pci_id}")
        properties = {
            "cpu_cores_count": 0,
            "simd_count": 192,
            "gfx_target_version": card.target,
            "vendor_id": AMD,
            "device_id": card.device_id,
            "location_id": int(bus, 16) << 8 | int(device, 16) << 3 | int(function),
            "domain": int(domain, 16),
            "drm_render_minor": card.minor,
            "unique_id": card.unique_id,
        }
        self._add_node(node, properties)
        self.write(f"{self._node(node)}/mem_banks/0/properties", f"heap_type 1\nsize_in_bytes {card.vram}")

    def add_unserved(self, card: Card, driver: str = "") -> None:
        """Add a GPU that is on the bus, with another driver or none, and not in the topology."""
        self._add_pci_device(card)
        if driver:
            self._bind(card, driver)

    def serve(self, card: Card) -> None:
        """Have amdgpu drive a GPU that is on the bus, and its node here, whatever the topology has."""
        self._bind(card, "amdgpu")
        self.write(f"sys/devices/pci0000:00/{card.pci_id}/drm/renderD{card.minor}/dev", f"226:{card.minor}")
        self.write(f"dev/dri/renderD{card.minor}", "")

    def _bind(self, card: Card, driver: str) -> None:
        self.write(f"sys/bus/pci/drivers/{driver}/module", "")
        link = self.root / f"sys/bus/pci/devices/{card.pci_id}/driver"
        link.symlink_to(self.root / f"sys/bus/pci/drivers/{driver}")

    def _add_pci_device(self, card: Card) -> None:
        device = f"sys/devices/pci0000:00/{card.pci_id}"
        self.write(f"{device}/vendor", f"{AMD:#06x}")
        self.write(f"{device}/class", "0x030000")
        self.write(f"{device}/revision", f"{card.revision:#04x}")
        self.write(f"{device}/mem_info_vram_total", card.vram)
        self.write(f"{device}/mem_info_vram_used", card.vram_used)
        self.write(f"{device}/mem_info_gtt_total", card.gtt)
        self.write(f"{device}/mem_info_gtt_used", card.gtt_used)
        self.write(f"{device}/product_name", card.product_name)
        if card.vram_maker:
            self.write(f"{device}/mem_info_vram_vendor", card.vram_maker)
        bus = self.root / "sys/bus/pci/devices"
        bus.mkdir(parents=True, exist_ok=True)
        (bus / card.pci_id).symlink_to(self.root / device)

    def _add_node(self, node: int, properties: dict[str, int]) -> None:
        text = "".join(f"{name} {figure}\n" for name, figure in properties.items())
        self.write(f"{self._node(node)}/properties", text)

    def _node(self, node: int) -> str:
        return f"sys/class/kfd/kfd/topology/nodes/{node}"


STAND_IN_780M = replace(RADEON_780M, pci_id="0000:0a:00.0", minor=128)
STAND_IN_MI210 = replace(
    RX_7900_XTX,
    pci_id="0001:c1:1f.7",
    unique_id=0xC1000000DEADBEEF,
    target=90010,
    vram=64 * GIB,
    minor=129,
)
STAND_IN_MI210_ID = "GPU-c1000000deadbeef"


def stand_in_machine(root: Path) -> Machine:
    """A machine whose kernel shows the cards of stand_in_hip.c, in the other order than HIP does."""
    machine = Machine(root)
    machine.add_processor(0)
    machine.add(STAND_IN_780M, node=1)
    machine.add(STAND_IN_MI210, node=3)
    machine.serve(STAND_IN_780M)
    machine.serve(STAND_IN_MI210)
    return machine
