"""Asks one framework which GPUs it sees: `python -P program.py FRAMEWORK FILE`.

The answer, one JSON object, is written to the file: stdout belongs to whatever a framework wants to say. What
each framework offers is from its own documentation (`torch.cuda.get_device_properties`,
`cupy.cuda.runtime.getDeviceProperties`, `jax.devices`). Nothing of this package is imported, so that only the
framework under question decides what is loaded.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.util import find_spec
from typing import Any

_NO_DEVICE = (100, 35)
"""Results of CUDA's runtime (`cudaErrorNoDevice`, and `cudaErrorInsufficientDriver` where there is no driver)
and of HIP (`hipErrorNoDevice`)."""


def main(framework: str, path: str) -> None:
    """Ask a framework, and write down what it says."""
    answer = _ASKED[framework]() if find_spec(framework) else {"installed": False}
    with open(f"{path}.part", "w", encoding="utf-8") as file:  # noqa: PTH123 - imports no pathlib
        json.dump(answer, file)
    os.replace(f"{path}.part", path)  # noqa: PTH105 - the same


def _torch() -> dict[str, Any]:
    import torch

    hip, cuda = getattr(torch.version, "hip", None), getattr(torch.version, "cuda", None)
    shown = [torch.cuda.get_device_properties(place) for place in range(torch.cuda.device_count())]
    return {
        "version": str(torch.__version__),
        "library": "ROCm" if hip else "CUDA" if cuda else "",
        "devices": [
            {
                "name": one.name,
                "memory": one.total_memory,
                "uuid": str(getattr(one, "uuid", "")),
                "pci_id": _pci_id(
                    getattr(one, "pci_domain_id", None),
                    getattr(one, "pci_bus_id", None),
                    getattr(one, "pci_device_id", None),
                ),
            }
            for one in shown
        ],
    }


def _cupy() -> dict[str, Any]:
    import cupy

    runtime = cupy.cuda.runtime
    try:
        number = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        if error.status not in _NO_DEVICE:
            raise
        number = 0
    shown = [runtime.getDeviceProperties(place) for place in range(number)]
    return {
        "version": str(cupy.__version__),
        "library": "ROCm" if runtime.is_hip else "CUDA",
        "devices": [
            {
                "name": _text(one["name"]),
                "memory": one["totalGlobalMem"],
                "uuid": _uuid(bytes(one.get("uuid", b""))),
                "pci_id": _pci_id(one.get("pciDomainID"), one.get("pciBusID"), one.get("pciDeviceID")),
            }
            for one in shown
        ],
    }


def _jax() -> dict[str, Any]:
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # else it takes most of each card's memory
    import jax

    # It says nothing of memory, unless it has taken some, nor of UUIDs.
    shown = [one for one in jax.devices() if one.platform in ("gpu", "cuda", "rocm")]
    return {
        "version": str(jax.__version__),
        "library": _library_of_jax(shown[0].client.platform_version if shown else ""),
        "devices": [{"name": one.device_kind} for one in shown],
    }


def _library_of_jax(platform: str) -> str:
    """What it is built for. Without a device only its plugins tell."""
    from importlib.metadata import distributions  # slow, and the others need it not

    plugins = [(one.metadata["Name"] or "").replace("_", "-") for one in distributions()]
    said = platform or " ".join(name for name in plugins if name.startswith("jax-") and "plugin" in name)
    return next((library for library in ("CUDA", "ROCm") if library.lower() in said.lower()), "")


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode(errors="replace")


def _uuid(raw: bytes) -> str:
    # CuPy reads it as C's text, which ends at a zero: what is shorter than it should be is no UUID.
    return raw.hex() if len(raw) == 16 else ""


def _pci_id(domain: int | None, bus: int | None, device: int | None) -> str:
    """Write a PCI id; "" where the framework does not say it."""
    if bus is None or device is None:
        return ""
    return f"{domain or 0:04x}:{bus:02x}:{device:02x}.0"


_ASKED = {"torch": _torch, "cupy": _cupy, "jax": _jax}

if __name__ == "__main__":
    main(*sys.argv[1:])
