"""What `ollama gpu-discover` prints: bytes in, devices and rejections out.

Ollama asks itself this way from release 0.30 on; its keys are those of `nativeProbeDevice` in its source
(docs/wire.md). Reading it is as strict, and as patient with what it does not know, as `wire`. Nothing here
raises for what a program has printed.

Pure: no I/O here, but for one warning in the log.
"""

from __future__ import annotations

import re
from typing import Any

from pytest_gpudiscover.devices import DeviceInfo, pci_address
from pytest_gpudiscover.reports import Rejection
from pytest_gpudiscover.strict_json import (
    Object,
    Reader,
    RefusedError,
    decoded,
    in_one_sentence,
    kind,
    read_fields,
    read_flag,
    read_size,
    read_small_integer,
    read_text,
    repeated_keys,
)
from pytest_gpudiscover.wire import (
    Answer,
    believed,
    checked_list,
    read_identifier,
    read_position,
    refused_entry,
    refused_whole,
)

_LIBRARIES = {"cuda": "CUDA", "hip": "ROCm", "rocm": "ROCm", "vulkan": "Vulkan", "metal": "Metal"}
"""What ggml's libraries call themselves, in lower case, and what everybody else calls them."""
_UUID = ("GPU-", "MIG-")
"""How a text begins that a mask takes for a device, wherever it is in the enumeration."""
_GFX = re.compile(r"gfx([0-9a-f]{1,4})([0-9a-f]{2})(?::.*)?", re.ASCII)


def parse_printed(body: bytes) -> Answer:
    """Turn what was printed into devices and rejections, in its order; never raises, whatever the bytes.

    A body that is refused as a whole gives one rejection without a device.
    """
    try:
        entries = _entries(decoded(body))
    except RefusedError as refusal:
        return Answer((refused_whole(str(refusal)),))
    places: dict[str | None, int] = {}
    return Answer(tuple(believed(_entry(value, places)) for value in entries))


def _entries(value: object) -> list[Any]:
    if not isinstance(value, Object):
        raise RefusedError(f"expected an object with a list of devices, got {kind(value)}")
    if any(key.lower() == "devices" for key in repeated_keys(value)):
        raise RefusedError("the list of devices is given twice")
    found = [devices for key, devices in value.pairs if key.lower() == "devices"]
    if not found:
        raise RefusedError("expected an object with a list of devices, and it has none")
    # A list with nothing in it is null there.
    return [] if found[0] is None else checked_list(found[0])


def _library(value: object) -> str:
    text = read_text(value)
    return _LIBRARIES.get(text.lower(), text)


_FIELDS: dict[str, tuple[str, Reader]] = {
    # as printed: (in DeviceInfo, or what it is made of; how it is read)
    "library": ("library", _library),
    "index": ("index", read_position),
    "index_matches_backend": ("index_matches", read_flag),
    "name": ("name", read_text),
    "description": ("description", read_text),
    "device_id": ("device_id", read_text),
    "integrated": ("integrated", read_flag),
    "integrated_known": ("integrated_known", read_flag),
    "total_memory": ("total_memory", read_size),
    "free_memory": ("free_memory", read_size),
    "compute_major": ("compute_major", read_small_integer),
    "compute_minor": ("compute_minor", read_small_integer),
    "cuda_driver_major": ("driver_major", read_small_integer),
    "cuda_driver_minor": ("driver_minor", read_small_integer),
    "nvidia_driver_major": ("nvidia_driver_major", read_small_integer),
    "gfx_target": ("gfx_target", read_text),
}
_REQUIRED = ("library", "index")


def _entry(value: object, places: dict[str | None, int]) -> DeviceInfo | Rejection:
    """Read one entry; `places` counts those of each library, and this one too."""
    if not isinstance(value, Object):
        return refused_entry(DeviceInfo(id="", library=""), f"a device must be an object, got {kind(value)}")
    fields, problems = read_fields(value, _FIELDS)
    library = fields.get("library")
    place = places.get(library, 0)
    places[library] = place + 1
    given = {key.lower() for key, _ in value.pairs}
    problems += [f"{key}: missing" for key in _REQUIRED if key not in given]
    try:
        fields |= _identity(fields, place)
    except RefusedError as refusal:
        problems.append(f"device_id: {refusal}")
    device = _device(fields)
    return refused_entry(device, in_one_sentence(problems)) if problems else device


def _identity(fields: dict[str, Any], place: int) -> dict[str, str]:
    """The id, and the PCI id if it has one.

    Args:
        fields: what was read of the entry.
        place: among the entries of its library: what stands in for a number that is no position there.

    Raises:
        RefusedError: its UUID does not fit into a mask.
    """
    name = fields.get("device_id", "")
    number = str(fields.get("index", place) if fields.get("index_matches") else place)
    if name.startswith(_UUID):
        return {"id": read_identifier(name)}
    return {"id": number, "pci_id": name if pci_address(name) else ""}


def _device(fields: dict[str, Any]) -> DeviceInfo:
    target = _GFX.fullmatch(fields.get("gfx_target", ""))
    if target and not fields.get("compute_major"):
        fields |= {"compute_major": int(target[1], 16), "compute_minor": int(target[2], 16)}
    # Not the index: it counts what the masks have left, while `DeviceInfo.index` counts everything.
    known = {key: value for key, value in fields.items() if key in _OWN}
    return DeviceInfo(**({"id": "", "library": ""} | known))


_OWN = {
    *("library", "id", "pci_id", "name", "description", "integrated", "total_memory", "free_memory"),
    *("compute_major", "compute_minor", "driver_major", "driver_minor", "gfx_target"),
}
