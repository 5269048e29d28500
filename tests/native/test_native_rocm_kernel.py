"""What the kernel's files say of AMD's GPUs, on machines that are trees of files: no library, no process."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from amd_machines import GIB, RADEON_780M, RX_6500_XT, RX_7900_XTX, Card, Machine, mi300x
from pytest_gpudiscover.native.drivers.interface import DriverError
from pytest_gpudiscover.native.drivers.permission import remedy
from pytest_gpudiscover.native.drivers.rocm import list_devices
from pytest_gpudiscover.native.drivers.rocm_access import obstacle
from pytest_gpudiscover.native.drivers.rocm_nodes import is_integrated
from pytest_gpudiscover.wire import parse_devices

if TYPE_CHECKING:
    from pytest_gpudiscover.native.drivers.interface import Entry
    from tests.native.conftest import OpenedBy


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with a processor, node 0, and no GPU."""
    machine = Machine(tmp_path)
    machine.add_processor(0)
    return machine


def listed(machine: Machine, **variables: str) -> list[Entry]:
    """What a shallow listing shows there."""
    return list_devices(environment=machine.environment | variables, deep=False)


def refused(machine: Machine, **variables: str) -> str:
    """Why nothing can be listed there."""
    with pytest.raises(DriverError) as caught:
        listed(machine, **variables)
    return str(caught.value)


def test_a_card_is_reported_in_full(machine: Machine) -> None:
    machine.add(RX_7900_XTX, node=1)
    machine.write("sys/module/amdgpu/version", "6.16.13")
    (entry,) = listed(machine)
    assert entry.to_wire() == {
        "id": "GPU-00d1e2f3a4b5c6d7",
        "backend": "ROCm",
        "name": "ROCm0",
        "description": "AMD Radeon RX 7900 XTX",
        "pci_id": "0000:03:00.0",
        "total_memory": 24560 << 20,
        "free_memory": (24560 << 20) - GIB,
        "ComputeMajor": 0x11,
        "ComputeMinor": 0x00,
        "driver_major": 6,
        "driver_minor": 16,
        "LibraryPath": [],
        "index": 0,
    }


def test_a_server_with_eight_mi300x_lists_each_with_its_own_id_and_place(machine: Machine) -> None:
    machine.add_processor(1)
    for place in range(8):
        machine.add(mi300x(place), node=2 + place)
    entries = listed(machine)
    assert [entry.id for entry in entries] == [f"GPU-a1b2c3d4e5f6000{place}" for place in range(8)]
    assert [entry.pci_id for entry in entries[:2]] == ["0000:05:00.0", "0000:25:00.0"]
    assert {(entry.description, entry.compute, entry.total_memory) for entry in entries} == {
        ("AMD Instinct MI300X OAM", (9, 0x42), 206141652992)
    }
    assert not any(entry.integrated or entry.unusable for entry in entries)


def test_an_apu_is_integrated_has_the_memory_that_the_system_lends_it_and_a_number(machine: Machine) -> None:
    machine.add(RADEON_780M, node=1)
    (entry,) = listed(machine)
    assert (entry.id, entry.integrated, entry.compute) == ("0", True, (0x11, 0x03))
    assert entry.total_memory == 14 * GIB + (512 << 20)
    assert entry.free_memory == 13 * GIB + (212 << 20)


def test_an_apu_of_which_the_kernel_says_that_the_maker_of_its_memory_is_unknown_stays_one(
    machine: Machine,
) -> None:
    machine.add(replace(RADEON_780M, vram_maker="unknown"), node=1)
    assert [entry.integrated for entry in listed(machine)] == [True]


def test_a_card_of_4_gib_whose_memory_somebody_made_is_no_apu_although_the_system_lends_it_much(
    machine: Machine,
) -> None:
    machine.add(RX_6500_XT, node=1)
    (entry,) = listed(machine)
    assert (entry.description, entry.integrated) == ("AMD Radeon RX 6500 XT", False)
    assert (entry.total_memory, entry.free_memory) == (4080 << 20, 3580 << 20)


def test_gaps_in_the_numbering_are_no_gaps_in_the_places(machine: Machine) -> None:
    for number, node in enumerate((3, 7, 12)):
        card = replace(
            RX_7900_XTX, pci_id=f"0000:{0x10 + node:02x}:00.0", unique_id=node, minor=130 + 3 * number
        )
        machine.add(card, node=node)
    entries = listed(machine)
    assert [(entry.name, entry.index, entry.pci_id) for entry in entries] == [
        ("ROCm0", 0, "0000:13:00.0"),
        ("ROCm1", 1, "0000:17:00.0"),
        ("ROCm2", 2, "0000:1c:00.0"),
    ]


def test_nodes_are_sorted_as_numbers(machine: Machine) -> None:
    for node in range(1, 12):
        card = replace(RX_7900_XTX, pci_id=f"0000:{node:02x}:00.0", unique_id=node, minor=127 + node)
        machine.add(card, node=node)
    assert [entry.id for entry in listed(machine)] == [f"GPU-{node:016x}" for node in range(1, 12)]


def test_cards_without_an_id_or_with_one_that_several_have_get_their_numbers(machine: Machine) -> None:
    for place, unique_id in enumerate((0, 0xAB, 0xCD, 0xAB)):
        card = replace(RX_7900_XTX, pci_id=f"0000:0{place + 1}:00.0", unique_id=unique_id, minor=128 + place)
        machine.add(card, node=1 + place)
    assert [entry.id for entry in listed(machine)] == ["0", "1", "GPU-00000000000000cd", "3"]
    assert [
        (entry.id, entry.index) for entry in listed(machine, ROCR_VISIBLE_DEVICES="3,GPU-00000000000000CD")
    ] == [
        ("0", 3),
        ("GPU-00000000000000cd", 2),
    ]


@pytest.mark.parametrize("missing", ["vendor_id", "device_id", "drm_render_minor"])
def test_a_node_that_lacks_what_makes_a_gpu_is_none(machine: Machine, missing: str) -> None:
    machine.add(RX_7900_XTX, node=1)
    file = machine.nodes / "1/properties"
    figures = dict(line.split() for line in file.read_text().splitlines() if line)
    file.write_text("\n".join(f"{name} {figure}" for name, figure in (figures | {missing: "0"}).items()))
    assert "does not offer it for computing" not in (said := refused(machine))
    assert said.startswith("0000:03:00.0 is an AMD GPU")


@pytest.mark.parametrize(
    ("target", "compute", "shown"),
    [
        (90010, (9, 0x0A), "gfx90a"),
        (90402, (9, 0x42), "gfx942"),
        (100300, (0x10, 0x30), "gfx1030"),
        (110501, (0x11, 0x51), "gfx1151"),
        (120001, (0x12, 0x01), "gfx1201"),
    ],
)
def test_the_target_is_packed_so_that_it_is_shown_as_it_is_called(
    machine: Machine, target: int, compute: tuple[int, int], shown: str
) -> None:
    machine.add(replace(RX_7900_XTX, target=target), node=1)
    (entry,) = listed(machine)
    assert entry.compute == compute
    assert wire(entry).compute == shown


def wire(entry: Entry) -> Any:
    """The entry as the engine reads it."""
    (device,), rejections = parse_devices(json.dumps([entry.to_wire()]).encode())
    assert rejections == ()
    return device


@pytest.mark.parametrize(
    ("variables", "compute"),
    [
        ({"HSA_OVERRIDE_GFX_VERSION": "10.3.0"}, (0x10, 0x30)),
        ({"HSA_OVERRIDE_GFX_VERSION": "9.0.10"}, (9, 0x0A)),
        ({"HSA_OVERRIDE_GFX_VERSION": "10.3.0", "HSA_OVERRIDE_GFX_VERSION_1": "11.0.2"}, (0x11, 0x02)),
        ({"HSA_OVERRIDE_GFX_VERSION_4": "11.0.2"}, (0x11, 0x03)),
    ],
)
def test_an_override_of_the_target_counts_and_one_for_the_node_counts_more(
    machine: Machine, variables: dict[str, str], compute: tuple[int, int]
) -> None:
    machine.add(RADEON_780M, node=4)
    (entry,) = listed(machine, **variables)
    assert entry.compute == compute


@pytest.mark.parametrize(
    "value", ["", "10.3", "10.3.0.1", "gfx1030", "10.3.256", "10.256.0", "64.0.0", "10.-3.0"]
)
def test_an_override_that_rocm_cannot_read_is_refused_as_rocm_refuses_it(
    machine: Machine, value: str
) -> None:
    machine.add(RADEON_780M, node=1)
    said = refused(machine, HSA_OVERRIDE_GFX_VERSION=value)
    assert said.startswith(
        f"HSA_OVERRIDE_GFX_VERSION is '{value}', and ROCm shows no GPU then: expected major."
    )


@pytest.mark.parametrize(
    ("own", "lent", "integrated"),
    [
        (512 << 20, 14 * GIB, True),
        (4 * GIB, 16 * GIB, True),
        (0, 8 * GIB, True),
        (4 * GIB, 15 * GIB, False),
        (512 << 20, 7 * GIB, False),
        (4 * GIB + 1, 100 * GIB, False),
    ],
)
def test_what_lends_much_and_has_little_is_integrated(own: int, lent: int, *, integrated: bool) -> None:
    assert is_integrated(own, lent) is integrated


def test_a_product_that_no_list_names_is_named_by_the_card_itself_or_by_its_number(machine: Machine) -> None:
    machine.add(replace(RX_7900_XTX, revision=0xFF, product_name="Instinct of its own"), node=1)
    machine.add(replace(RX_7900_XTX, pci_id="0000:04:00.0", unique_id=2, revision=0xFF, minor=129), node=2)
    assert [entry.description for entry in listed(machine)] == ["Instinct of its own", "AMD GPU 744c"]


def test_a_card_is_where_its_render_node_leads(machine: Machine) -> None:
    machine.add(RX_7900_XTX, node=1)
    file = machine.nodes / "1/properties"
    file.write_text(file.read_text().replace("location_id", "location_unknown"))
    (entry,) = listed(machine)
    assert entry.pci_id == "0000:03:00.0"


def test_a_part_of_a_card_without_a_pci_device_is_where_the_topology_says(machine: Machine) -> None:
    card = Card(pci_id="0001:c1:1f.3", unique_id=5, vram=12 * GIB)
    machine.add(card, node=1)
    link = machine.root / "sys/class/drm/renderD128/device"
    link.unlink()
    machine.write(
        "sys/class/kfd/kfd/topology/nodes/1/mem_banks/1/properties", "heap_type 4\nsize_in_bytes 4096"
    )
    (machine.nodes / "1/mem_banks/2").mkdir()
    platform = machine.root / "sys/devices/platform/amdgpu_xcp_1"
    platform.mkdir(parents=True)
    link.symlink_to(platform)
    (entry,) = listed(machine)
    assert (entry.pci_id, entry.total_memory, entry.free_memory) == ("0001:c1:1f.3", 12 * GIB, 12 * GIB)


def test_a_machine_whose_kernel_shows_processors_only_and_has_no_gpu_lists_none(machine: Machine) -> None:
    assert listed(machine) == []


@pytest.mark.parametrize(
    ("driver", "words"),
    [
        ("", "is an AMD GPU, and no driver has it: load the kernel's (modprobe amdgpu)"),
        ("amdgpu", "is an AMD GPU, and the kernel does not offer it for computing: look for 'kfd' in"),
        ("vfio-pci", "is an AMD GPU, and vfio-pci has it: ROCm needs the driver amdgpu"),
    ],
)
@pytest.mark.parametrize("topology", [True, False])
def test_a_card_that_is_on_the_bus_and_not_in_the_topology_is_named_with_the_reason(
    tmp_path: Path, driver: str, words: str, *, topology: bool
) -> None:
    machine = Machine(tmp_path)
    if topology:
        machine.add_processor(0)
    machine.add_unserved(RX_7900_XTX, driver)
    assert refused(machine).startswith(f"0000:03:00.0 {words}")


def test_what_is_not_amd_s_or_no_gpu_is_no_reason(machine: Machine) -> None:
    machine.add_unserved(RX_7900_XTX)
    machine.add_unserved(replace(RX_7900_XTX, pci_id="0000:03:00.1"))
    machine.write("sys/bus/pci/devices/0000:03:00.0/vendor", "0x10de")
    machine.write("sys/bus/pci/devices/0000:03:00.1/class", "0x040300")
    assert listed(machine) == []


def test_without_topology_and_without_any_card_it_is_said_what_is_missing(tmp_path: Path) -> None:
    said = refused(Machine(tmp_path))
    assert said.startswith("there is no /sys/class/kfd/kfd/topology/nodes: if there is an AMD GPU, load the")


def test_a_bus_that_may_not_be_listed_shows_no_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path)
    machine.add_unserved(RX_7900_XTX)
    real = os.listdir

    def names(path: str) -> list[str]:
        if path.endswith("/sys/bus/pci/devices"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "listdir", names)  # to root, permissions mean nothing
    assert refused(machine).startswith("there is no /sys/class/kfd/kfd/topology/nodes: ")


def test_nodes_that_the_kernel_withholds_are_a_container_without_the_gpus(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.add(RX_7900_XTX, node=1)
    card = replace(RX_7900_XTX, pci_id="0000:04:00.0", unique_id=2, minor=129)
    machine.add(card, node=2)
    withhold(monkeypatch, "nodes/1/properties")
    (entry,) = listed(machine)
    assert (entry.index, entry.pci_id) == (0, "0000:04:00.0")
    withhold(monkeypatch, "properties")
    said = refused(machine)
    assert said.startswith(
        "the kernel keeps its GPUs from this container (3 nodes): start the container with"
    )


def withhold(monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    """Let no file be opened that ends like this: to root, permissions mean nothing."""

    def opened(path: str, **options: Any) -> Any:
        if path.endswith(ending):
            raise PermissionError(1, "Operation not permitted", path)
        return Path(path).open(**options)

    monkeypatch.setattr("pytest_gpudiscover.native.drivers.rocm_nodes.open", opened, raising=False)


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        (["dev/kfd"], "there is no /dev/kfd: in a container, start the container with --device=/dev/kfd"),
        (["dev/dri/renderD128"], "there is no /dev/dri/renderD128: "),
        (["dev/kfd", "dev/dri/renderD128"], "there is no /dev/kfd and no /dev/dri/renderD128: "),
    ],
)
def test_a_gpu_whose_device_nodes_are_missing_is_listed_and_not_for_use(
    machine: Machine, missing: list[str], words: str
) -> None:
    machine.add(RX_7900_XTX, node=1)
    for path in missing:
        (machine.root / path).unlink()
    (entry,) = listed(machine)
    assert entry.unusable
    assert (entry.unusable.reason, entry.unusable.detail.startswith(words)) == ("unusable", True)


@pytest.mark.parametrize(
    ("forbidden", "named"),
    [("kfd", "/dev/kfd"), ("renderD128", "/dev/dri/renderD128"), ("", "/dev/kfd, /dev/dri/renderD128")],
)
@pytest.mark.parametrize("group", [987_654, 0])
def test_device_nodes_that_may_not_be_opened_are_named_with_the_group_to_join(
    machine: Machine, opened_by: OpenedBy, group: int, forbidden: str, named: str
) -> None:
    machine.add(RX_7900_XTX, node=1)
    asked = []

    def may(path: str, mode: int) -> bool:
        asked.append(mode)
        return not path.endswith(forbidden)

    with opened_by(group):
        said = obstacle(str(machine.root), 128, may)
    roots = "only root may; install AMD's udev rules, which give them to the group 'render'"
    assert said == f"no permission to open {named}: {remedy(group) if group else roots}"
    assert set(asked) == {os.R_OK | os.W_OK}
