"""Device nodes: whether they are there, and whether this user may open them.

Which nodes a driver needs: the README of NVIDIA's Linux driver; ROCm's documentation, "Configuring
permissions for GPU access".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby

from pytest_gpudiscover.doctor.facts import AMD, INTEL, NVIDIA, Machine, Node
from pytest_gpudiscover.doctor.findings import Finding, Name, Severity, Topic
from pytest_gpudiscover.native import groups

_finding = partial(Finding, topic=Topic.NODES)

PASSING = {
    NVIDIA: "start the container with GPUs: docker run --gpus all (NVIDIA Container Toolkit on the host)",
    AMD: "start the container with its nodes: docker run --device /dev/kfd --device /dev/dri",
    INTEL: "start the container with its nodes: docker run --device /dev/dri",
}
"""How the GPUs of a vendor are passed to a container."""
_RENDERING = "/dev/dri/render"
_SHOWN = 4
_AS_THE_DRIVER_SETS_THEM = (
    "no group that one may join has permission: restore what the driver sets (NVIDIA: mode 0666; others:"
    " group render, mode 0660), by its package or a udev rule"
)


def about_nodes(machine: Machine) -> Iterator[Finding]:
    """Which nodes are missing, which may not be opened, and which are as they should be."""
    yield from _missing(machine)
    forbidden = sorted((node for node in machine.nodes if not node.openable), key=_group)
    for _, nodes in groupby(forbidden, key=_group):
        yield _forbidden(list(nodes), machine)
    openable = [node for node in machine.nodes if node.openable]
    if openable:
        came = f"this user may open {_listed(openable)}"
        yield _finding(name=Name.NODES_OPENABLE, severity=Severity.OK, came=came)


def _missing(machine: Machine) -> Iterator[Finding]:
    there = {node.path for node in machine.nodes}
    wanting = [vendor for vendor in PASSING if _should_have_nodes(machine, vendor)]
    if machine.wsl and not machine.container and "/dev/dxg" not in there:
        yield _node_missing("/dev/dxg", "update Windows' driver of the GPU, and WSL (wsl --update)")
    if NVIDIA in wanting:
        yield from _missing_of_nvidia(machine, there)
    if AMD in wanting and "/dev/kfd" not in there:
        step = PASSING[AMD] if machine.container else _NO_KFD
        yield _node_missing("/dev/kfd", step, severity=Severity.WARNING)
    rendering = [vendor for vendor in wanting if vendor != NVIDIA]
    if rendering and not any(path.startswith(_RENDERING) for path in there):
        step = PASSING[rendering[0]] if machine.container else _NO_RENDER_NODE
        yield _node_missing("/dev/dri/renderD128", step)


def _should_have_nodes(machine: Machine, vendor: str) -> bool:
    # What a container was not given at all is a finding of its own.
    return machine.drives(vendor) and (machine.container is None or machine.has_nodes_of(vendor))


_NO_KFD = (
    "without it there is no ROCm; Vulkan does without. Take a kernel that was built with CONFIG_HSA_AMD, or"
    " install AMD's amdgpu-dkms"
)
_NO_RENDER_NODE = "restart the machine; if it stays, look into the kernel's log for what the driver says"


def _missing_of_nvidia(machine: Machine, there: set[str]) -> Iterator[Finding]:
    numbered = [path for path in there if path.removeprefix("/dev/nvidia").isdigit()]
    wanted = {"/dev/nvidiactl"} | ({"/dev/nvidia0"} if not numbered else set())
    if not machine.module("nvgpu"):  # whose GPUs, of Jetson's chips, share the memory of the machine
        wanted.add("/dev/nvidia-uvm")
    for path in sorted(wanted - there):
        if machine.container:
            yield _node_missing(path, PASSING[NVIDIA])
        else:
            making = "sudo nvidia-modprobe -u -c 0" if path == "/dev/nvidia-uvm" else "sudo nvidia-smi"
            yield _node_missing(path, "let NVIDIA's tool load the module and make the node", command=making)


def _node_missing(
    path: str, next_step: str, *, command: str = "", severity: Severity = Severity.PROBLEM
) -> Finding:
    return _finding(
        name=Name.NODE_MISSING,
        severity=severity,
        came=f"there is no {path}, although the kernel's driver is there",
        expected=f"the device node {path}",
        next_step=next_step,
        command=command,
    )


def _group(node: Node) -> tuple[int, str, bool]:
    return node.gid, node.group, node.member


def _forbidden(nodes: Sequence[Node], machine: Machine) -> Finding:
    first = nodes[0]
    next_step, command = _remedy(first, machine)
    owners = f"{first.owner}:{first.group or first.gid}"
    return _finding(
        name=Name.NODE_FORBIDDEN,
        severity=_severity(nodes, machine),
        came=f"{machine.user or 'this user'} may not open {_listed(nodes)} ({owners}, mode {first.mode:04o})",
        expected="permission to read and write",
        next_step=next_step,
        command=command,
    )


def _severity(nodes: Sequence[Node], machine: Machine) -> Severity:
    rendering_alone = all(node.path.startswith(_RENDERING) for node in nodes)
    if not rendering_alone or machine.drives(AMD) or machine.drives(INTEL):
        return Severity.PROBLEM
    # CUDA does without a render node, and that of a virtual machine's screen leads to no GPU.
    return Severity.WARNING if machine.has_gpu else Severity.NOTE


def _remedy(node: Node, machine: Machine) -> tuple[str, str]:
    """What to do, and the command for it."""
    group = groups.that_may(node.gid, node.mode)
    if group == groups.ROOTS:
        return _AS_THE_DRIVER_SETS_THEM + ("; on the host" if machine.container else ""), ""
    if machine.container or group == groups.UNMAPPED:
        return groups.container_with(group), ""
    if node.member:
        return f"log in again: you are a member of {node.group}, and this session began before", ""
    if not node.group:
        return (
            f"the group {node.gid} has no name here: give it one, then join it (usermod -aG)",
            f"sudo groupadd -g {node.gid} gpus",
        )
    return f"join the group {node.group}, then log in again", f"sudo usermod -aG {node.group} $USER"


def _listed(nodes: Sequence[Node]) -> str:
    paths = [node.path for node in nodes]
    more = [f"{len(paths) - _SHOWN} more"] if len(paths) > _SHOWN else []
    return ", ".join([*paths[:_SHOWN], *more])
