"""What is read of a machine: files, links, control groups."""

from __future__ import annotations

from typing import NoReturn

import pytest

from machine_trees import AMD, LIBRARIES, MachineTree, workstation
from pytest_gpudiscover.doctor.facts import Library, Ollama
from pytest_gpudiscover.doctor.gathering import gathered
from pytest_gpudiscover.doctor.gathering.process import limits, visitor
from pytest_gpudiscover.errors import LibraryRootError
from pytest_gpudiscover.installations.ollama import OllamaInstallation
from pytest_gpudiscover.surroundings import Surroundings


def cuda(tree: MachineTree, search_path: str = "") -> list[Library]:
    machine = tree.gathered(LD_LIBRARY_PATH=search_path)
    return [library for library in machine.libraries if library.name == "libcuda.so.1"]


def test_links_are_followed_on_the_machine_and_not_on_ours(tree: MachineTree) -> None:
    tree.file("/opt/nvidia/libcuda.so.535.183.01")
    tree.link("/etc/alternatives/cuda", "/opt/nvidia/libcuda.so.535.183.01")
    tree.link(f"{LIBRARIES}/libcuda.so.1", "/etc/alternatives/cuda")
    (library,) = cuda(tree)
    assert (library.path, library.version) == (f"{LIBRARIES}/libcuda.so.1", "535.183.01")


def test_a_link_that_leads_nowhere_or_to_itself_is_no_library(tree: MachineTree) -> None:
    tree.link("/usr/lib/libcuda.so.1", "gone")
    tree.link("/lib64/libcuda.so.1", "libcuda.so.1")
    assert cuda(tree) == []


def test_the_loader_s_order_is_kept_and_each_file_named_once(tree: MachineTree) -> None:
    for directory in ("/cached", "/users", "/usr/lib64"):
        tree.library("libcuda.so.1", directory=directory)
    tree.link("/lib64", "usr/lib64")
    tree.file("/etc/ld.so.cache", b"glibc-ld.so.cache1.1\0libcuda.so.1\0/cached/libcuda.so.1\0")
    found = cuda(tree, "/users")
    assert [library.path for library in found] == [
        "/users/libcuda.so.1",
        "/cached/libcuda.so.1",
        "/lib64/libcuda.so.1",
    ]
    assert [library.named_by_user for library in found] == [True, False, False]


def test_a_library_that_this_process_cannot_load_is_passed_over(tree: MachineTree) -> None:
    tree.file("/usr/lib/libcuda.so.1", b"\x7fELF\x01")
    tree.file("/usr/lib64/libcuda.so.1", b"\x7fELF\x02")
    assert [library.path for library in cuda(tree)] == ["/usr/lib64/libcuda.so.1"]


def test_a_file_without_a_version_in_its_name_has_none(tree: MachineTree) -> None:
    tree.library("libcuda.so.1", directory="/usr/lib/wsl/lib")
    assert [library.version for library in cuda(tree)] == [""]


def test_a_driver_that_is_built_in_is_not_taken_for_a_gpu(tree: MachineTree) -> None:
    tree.file("/sys/module/amdgpu/parameters/noretry")
    assert tree.gathered().modules == ()


def test_an_ollama_whose_libraries_cannot_be_read_is_there_all_the_same(
    tree: MachineTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: OllamaInstallation, surroundings: Surroundings) -> NoReturn:
        raise LibraryRootError("/usr/lib/ollama", "the library root cannot be read")

    tree.file("/usr/bin/ollama")
    tree.below("/usr/bin/ollama").chmod(0o755)
    monkeypatch.setattr(OllamaInstallation, "locate", fail)
    ollama = tree.gathered().ollama
    assert ollama == Ollama(
        path="/usr/bin/ollama", problem="/usr/lib/ollama: the library root cannot be read"
    )


def test_this_process_can_be_asked_who_it_is_and_what_it_may_use() -> None:
    assert visitor().name
    assert gathered(Surroundings.current()).user == visitor().name
    assert limits(4096).memory == 4096


@pytest.mark.parametrize(
    ("prefix", "order"),
    [
        ("/opt/conda", ["/users", "/opt/conda/lib", "/lib", "/usr/lib"]),
        ("/usr", ["/users", "/lib", "/usr/lib"]),
    ],
)
def test_where_conda_s_interpreter_searches_is_searched_behind_the_user_s_path(
    tree: MachineTree, monkeypatch: pytest.MonkeyPatch, prefix: str, order: list[str]
) -> None:
    monkeypatch.setattr("sys.base_prefix", prefix)
    for directory in order:
        tree.library("libcuda.so.1", directory=directory)
    found = [library.path.removesuffix("/libcuda.so.1") for library in cuda(tree, "/users")]
    assert found == order


@pytest.mark.parametrize("number", ["\u00b2", "9" * 5000, "", "-1"])
def test_a_line_whose_number_is_none_gives_no_group_its_name(tree: MachineTree, number: str) -> None:
    workstation(tree)
    tree.file("/etc/group", f"odd:x:{number}:\nrender:x:{tree.group}:ann\n")
    tree.file("/etc/passwd", f"odd:x:{number}:0::/:/bin/sh\n")
    assert {(node.group, node.member) for node in tree.gathered().nodes} == {("render", True)}


def test_a_card_of_amd_has_the_uuid_that_masks_know_it_by(tree: MachineTree) -> None:
    tree.card(AMD, driver="amdgpu")
    tree.file("/sys/bus/pci/devices/0000:01:00.0/unique_id", "a1b2c3d4e5f60718\n")
    assert tree.gathered().cards[0].uuid == "GPU-a1b2c3d4e5f60718"


@pytest.mark.parametrize("odd", ["9" * 5000, "\u00b2", "-1", "x"])
def test_a_figure_of_amd_s_kernel_driver_that_is_none_is_left_out(tree: MachineTree, odd: str) -> None:
    tree.kernel_shows(processors=0, parts=1)
    node = "/sys/class/kfd/kfd/topology/nodes/0/properties"
    told = tree.below(node).read_text(encoding="utf-8")
    tree.file(node, f"{told}unique_id_of_another {odd}\n")
    assert tree.gathered().rocm == ("GPU-c0de000000000000",)


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({"/.dockerenv": ""}, "docker"),
        ({"/run/.containerenv": ""}, "podman"),
        ({"/.dockerenv": "", "/run/secrets/kubernetes.io/x": ""}, "kubernetes"),
        ({"/.dockerenv": "", "/var/run/secrets/kubernetes.io/x": ""}, "kubernetes"),
        ({"/run/systemd/container": "lxc\n"}, "lxc"),
        ({"/proc/1/cgroup": "5:cpu:/kubepods/besteffort/pod1\n"}, "kubernetes"),
        ({"/proc/1/cgroup": "0::/system.slice/containerd-1f.scope\n"}, "containerd"),
        ({"/proc/1/cgroup": "0::/init.scope\n"}, None),
        ({"/proc/self/cgroup": "0::/system.slice/docker.service\n"}, None),
    ],
)
def test_a_container_is_told_by_its_files(tree: MachineTree, files: dict[str, str], kind: str | None) -> None:
    for path, content in files.items():
        tree.file(path, content)
    container = tree.gathered().container
    assert (container and container.kind) == kind


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "1073741824\n"}, 1 << 30),
        ({"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "max\n"}, None),
        (
            {
                "/proc/self/cgroup": "0::/job/step\n",
                "/sys/fs/cgroup/job/memory.max": "4096\n",
                "/sys/fs/cgroup/job/step/memory.max": "8192\n",
            },
            4096,
        ),
        (
            {
                "/proc/self/cgroup": "4:cpu,memory:/job\n0::/\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "/sys/fs/cgroup/memory/job/memory.limit_in_bytes": "2048\n",
            },
            2048,
        ),
        (
            {
                "/proc/self/cgroup": "4:memory:/\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            None,
        ),
        ({"/proc/self/cgroup": "nonsense\n"}, None),
    ],
    ids=["one", "none", "the one above", "version 1", "none of version 1", "nonsense"],
)
def test_the_memory_of_a_control_group_is_the_least_on_the_way_up(
    tree: MachineTree, files: dict[str, str], limit: int | None
) -> None:
    for path, content in files.items():
        tree.file(path, content)
    assert tree.gathered().limits.memory == limit


def test_files_that_hold_nonsense_break_nothing(tree: MachineTree) -> None:
    workstation(tree)
    for path in ("class", "vendor"):
        tree.file(f"/sys/bus/pci/devices/0000:02:00.0/{path}", b"\xff\x00")
    for path in ("/etc/group", "/proc/self/cgroup", "/etc/ld.so.cache", "/proc/driver/nvidia/version"):
        tree.file(path, b"\xff:\x00:\n:::\n")
    machine = tree.gathered()
    assert [card.pci_id for card in machine.cards] == ["0000:01:00.0"]
    assert [node.group for node in machine.nodes] == [""] * 3
