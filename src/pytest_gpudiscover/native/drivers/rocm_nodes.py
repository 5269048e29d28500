"""ROCm: which GPUs the kernel shows for computing, read from its files without any library.

What the files hold is from the kernel's drivers amdkfd and amdgpu, and from how ROCm's own libhsakmt reads
them. Every function takes the root of the file system, "" for `/`, so that a directory can be a machine.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress

from pytest_gpudiscover.native.drivers.interface import DriverError
from pytest_gpudiscover.native.files import names, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TOPOLOGY = "/sys/class/kfd/kfd/topology/nodes"
OVERRIDE = "HSA_OVERRIDE_GFX_VERSION"

GIB = 1 << 30
_PCI_ID = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", re.ASCII)
_FIGURE = re.compile(r"[0-9]{1,20}")
"""Of at most 64 bits."""
_PRODUCT_NAMES = ("/usr/share/libdrm/amdgpu.ids", "/opt/amdgpu/share/libdrm/amdgpu.ids")
_OWN_MEMORY = (1, 2)
"""The heap types of a node's memory banks that are the GPU's own, seen by the host and not."""
_NOBODY = ("", "unknown")
"""What the kernel says of who made the VRAM where it does not know, or has no such file."""


class Node:
    """One node of the topology that can be read: processors, a GPU, or both.

    Attributes:
        path: its directory.
        place: its position among the nodes that can be read, as ROCm counts them.
        properties: its figures by name.
    """

    def __init__(self, path: str, place: int, properties: Mapping[str, int]) -> None:
        self.path = path
        self.place = place
        self.properties = properties

    def __getitem__(self, name: str) -> int:
        """A figure; 0 where the kernel gives none."""
        return self.properties.get(name, 0)

    @property
    def is_gpu(self) -> bool:
        """Whether it is a GPU that programs can render and compute on."""
        return all(self[name] for name in ("vendor_id", "device_id", "drm_render_minor"))

    @property
    def uuid(self) -> str:
        """`GPU-` and 16 digits, as ROCm writes it; "" where the kernel gives none."""
        return f"GPU-{self['unique_id']:016x}" if self["unique_id"] else ""


def readable_nodes(root: str) -> tuple[list[Node], int]:
    """Read the topology.

    Returns:
        the nodes in the order of their numbers, and how many more there are that the kernel withholds: it
        does that in containers which were not given the GPU.
    """
    nodes: list[Node] = []
    withheld = 0
    for number in sorted(int(name) for name in names(root + TOPOLOGY) if name.isdecimal()):
        path = f"{root}{TOPOLOGY}/{number}"
        try:
            nodes.append(Node(path, len(nodes), _figures(f"{path}/properties")))
        except PermissionError:
            withheld += 1
        except OSError:
            continue  # It went away while we read.
    return nodes, withheld


class Gpu:
    """What the kernel says of one GPU.

    Attributes:
        uuid: as its node has it.
        render_minor: the number of its node in `/dev/dri`.
        pci_id: `0000:03:00.0`.
        description: the product's name.
        target: major, minor and stepping of what code must be compiled for, as `HSA_OVERRIDE_GFX_VERSION`
            wants it.
        integrated: whether it shares the system's memory.
        total: bytes. An integrated GPU's includes what it may take of the system's memory.
        free: bytes.
        driver: major and minor version of the kernel's driver; zeros for the one that is part of the kernel.
    """

    def __init__(self, root: str, node: Node, environment: Mapping[str, str]) -> None:
        self.uuid = node.uuid
        self.render_minor = node["drm_render_minor"]
        device = os.path.realpath(f"{root}/sys/class/drm/renderD{self.render_minor}/device")
        self.pci_id = _pci_id(device, node)
        self.target = _target(node, environment)
        self.description = _product(root, device, node) or f"AMD GPU {node['device_id']:04x}"
        self.integrated, self.total, self.free = _memory(device, node)
        self.driver = _module_version(root)

    @property
    def compute(self) -> tuple[int, int]:
        """The target as the protocol packs it: `gfx90a` is 9 and 0x0a, `gfx1030` is 0x10 and 0x30."""
        major, minor, stepping = self.target
        return int(str(major), 16), minor << 4 | stepping

    @property
    def target_name(self) -> str:
        """The target as people write it: `gfx90a`."""
        return "gfx{}{:x}{:x}".format(*self.target)


def is_integrated(own: int, lent: int, maker: str = "") -> bool:
    """Whether a GPU shares the system's memory: nobody makes chips for it, and the system lends it much.

    The kernel reads who made a card's memory from the card's firmware (`amdgpu_atomfirmware.c`: the tables of
    integrated GPUs have no such entry), and since 6.8 has no file for it where it is not told. Old kernels
    and some cards leave it unknown, so it is how much is lent that decides then. That alone would take a card
    of 4 GiB for integrated: half of the system's memory is lent to any GPU.

    Args:
        own: bytes of VRAM, which on such GPUs is a part of the system's memory that the firmware has cut off.
        lent: bytes of GTT, the system's memory that the GPU may use.
        maker: of the VRAM's chips, as `mem_info_vram_vendor` names it: `samsung`; "" or `unknown`.
    """
    return maker in _NOBODY and own <= 4 * GIB and lent >= 8 * GIB and lent >= 4 * own


def _pci_id(device: str, node: Node) -> str:
    # A part of a card that is cut up has no PCI device of its own, but the kernel knows where it is.
    name = device.rpartition("/")[2]
    if _PCI_ID.fullmatch(name):
        return name
    location = node["location_id"]
    bus, slot, function = location >> 8 & 0xFF, location >> 3 & 0x1F, location & 7
    return f"{node['domain']:04x}:{bus:02x}:{slot:02x}.{function}"


def _target(node: Node, environment: Mapping[str, str]) -> tuple[int, int, int]:
    for name in (f"{OVERRIDE}_{node.place}", OVERRIDE):
        if name in environment:
            return _overridden(name, environment[name])
    version = node["gfx_target_version"]
    return version // 10000, version // 100 % 100, version % 100


def _overridden(name: str, value: str) -> tuple[int, int, int]:
    parts = value.split(".")
    if len(parts) == 3 and all(part.isascii() and part.isdigit() and len(part) <= 3 for part in parts):
        major, minor, stepping = map(int, parts)
        if major <= 63 and minor <= 255 and stepping <= 255:
            return major, minor, stepping
    raise DriverError(
        f"{name} is '{value}', and ROCm shows no GPU then: expected major.minor.stepping, as in 10.3.0,"
        " or the variable not to be set"
    )


def _memory(device: str, node: Node) -> tuple[bool, int, int]:
    """Whether the GPU is integrated, and its total and free memory in bytes."""
    own = _number(f"{device}/mem_info_vram_total")
    if own is None:
        total = sum(_banks(node))
        return False, total, total
    lent = _number(f"{device}/mem_info_gtt_total") or 0
    used = _number(f"{device}/mem_info_vram_used") or 0
    if not is_integrated(own, lent, text(f"{device}/mem_info_vram_vendor")):
        return False, own, max(0, own - used)
    used += _number(f"{device}/mem_info_gtt_used") or 0
    return True, own + lent, max(0, own + lent - used)


def _banks(node: Node) -> Iterator[int]:
    """The sizes of a GPU's memory banks in bytes, where no driver tells more."""
    for name in names(f"{node.path}/mem_banks"):
        with suppress(OSError):
            bank = _figures(f"{node.path}/mem_banks/{name}/properties")
            if bank.get("heap_type") in _OWN_MEMORY:
                yield bank.get("size_in_bytes", 0)


def _product(root: str, device: str, node: Node) -> str:
    """The name of the product, from the list that comes with libdrm, else from the card itself."""
    revision = text(f"{device}/revision").removeprefix("0x").upper()
    wanted = [f"{node['device_id']:04X}", revision.zfill(2)]
    for path in _PRODUCT_NAMES:
        for line in text(root + path).splitlines():
            words = [word.strip() for word in line.split(",", 2)]
            if words[:2] == wanted:
                return words[-1]
    return text(f"{device}/product_name")


def _module_version(root: str) -> tuple[int, int]:
    # Only the one that AMD ships by itself has a version.
    words = re.match(r"(\d{1,5})\.(\d{1,5})", text(f"{root}/sys/module/amdgpu/version"), re.ASCII)
    return (int(words[1]), int(words[2])) if words else (0, 0)


def _figures(path: str) -> dict[str, int]:
    """A file of names and numbers, one pair a line.

    Raises:
        OSError: it is not there, or may not be read.
    """
    with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - a probe does without pathlib
        pairs = [line.split() for line in file]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and _FIGURE.fullmatch(pair[1])}


def _number(path: str) -> int | None:
    number = text(path)
    return int(number) if number.isdecimal() else None
