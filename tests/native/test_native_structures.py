"""The structures as declared for ctypes, against the real headers of this machine."""

from __future__ import annotations

import ctypes
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from pytest_gpudiscover.native.drivers import vulkan_api, vulkan_structures
from pytest_gpudiscover.native.drivers.vulkan_structures import Tagged

if TYPE_CHECKING:
    from pathlib import Path

STRUCTURES = {
    name: declared
    for name, declared in vars(vulkan_structures).items()
    if name.startswith("Vk") and issubclass(declared, ctypes.Structure)
}
CONSTANTS = {
    "VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU": vulkan_api.TYPE_INTEGRATED_GPU,
    "VK_PHYSICAL_DEVICE_TYPE_CPU": vulkan_api.TYPE_CPU,
    "VK_MEMORY_HEAP_DEVICE_LOCAL_BIT": vulkan_api.HEAP_DEVICE_LOCAL,
    "VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT": vulkan_api.MEMORY_DEVICE_LOCAL,
    "VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT": vulkan_api.MEMORY_HOST_VISIBLE,
    "VK_QUEUE_GRAPHICS_BIT": vulkan_api.QUEUE_GRAPHICS,
    "VK_QUEUE_COMPUTE_BIT": vulkan_api.QUEUE_COMPUTE,
    "VK_QUEUE_TRANSFER_BIT": vulkan_api.QUEUE_TRANSFER,
    "VK_BUFFER_USAGE_TRANSFER_SRC_BIT": vulkan_api.BUFFER_TRANSFER_SRC,
    "VK_BUFFER_USAGE_TRANSFER_DST_BIT": vulkan_api.BUFFER_TRANSFER_DST,
    "VK_PIPELINE_STAGE_TRANSFER_BIT": vulkan_api.STAGE_TRANSFER,
    "VK_PIPELINE_STAGE_HOST_BIT": vulkan_api.STAGE_HOST,
    "VK_ACCESS_TRANSFER_READ_BIT": vulkan_api.ACCESS_TRANSFER_READ,
    "VK_ACCESS_TRANSFER_WRITE_BIT": vulkan_api.ACCESS_TRANSFER_WRITE,
    "VK_ACCESS_HOST_READ_BIT": vulkan_api.ACCESS_HOST_READ,
    "VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR": vulkan_api.INSTANCE_ENUMERATE_PORTABILITY,
    "VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT": vulkan_api.COMMAND_BUFFER_ONE_TIME_SUBMIT,
    "VK_DRIVER_ID_NVIDIA_PROPRIETARY": vulkan_api.DRIVER_NVIDIA_PROPRIETARY,
    "VK_DRIVER_ID_INTEL_PROPRIETARY_WINDOWS": vulkan_api.DRIVER_INTEL_PROPRIETARY_WINDOWS,
    "VK_API_VERSION_1_1": vulkan_api.API_VERSION_1_1,
    "VK_WHOLE_SIZE": vulkan_api.WHOLE_SIZE,
} | {name: result for result, name in vulkan_api.RESULT_NAMES.items()}


def structure_type(name: str) -> str:
    """The constant of a structure's type: VkMemoryBarrier's is VK_STRUCTURE_TYPE_MEMORY_BARRIER."""
    words = re.findall(r"ID|PCI|EXT|2|[A-Z][a-z]+", name.removeprefix("Vk"))
    return "VK_STRUCTURE_TYPE_" + "_".join(words).upper()


def as_declared() -> dict[str, int]:
    """Every C expression whose value ctypes must agree on, with the value as it is declared for ctypes."""
    values = dict(CONSTANTS)
    for name, structure in STRUCTURES.items():
        values[f"sizeof({name})"] = ctypes.sizeof(structure)
        for field, *_ in structure._fields_:
            values[f"offsetof({name}, {field})"] = getattr(structure, field).offset
            values[f"sizeof((({name} *)0)->{field})"] = getattr(structure, field).size
        if issubclass(structure, Tagged):
            values[structure_type(name)] = structure.S_TYPE
    return values


@pytest.fixture
def in_c(gcc: str, vulkan_headers: Path, tmp_path: Path) -> dict[str, int]:
    """The same expressions, as a program compiled against the headers prints them."""
    expressions = list(as_declared())
    lines = [f'printf("%lld\\n", (long long)({expression}));' for expression in expressions]
    head = "#include <stddef.h>\n#include <stdio.h>\n#include <vulkan/vulkan.h>\n"
    source = head + "int main(void) {\n" + "\n".join(lines) + "\nreturn 0; }\n"
    program = tmp_path / "layout"
    command = [gcc, f"-I{vulkan_headers}", "-x", "c", "-o", str(program), "-"]
    subprocess.run(command, input=source, text=True, check=True)
    printed = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()
    return dict(zip(expressions, map(int, printed), strict=True))


def test_every_structure_and_constant_is_what_the_headers_say(in_c: dict[str, int]) -> None:
    signed = {name: ctypes.c_int64(value).value for name, value in as_declared().items()}
    assert signed == in_c


def test_every_function_has_as_many_arguments_as_in_the_headers(vulkan_headers: Path) -> None:
    header = (vulkan_headers / "vulkan/vulkan_core.h").read_text(encoding="utf-8")
    for name, (_, *arguments) in vulkan_api.SIGNATURES.items():
        prototype = re.search(rf"VKAPI_CALL {name}\(([^)]*)\)", header)
        assert prototype, name
        assert prototype[1].count(",") + 1 == len(arguments), name
