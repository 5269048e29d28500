"""What the doctor says of whole machines, each built as a tree of files."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from machine_trees import (
    AMD,
    ASPEED,
    INTEL,
    LIBRARIES,
    NVIDIA,
    OPEN_MODULE,
    UUID,
    VIRTIO,
    MachineTree,
    bad,
    named,
    no_nodes,
    radeon,
    workstation,
)
from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.doctor.findings import Name, Severity
from pytest_gpudiscover.reports import Report

USABLE = Report(devices=(DeviceInfo(id=UUID, library="CUDA", description="NVIDIA GeForce RTX 4090"),))


def test_a_healthy_workstation_has_no_problem_and_names_its_card_and_its_versions(tree: MachineTree) -> None:
    workstation(tree)
    found = tree.findings(USABLE)
    assert bad(found) == []
    (cards,) = named(found, Name.CARDS_SERVED)
    assert cards.came.endswith("NVIDIA GeForce RTX 4090 at 0000:01:00.0, driver nvidia")
    (loaded,) = named(found, Name.DRIVER_LOADED)
    assert loaded.came.endswith("nvidia 550.54.14")
    assert [finding.came for finding in named(found, Name.LIBRARY_FOUND)] == [
        f"libcuda.so.1, version 550.54.14, in {LIBRARIES}",
        f"libvulkan.so.1, version 1.3.239, in {LIBRARIES}",
        f"libnvidia-ml.so.1, version 550.54.14, in {LIBRARIES}",
    ]


def test_the_version_of_the_open_driver_is_read_too(tree: MachineTree) -> None:
    tree.nvidia_driver("570.86.15", OPEN_MODULE)
    (module,) = tree.gathered().modules
    assert (module.name, module.version) == ("nvidia", "570.86.15")


def test_a_user_who_is_not_in_the_group_is_told_the_command_that_joins_it(tree: MachineTree) -> None:
    radeon(tree)
    found = tree.findings(USABLE, may=no_nodes)
    assert bad(found) == [Name.NODE_FORBIDDEN]
    (forbidden,) = named(found, Name.NODE_FORBIDDEN)
    assert forbidden.came.startswith("ann may not open /dev/kfd, /dev/dri/renderD128 (")
    assert ":render, mode 0660)" in forbidden.came
    assert forbidden.command == "sudo usermod -aG render $USER"


def test_a_render_node_that_cuda_does_without_is_a_warning(tree: MachineTree) -> None:
    workstation(tree)
    tree.node("/dev/dri/renderD128", 0o660)
    tree.named_group("render")
    found = tree.findings(USABLE, may=lambda path, mode: "/dri/" not in path)
    (forbidden,) = named(found, Name.NODE_FORBIDDEN)
    assert forbidden.severity is Severity.WARNING
    assert bad(found) == [Name.NODE_FORBIDDEN]


def test_a_render_node_of_a_virtual_machine_s_screen_keeps_nobody_from_a_gpu(tree: MachineTree) -> None:
    tree.card(VIRTIO, driver="virtio-pci")
    tree.node("/dev/dri/renderD128", 0o660)
    found = tree.findings(may=no_nodes)
    assert [finding.severity for finding in named(found, Name.NODE_FORBIDDEN)] == [Severity.NOTE]
    assert bad(found) == []


@pytest.mark.parametrize("vendor", [NVIDIA, AMD, INTEL])
def test_a_node_that_a_gpu_is_computed_through_is_a_problem(tree: MachineTree, vendor: str) -> None:
    if vendor == NVIDIA:
        workstation(tree)
    else:
        tree.card(vendor, driver="amdgpu" if vendor == AMD else "xe")
        tree.node("/dev/dri/renderD128", 0o660)
    (forbidden,) = named(tree.findings(may=no_nodes), Name.NODE_FORBIDDEN)
    assert forbidden.severity is Severity.PROBLEM


def test_a_user_who_joined_the_group_after_his_login_has_to_log_in_again(tree: MachineTree) -> None:
    radeon(tree)
    tree.named_group("render", "bob", "ann")
    (forbidden,) = named(tree.findings(may=no_nodes), Name.NODE_FORBIDDEN)
    assert forbidden.next_step.startswith("log in again")
    assert forbidden.command == ""


def test_a_group_that_may_not_open_the_node_either_is_not_to_be_joined(tree: MachineTree) -> None:
    radeon(tree)
    for path in ("/dev/kfd", "/dev/dri/renderD128"):
        tree.below(path).chmod(0o600)
    (forbidden,) = named(tree.findings(may=no_nodes), Name.NODE_FORBIDDEN)
    assert "usermod" not in forbidden.command + forbidden.next_step
    assert "udev rule" in forbidden.next_step


def test_in_a_container_the_group_is_added_by_its_number(tree: MachineTree) -> None:
    radeon(tree)
    tree.file("/.dockerenv")
    (forbidden,) = named(tree.findings(may=no_nodes), Name.NODE_FORBIDDEN)
    assert forbidden.next_step == f"start the container with --group-add {tree.group}"


def test_a_container_without_nvidia_s_runtime_is_told_to_be_started_with_gpus(tree: MachineTree) -> None:
    tree.file("/.dockerenv")
    tree.card(NVIDIA, driver="nvidia")
    tree.nvidia_driver()
    found = tree.findings()
    assert bad(found) == [Name.CONTAINER_WITHOUT_GPUS, Name.NO_USABLE_GPU]
    (passed,) = named(found, Name.CONTAINER_WITHOUT_GPUS)
    assert passed.came == "the host drives GPUs of NVIDIA; none of these was passed to us"
    assert "docker run --gpus all" in passed.next_step


@pytest.mark.parametrize("driver", ["amdgpu", "i915"])
def test_a_container_need_not_have_every_gpu_of_its_host(tree: MachineTree, driver: str) -> None:
    workstation(tree)
    tree.card(AMD if driver == "amdgpu" else INTEL, driver=driver, pci_id="0000:00:02.0")
    tree.file("/.dockerenv")
    found = tree.findings(USABLE)
    assert bad(found) == []
    assert [finding.severity for finding in named(found, Name.CONTAINER_WITHOUT_GPUS)] == [Severity.NOTE]


def test_a_library_that_a_container_lacks_beside_its_nodes_is_a_problem(tree: MachineTree) -> None:
    tree.card(NVIDIA, driver="nvidia")
    tree.nvidia_nodes()
    tree.file("/.dockerenv")
    (cuda, _) = named(tree.findings(USABLE), Name.LIBRARY_MISSING)
    assert cuda.severity is Severity.PROBLEM
    assert "NVIDIA_DRIVER_CAPABILITIES" in cuda.next_step


def test_a_container_whose_image_says_void_is_told_so(tree: MachineTree) -> None:
    tree.file("/run/.containerenv")
    tree.card(NVIDIA, driver="nvidia")
    (passed,) = named(tree.findings(NVIDIA_VISIBLE_DEVICES="void"), Name.CONTAINER_WITHOUT_GPUS)
    assert passed.came.endswith("(NVIDIA_VISIBLE_DEVICES='void')")


def test_a_library_of_another_version_than_the_kernel_s_driver_is_a_problem(tree: MachineTree) -> None:
    workstation(tree)
    tree.file("/proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.90.07  Fri")
    tree.below(f"{LIBRARIES}/libcuda.so.1").unlink()
    tree.library("libcuda.so.1", "libcuda.so.535.183.01")
    differing = named(tree.findings(USABLE), Name.LIBRARY_DIFFERS)
    assert [finding.severity for finding in differing] == [Severity.PROBLEM] * 2
    both = f"{LIBRARIES}/libcuda.so.1 is of 535.183.01, the kernel's driver of 550.90.07"
    assert differing[0].came == both
    assert differing[0].next_step.startswith("restart the machine")


def test_a_jetson_whose_libcuda_has_a_version_of_its_own_has_no_problem(tree: MachineTree) -> None:
    tree.nvidia_driver("540.4.0", OPEN_MODULE)
    for module in ("nvidia", "nvgpu"):
        tree.file(f"/sys/module/{module}/initstate", "live\n")
    for name in ("nvidia0", "nvidiactl"):
        tree.node(f"/dev/{name}")
    tree.library("libcuda.so.1", "libcuda.so.1.1", directory=f"{LIBRARIES}/nvidia")
    tree.library("libvulkan.so.1")
    found = tree.findings(USABLE, LD_LIBRARY_PATH=f"{LIBRARIES}/nvidia")
    assert bad(found) == []
    (loaded,) = named(found, Name.DRIVER_LOADED)
    assert loaded.came.endswith("nvidia 540.4.0, nvgpu")


@pytest.mark.parametrize("target", ["libcuda.so.1.1", "libcuda.so.old.550"])
def test_a_name_that_tells_no_version_of_the_driver_s_is_not_compared(tree: MachineTree, target: str) -> None:
    workstation(tree)
    tree.below(f"{LIBRARIES}/libcuda.so.1").unlink()
    tree.library("libcuda.so.1", target)
    assert bad(tree.findings(USABLE)) == []


def test_a_library_that_has_a_second_name_for_linking_is_named_once(tree: MachineTree) -> None:
    tree.nvidia_libraries()
    tree.link(f"{LIBRARIES}/libcuda.so", "libcuda.so.1")
    names = [finding.came.partition(",")[0] for finding in named(tree.findings(), Name.LIBRARY_FOUND)]
    assert names == ["libcuda.so.1", "libnvidia-ml.so.1"]


def test_a_package_for_forward_compatibility_may_differ(tree: MachineTree) -> None:
    workstation(tree)
    tree.library("libcuda.so.1", "libcuda.so.570.86.15", directory="/usr/local/cuda-12.8/compat")
    found = tree.findings(USABLE, LD_LIBRARY_PATH="/usr/local/cuda-12.8/compat")
    assert bad(found) == []
    assert "compat" in named(found, Name.LIBRARY_COMPATIBLE)[0].next_step


def test_a_card_without_a_driver_is_the_first_thing_said(tree: MachineTree) -> None:
    tree.card(NVIDIA)
    found = tree.findings()
    assert found[0].name is Name.CARD_WITHOUT_DRIVER
    assert found[0].severity is Severity.PROBLEM
    assert found[0].came == "NVIDIA card 10de:2684 at 0000:01:00.0 has no driver"
    assert found[0].command == "sudo modprobe nvidia"


def test_a_driver_that_is_loaded_and_did_not_take_the_card_has_said_why_to_the_kernel_s_log(
    tree: MachineTree,
) -> None:
    tree.card(NVIDIA)
    tree.file("/sys/module/nvidia/initstate", "live")
    (card,) = named(tree.findings(), Name.CARD_WITHOUT_DRIVER)
    assert card.command == "sudo dmesg | grep -i -e nvidia -e 0000:01:00.0"


@pytest.mark.parametrize(
    ("vendor", "driver", "name"),
    [
        (NVIDIA, "nouveau", Name.CARD_WITH_OTHER_DRIVER),
        (AMD, "radeon", Name.CARD_WITH_OTHER_DRIVER),
        (NVIDIA, "vfio-pci", Name.CARD_GIVEN_AWAY),
        (INTEL, "xe", Name.CARDS_SERVED),
        (ASPEED, "ast", Name.NO_CARD),
    ],
)
def test_whose_driver_has_the_card_decides(tree: MachineTree, vendor: str, driver: str, name: Name) -> None:
    tree.card(vendor, driver=driver)
    assert tree.findings()[0].name is name


def test_a_machine_whose_only_card_is_held_for_a_virtual_machine_has_no_problem(tree: MachineTree) -> None:
    tree.card(NVIDIA, driver="vfio-pci")
    assert bad(tree.findings()) == []


def test_an_accelerator_of_amd_is_a_card_and_one_of_intel_is_not(tree: MachineTree) -> None:
    tree.card(AMD, driver="amdgpu", kind="0x120000", pci_id="0000:c1:00.0")
    tree.card(INTEL, driver="intel_vpu", kind="0x120000", pci_id="0000:00:0b.0")
    tree.card(NVIDIA, kind="0x040300", pci_id="0000:01:00.1")  # its audio
    assert [card.pci_id for card in tree.gathered().cards] == ["0000:c1:00.0"]


def test_a_stub_that_the_loader_takes_first_is_a_problem(tree: MachineTree) -> None:
    workstation(tree)
    tree.library("libcuda.so.1", directory="/usr/local/cuda/lib64/stubs")
    found = tree.findings(USABLE, LD_LIBRARY_PATH="/nowhere:/usr/local/cuda/lib64/stubs")
    assert bad(found) == [Name.STUB_LIBRARY]
    (stub,) = named(found, Name.STUB_LIBRARY)
    assert stub.next_step == "take /usr/local/cuda/lib64/stubs off LD_LIBRARY_PATH"


def test_a_stub_behind_the_driver_s_library_is_none(tree: MachineTree) -> None:
    workstation(tree)
    tree.library("libcuda.so.1", directory="/usr/local/cuda/lib64/stubs")
    found = tree.findings(USABLE, LD_LIBRARY_PATH=f"{LIBRARIES}:/usr/local/cuda/lib64/stubs")
    assert bad(found) == []
    assert named(found, Name.STUB_LIBRARY)[0].severity is Severity.NOTE


def test_a_mask_that_hides_everything_is_a_problem_where_there_is_a_card(tree: MachineTree) -> None:
    workstation(tree)
    found = tree.findings(CUDA_VISIBLE_DEVICES="-1")
    assert bad(found) == [Name.MASK_HIDES_ALL, Name.NO_USABLE_GPU]
    assert named(found, Name.MASK_HIDES_ALL)[0].command == "unset CUDA_VISIBLE_DEVICES"


@pytest.mark.parametrize(("entry", "names"), [("0", True), (UUID[:12], True), ("1", False), ("GPU-0", False)])
def test_a_mask_that_names_no_card_of_this_machine_hides_everything(
    tree: MachineTree, entry: str, names: bool
) -> None:
    workstation(tree)
    found = tree.findings(USABLE, CUDA_VISIBLE_DEVICES=entry)
    expected = [] if names else [Name.MASK_HIDES_ALL, Name.MASK_ENTRY_NAMES_NOTHING]
    assert bad(found) == expected


@pytest.mark.parametrize(
    ("entry", "expected"),
    [(UUID, []), ("0", []), ("1", [Name.MASK_HIDES_ALL, Name.MASK_ENTRY_NAMES_NOTHING])],
)
def test_a_mask_may_name_the_uuid_of_a_card_whose_driver_has_not_read_it_yet(
    tree: MachineTree, entry: str, expected: list[Name]
) -> None:
    workstation(tree)
    tree.nvidia_driver(uuid="GPU-????????-????-????-????-????????????")
    assert bad(tree.findings(USABLE, CUDA_VISIBLE_DEVICES=entry)) == expected


@pytest.mark.parametrize("mask", ["5", "GPU-c0de000000000005"])
@pytest.mark.parametrize(("parts", "fits"), [(8, True), (0, True), (4, False)])
def test_rocm_s_mask_counts_the_parts_of_a_card_and_is_not_judged_where_they_are_not_known(
    tree: MachineTree, mask: str, parts: int, *, fits: bool
) -> None:
    radeon(tree)
    tree.kernel_shows(processors=2, parts=parts)
    expected = [] if fits else [Name.MASK_HIDES_ALL, Name.MASK_ENTRY_NAMES_NOTHING]
    assert bad(tree.findings(USABLE, ROCR_VISIBLE_DEVICES=mask)) == expected


def test_a_machine_with_nothing_has_no_problem(tree: MachineTree) -> None:
    found = tree.findings()
    assert bad(found) == []
    assert [finding.name for finding in found] == [
        Name.NO_CARD,
        Name.NO_MASK,
        Name.LIMITS_SUFFICIENT,
        Name.LEASES_POSSIBLE,
        Name.NO_USABLE_GPU,
    ]


@pytest.mark.parametrize("missing", ["nvidiactl", "nvidia-uvm", "nvidia0"])
def test_a_node_that_is_missing_beside_a_loaded_driver_is_named(tree: MachineTree, missing: str) -> None:
    workstation(tree)
    tree.below(f"/dev/{missing}").unlink()
    found = tree.findings(USABLE)
    assert bad(found) == [Name.NODE_MISSING]
    assert named(found, Name.NODE_MISSING)[0].expected == f"the device node /dev/{missing}"


@pytest.mark.parametrize(
    ("missing", "severity"), [("/dev/kfd", Severity.WARNING), ("/dev/dri/renderD128", Severity.PROBLEM)]
)
def test_without_kfd_there_is_vulkan_and_without_a_render_node_there_is_nothing(
    tree: MachineTree, missing: str, severity: Severity
) -> None:
    radeon(tree)
    tree.below(missing).unlink()
    (node,) = named(tree.findings(USABLE), Name.NODE_MISSING)
    assert (node.expected, node.severity) == (f"the device node {missing}", severity)


def test_under_windows_one_node_is_all_there_is(tree: MachineTree) -> None:
    tree.file("/proc/sys/kernel/osrelease", "5.15.167.4-microsoft-standard-WSL2\n")
    (node,) = named(tree.findings(USABLE), Name.NODE_MISSING)
    assert "wsl --update" in node.next_step
    tree.node("/dev/dxg")
    tree.library("libcuda.so.1", directory="/usr/lib/wsl/lib")
    tree.library("libvulkan.so.1")
    assert bad(tree.findings(USABLE)) == []


def test_a_container_under_windows_that_was_given_no_gpu_has_no_problem(tree: MachineTree) -> None:
    tree.file("/proc/sys/kernel/osrelease", "5.15.167.4-microsoft-standard-WSL2\n")
    tree.file("/.dockerenv")
    assert bad(tree.findings()) == []


def test_a_file_that_vulkan_s_loader_is_told_to_read_has_to_be_there(tree: MachineTree) -> None:
    tree.file("/etc/vulkan/icd.d/there.json")
    found = tree.findings(VK_DRIVER_FILES="/etc/vulkan/icd.d/there.json:/gone.json")
    assert bad(found) == [Name.FILE_MISSING]
    (missing,) = named(found, Name.FILE_MISSING)
    assert missing.came.startswith("there is no /gone.json")
    assert missing.next_step == "correct or unset VK_DRIVER_FILES"


def leases_forbidden(path: str, mode: int) -> bool:
    return not path.endswith("/leases")


@pytest.mark.parametrize(
    ("make", "may", "words"),
    [
        (lambda tree: tree.file("/leases"), None, "it is no directory"),
        (lambda tree: tree.file("/leases/x"), leases_forbidden, "no permission to write there"),
        (lambda tree: None, lambda path, mode: False, "forbids to make it"),
    ],
    ids=["file", "forbidden", "not there"],
)
def test_a_place_for_leases_that_cannot_be_used_is_a_warning(
    tree: MachineTree, make: Callable[[MachineTree], None], may: Callable[[str, int], bool], words: str
) -> None:
    make(tree)
    (leases,) = named(tree.findings(may=may), Name.LEASES_IMPOSSIBLE)
    assert words in leases.came


def test_an_ollama_on_path_is_named_with_its_variants(tree: MachineTree) -> None:
    tree.file("/usr/bin/ollama", "#!/bin/sh\n")
    tree.below("/usr/bin/ollama").chmod(0o755)
    tree.file("/usr/lib/ollama/cuda_v13/libggml-cuda.so")
    (ollama,) = named(tree.findings(), Name.OLLAMA_FOUND)
    assert ollama.came == "Ollama is at /usr/bin/ollama, its libraries at /usr/lib/ollama: cuda_v13"
