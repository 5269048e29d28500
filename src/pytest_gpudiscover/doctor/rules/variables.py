"""Other variables of the environment that change what a discovery finds."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from pytest_gpudiscover.doctor.facts import Machine
from pytest_gpudiscover.doctor.findings import Finding, Name, Severity, Topic
from pytest_gpudiscover.text import printable

_finding = partial(Finding, topic=Topic.VARIABLES)

ORDER = "CUDA_DEVICE_ORDER"
_ORDERS = ("FASTEST_FIRST", "PCI_BUS_ID")

EFFECTS = {
    "HSA_OVERRIDE_GFX_VERSION": "ROCm takes every card for one of this version; another card may crash",
    ORDER: "CUDA counts its devices in this order",
    "CUDA_DISABLE_PTX_JIT": "CUDA compiles nothing for the GPU, and a deep verification does not succeed",
    "GPU_DEVICE_ORDINAL": "AMD's runtime shows only these devices",
    "VK_DRIVER_FILES": "Vulkan loads these drivers and no others",
    "VK_ICD_FILENAMES": "Vulkan loads these drivers and no others, unless VK_DRIVER_FILES says so",
    "VK_ADD_DRIVER_FILES": "Vulkan loads these drivers as well",
    "VK_LOADER_DRIVERS_DISABLE": "Vulkan leaves the drivers out that this names",
    "LD_LIBRARY_PATH": "libraries are looked for here first",
    "LD_PRELOAD": "every program loads this first, the runners too",
}
"""What each does; docs/doctor.md has the same list."""

FILES = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES")
"""Those that name files."""


def about_variables(machine: Machine) -> Iterator[Finding]:
    """Which are set, and which of the files they name are not there."""
    for name, effect in EFFECTS.items():
        if machine.variables.get(name):
            yield _variable_set(name, machine.variables[name], effect)
    for path in machine.absent_files:
        yield _finding(
            name=Name.FILE_MISSING,
            severity=Severity.PROBLEM,
            came=f"there is no {printable(path)}, which a variable names for Vulkan's loader",
            expected="the JSON file of a driver",
            next_step=f"correct or unset {_naming(path, machine)}",
        )


def _variable_set(name: str, value: str, effect: str) -> Finding:
    came = f"{name}={printable(value, 120)}: {effect}"
    if name == ORDER and value not in _ORDERS:
        return _finding(
            name=Name.VARIABLE_SET,
            severity=Severity.WARNING,
            came=came,
            expected=" or ".join(_ORDERS),
            next_step="correct it: another value counts as FASTEST_FIRST, or as nothing",
        )
    return _finding(name=Name.VARIABLE_SET, severity=Severity.NOTE, came=came)


def _naming(path: str, machine: Machine) -> str:
    return next((name for name in FILES if path in machine.variables.get(name, "")), FILES[0])
