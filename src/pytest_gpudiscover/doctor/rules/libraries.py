"""Libraries: which file the loader takes, whether it is a stub, and whether it fits the kernel's driver.

That the kernel's driver and libcuda must be of one version, and what the compatibility package is: NVIDIA's
"CUDA Compatibility".
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from pytest_gpudiscover.doctor.facts import AMD, INTEL, NVIDIA, Library, Machine
from pytest_gpudiscover.doctor.findings import Finding, Name, Severity, Topic
from pytest_gpudiscover.native.versions import is_of_nvidia_s_driver

_finding = partial(Finding, topic=Topic.LIBRARIES)

_OF_KERNEL = ("libcuda.so.1", "libnvidia-ml.so.1")
"""Must be of the version that the kernel's driver is of."""
_FOR_LINKING = "libcuda.so"
"""The name that programs are linked by; they load the library by its soname."""
_STUBBED = ("libcuda.so.1", _FOR_LINKING, "libnvidia-ml.so.1")


def about_libraries(machine: Machine) -> Iterator[Finding]:
    """What is missing beside a GPU, what is in the way, what differs, and what was found."""
    yield from _missing(machine)
    yield from _stubs(machine)
    for name in _OF_KERNEL:
        library, kernel = machine.library(name), machine.module("nvidia")
        if library and kernel:
            yield from _differing(library, kernel.version, machine)
    yield from map(_found, _taken(machine))


def _taken(machine: Machine) -> list[Library]:
    """The files that the loader takes, each by the first of its names."""
    by_file: dict[str, Library] = {}
    for library in machine.libraries:
        if machine.library(library.name) is library and not library.stub:
            by_file.setdefault(library.target, library)
    return list(by_file.values())


def _found(library: Library) -> Finding:
    version = f", version {library.version}" if library.version else ""
    named = " (LD_LIBRARY_PATH)" if library.named_by_user else ""
    came = f"{library.name}{version}, in {_folder(library)}{named}"
    return _finding(name=Name.LIBRARY_FOUND, severity=Severity.OK, came=came)


def _missing(machine: Machine) -> Iterator[Finding]:
    names = {library.name for library in machine.libraries}
    if (machine.has_gpu_of(NVIDIA) or machine.wsl) and "libcuda.so.1" not in names:
        # WSL does not tell whose its GPUs are, and a container need not have all those of its host.
        certain = machine.has_nodes_of(NVIDIA) or not (machine.wsl or machine.container)
        severity = Severity.PROBLEM if certain else Severity.NOTE
        yield _library_missing("libcuda.so.1", "CUDA", _without_cuda(machine), severity=severity)
    if machine.has_gpu_of(AMD) and not any(name.startswith("libamdhip64.so") for name in names):
        step = "install ROCm, if programs are to use it; Vulkan does without"
        yield _library_missing("libamdhip64.so", "ROCm", step)
    if machine.has_gpu_of(INTEL) and "libze_loader.so.1" not in names:
        step = "install it with Intel's compute runtime, if programs are to use it; Vulkan does without"
        yield _library_missing("libze_loader.so.1", "Level Zero", step)
    if machine.has_gpu and "libvulkan.so.1" not in names:
        step = "install the loader (Debian and Ubuntu: libvulkan1; Fedora: vulkan-loader)"
        yield _library_missing("libvulkan.so.1", "Vulkan", step)


def _library_missing(
    name: str, through: str, next_step: str, *, severity: Severity = Severity.NOTE
) -> Finding:
    return _finding(
        name=Name.LIBRARY_MISSING,
        severity=severity,
        came=f"there is no {name}: no GPU can be used through {through}",
        expected=f"{name} where the system's loader looks",
        next_step=next_step,
    )


def _without_cuda(machine: Machine) -> str:
    if machine.container:
        return (
            "let NVIDIA's Container Toolkit bring it: docker run --gpus all, with compute,utility in"
            " NVIDIA_DRIVER_CAPABILITIES"
        )
    if machine.wsl:
        return "install NVIDIA's driver for Windows, which brings it to /usr/lib/wsl/lib; none in WSL itself"
    return "install NVIDIA's driver in full (Debian: libcuda1; Ubuntu: libnvidia-compute)"


def _stubs(machine: Machine) -> Iterator[Finding]:
    for library in machine.libraries:
        if not library.stub or library.name not in _STUBBED:
            continue
        first = machine.library(library.name) is library and library.name != _FOR_LINKING
        came = "is a stub of CUDA's toolkit, which is there for linking and finds no GPU"
        where = "LD_LIBRARY_PATH" if library.named_by_user else "the paths of /etc/ld.so.conf.d"
        yield _finding(
            name=Name.STUB_LIBRARY,
            severity=Severity.PROBLEM if first else Severity.NOTE,
            came=f"{library.path}{', which the loader takes,' if first else ''} {came}",
            expected=f"the {library.name} of NVIDIA's driver",
            next_step=f"take {_folder(library)} off {where}",
        )


def _folder(library: Library) -> str:
    return library.path.rpartition("/")[0]


def _differing(library: Library, kernel: str, machine: Machine) -> Iterator[Finding]:
    if not (is_of_nvidia_s_driver(library.version) and kernel) or library.version == kernel:
        return
    both = f"{library.path} is of {library.version}, the kernel's driver of {kernel}"
    if library.compatible:
        yield _finding(
            name=Name.LIBRARY_COMPATIBLE,
            severity=Severity.NOTE,
            came=f"{both}: a package for forward compatibility, which only data center GPUs support",
            next_step=f"where CUDA fails with 804, take {_folder(library)} off the library path",
        )
        return
    in_container = "bring no driver's library of the container's own: the host's is passed in with --gpus all"
    on_host = (
        "restart the machine, so that the kernel takes the driver that was installed; or install one anew"
    )
    yield _finding(
        name=Name.LIBRARY_DIFFERS,
        severity=Severity.PROBLEM,
        came=both,
        expected=f"{library.name} of {kernel}: both of one version",
        next_step=in_container if machine.container else on_host,
    )
