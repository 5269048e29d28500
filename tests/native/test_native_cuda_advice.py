"""What the native runner says of an NVIDIA card that is there and not usable, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpudiscover.native.drivers.cuda_advice import in_words, nvml_in_words
from pytest_gpudiscover.native.drivers.cuda_api import RESULT_NAMES, CudaError
from pytest_gpudiscover.native.drivers.cuda_system import is_container, is_node, problem_with_nodes
from pytest_gpudiscover.native.drivers.permission import remedy

if TYPE_CHECKING:
    from tests.native.conftest import OpenedBy, Start

LINUX = {"platform": "linux"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A file system with the device nodes that NVIDIA's driver makes, which everybody may open."""
    (tmp_path / "dev").mkdir()
    for name in ("nvidiactl", "nvidia-uvm", "nvidia0", "nvidia-caps", "null"):
        (tmp_path / "dev" / name).touch()
    return tmp_path


def write(root: Path, path: str, text: str = "") -> None:
    """Write a file below a root."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, encoding="utf-8")


def words(root: Path, result: int, **machine: Any) -> str:
    """What is said of a result of cuInit on such a machine, behind its name."""
    said = in_words(CudaError("cuInit", result), root=str(root), **(LINUX | machine))
    before = f"cuInit answered {RESULT_NAMES[result]} ({result}): "
    assert said.startswith(before)
    return said.removeprefix(before)


@pytest.mark.parametrize(
    ("result", "advice"),
    [
        (2, "the GPU has no memory left for a context"),
        (34, "this libcuda is the stub that CUDA's toolkit brings"),
        (46, "the GPU is taken, or not to be used: end the process that has it in exclusive mode"),
        (100, "the driver sees no GPU: check that nvidia-smi lists one"),
        (209, "the GPU or its driver is too old for the test kernel"),
        (222, "the driver is too old for the test kernel (PTX 6.0, of CUDA 9.0): update NVIDIA's driver"),
        (800, "the operation is not permitted"),
        (
            802,
            "the system is not ready: start NVIDIA's fabric manager (systemctl start nvidia-fabricmanager)",
        ),
        (803, "the kernel's driver and libcuda are of different versions"),
        (804, "this libcuda is a compatibility package"),
        (805, "the server of MPS cannot be reached: start it"),
        (807, "the server of MPS is not ready"),
        (999, "often /dev/nvidia* may not be opened; else the GPU may be lost: look for 'Xid'"),
    ],
)
def test_every_refusal_says_what_it_means_and_what_to_do(root: Path, result: int, advice: str) -> None:
    assert words(root, result).startswith(advice)


@pytest.mark.parametrize("result", [100, 304, 999])
def test_a_machine_without_device_nodes_is_told_of_the_kernel_s_driver(tmp_path: Path, result: int) -> None:
    missing = f"there is no {tmp_path}/dev/nvidiactl: load the kernel's driver (modprobe nvidia)"
    assert words(tmp_path, result).startswith(missing)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (".dockerenv", ""),
        ("run/.containerenv", "engine=podman"),
        ("run/secrets/kubernetes.io/serviceaccount/token", ""),
        ("var/run/secrets/kubernetes.io/serviceaccount/token", ""),
        ("run/systemd/container", "systemd-nspawn\n"),
        ("proc/1/cgroup", "12:memory:/kubepods/besteffort/pod1\n"),
    ],
)
def test_a_container_without_device_nodes_is_told_how_to_be_started(
    tmp_path: Path, path: str, text: str
) -> None:
    write(tmp_path, path, text)
    said = words(tmp_path, 100)
    assert f"there is no {tmp_path}/dev/nvidiactl: this container was started without GPUs" in said
    assert "docker run --gpus all, podman run --device nvidia.com/gpu=all" in said
    assert "modprobe" not in said


def test_a_machine_whose_first_process_is_in_no_group_of_a_container_is_none(tmp_path: Path) -> None:
    write(tmp_path, "proc/1/cgroup", "0::/init.scope\n")
    assert not is_container(str(tmp_path))


@pytest.mark.parametrize("result", [100, 304, 999])
def test_a_machine_without_the_node_for_memory_is_told_the_command_that_makes_it(
    root: Path, result: int
) -> None:
    (root / "dev/nvidia-uvm").unlink()
    assert words(root, result) == (
        f"there is no {root}/dev/nvidia-uvm: let NVIDIA's tool load the module and make the node"
        " (sudo nvidia-modprobe -u -c 0)"
    )


def test_a_container_without_the_node_for_memory_is_told_how_to_be_started(root: Path) -> None:
    (root / "dev/nvidia-uvm").unlink()
    write(root, ".dockerenv")
    said = words(root, 999)
    assert f"there is no {root}/dev/nvidia-uvm: this container was given only a part" in said
    assert "start it with them (docker run --gpus all" in said
    assert "modprobe" not in said


@pytest.mark.parametrize("there", [[], ["nvidia0", "nvidiactl"]])
def test_a_jetson_has_nodes_of_its_own_and_none_of_these_is_missed(tmp_path: Path, there: list[str]) -> None:
    write(tmp_path, "sys/module/nvgpu/initstate", "live")
    for name in there:
        write(tmp_path, f"dev/{name}")
    assert problem_with_nodes(str(tmp_path)) == ""
    if there:
        said = problem_with_nodes(str(tmp_path), lambda _path, _mode: False)
        assert said.startswith(f"no permission to open {tmp_path}/dev/nvidia0, {tmp_path}/dev/nvidiactl: ")


@pytest.mark.parametrize("elsewhere", [{"wsl": True}, {"platform": "win32"}])
def test_where_there_are_no_device_nodes_none_is_missed(tmp_path: Path, elsewhere: dict[str, Any]) -> None:
    assert words(tmp_path, 100, **elsewhere).startswith("the driver sees no GPU: ")


def test_a_gpu_that_is_hidden_in_wsl_is_found_by_removing_the_driver_for_linux(tmp_path: Path) -> None:
    said = words(tmp_path, 100, wsl=True)
    assert "remove NVIDIA's Linux driver packages from WSL, whose own library is in /usr/lib/wsl/lib" in said
    assert "Linux driver packages" not in words(tmp_path, 999, wsl=True)


@pytest.mark.parametrize("group", [987_654, 0])
def test_nodes_that_may_not_be_opened_are_named_with_the_remedy(
    root: Path, opened_by: OpenedBy, group: int
) -> None:
    with opened_by(group):
        said = problem_with_nodes(str(root), lambda path, _mode: path.endswith("ctl"))
    roots = "ask for permission for everybody (mode 0666), which is the driver's own setting"
    nodes = f"{root}/dev/nvidia-uvm, {root}/dev/nvidia0"
    assert said == f"no permission to open {nodes}: {remedy(group) if group else roots}"


def test_only_what_cuda_opens_is_a_node() -> None:
    names = ["nvidia", "nvidia0", "nvidia12", "nvidia-modeset", "nvidia-uvm", "nvidia-uvm-tools", "nvidiactl"]
    assert [name for name in names if is_node(name)] == ["nvidia0", "nvidia12", "nvidia-uvm", "nvidiactl"]


def test_two_versions_of_the_driver_are_both_named_with_the_library_s_place(root: Path) -> None:
    write(root, "sys/module/nvidia/version", "535.161.07\n")
    write(root, "proc/self/maps", "7f00-7f01 r--p 00000000 08:01 42   /opt/lib/libcuda.so.550.54.15\n")
    named = "the kernel's driver is 535.161.07, and /opt/lib/libcuda.so.550.54.15 is of 550.54.15: restart"
    assert words(root, 803).startswith(named)


@pytest.mark.parametrize(
    "library", ["libcuda.so.535.161.07", "libcuda.so.1", "libcuda.so.1.1", "libcuda.so.old.1", "libc.so.6"]
)
def test_versions_that_do_not_differ_or_are_not_known_are_not_named(root: Path, library: str) -> None:
    write(root, "sys/module/nvidia/version", "535.161.07\n")
    write(root, "proc/self/maps", f"7f00-7f01 r--p 00000000 08:01 42   /opt/lib/{library}\n")
    assert words(root, 803).startswith("the kernel's driver and libcuda are of different versions: ")


@pytest.mark.parametrize(
    ("state", "lost", "said"),
    [
        (0, False, ""),
        (-1, False, ""),
        (4, False, "; NVML says that it has no permission to talk to the driver"),
        (9, False, "; NVML says that the kernel's driver is not loaded: load it (modprobe nvidia)"),
        (17, False, "; NVML says that the driver's control device is blocked"),
        (18, False, "; NVML says that the kernel's driver and the libraries are of different versions"),
        (0, True, "; NVML says that the GPU is lost (15), off the PCI bus: look for 'Xid 79'"),
    ],
)
def test_nvml_adds_what_it_knows(state: int, lost: bool, said: str) -> None:
    words = nvml_in_words(state, lost=lost)
    assert words.startswith(said)
    assert bool(words) == bool(said)


@pytest.mark.parametrize(
    ("nvml_state", "said"), [("gone", "NVML says that the GPU is lost"), ("9", "is not loaded")]
)
def test_a_driver_that_refuses_is_followed_by_what_nvml_says(
    start: Start, cuda: str, nvml: str, nvml_state: str, said: str
) -> None:
    refusing = {"STAND_IN_INIT": "999", "STAND_IN_NVML": nvml_state}
    runner = start(GPUDISCOVER_DRIVER="cuda", LD_LIBRARY_PATH=f"{cuda}:{nvml}", **refusing)
    status, _, body = runner.get()
    assert status == 500
    assert "cuInit answered CUDA_ERROR_UNKNOWN (999): " in body
    assert said in body


def test_a_driver_that_says_what_is_wrong_is_not_followed_by_nvml(
    start: Start, cuda: str, nvml: str, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    refusing = {"STAND_IN_INIT": "802", "STAND_IN_CALLS": str(calls)}
    assert start(GPUDISCOVER_DRIVER="cuda", LD_LIBRARY_PATH=f"{cuda}:{nvml}", **refusing).get()[0] == 500
    assert "nvml" not in calls.read_text()
