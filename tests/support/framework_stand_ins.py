"""Frameworks that are not there: modules named torch, cupy and jax, in a directory on PYTHONPATH.

Each shows the cards that it was written for and that CUDA_VISIBLE_DEVICES names, as CUDA would, and then
misbehaves as told. Real ones of this machine are not found behind that directory.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path

from pytest_gpudiscover.devices import DeviceInfo

_SHOWN = """
import json, os, sys
from types import SimpleNamespace

cards = {{one["id"]: one for one in json.loads({cards!r})}}
whole = [one for one in cards.values() if one["id"].startswith("GPU-")]
mask = os.environ.get("CUDA_VISIBLE_DEVICES")
shown = [cards[name] for name in (cards if mask is None else mask.split(",")) if name in cards]
if any(one["id"].startswith("MIG-") for one in shown):
    del shown[1:]
"""

_TORCH = """
__version__ = "2.9.1"
version = SimpleNamespace(cuda="12.8", hip=None)

def properties(place):
    one = shown[place]
    domain, bus, rest = one["pci_id"].split(":")
    return SimpleNamespace(
        name=one["description"],
        total_memory=one["total_memory"],
        uuid=one["id"].removeprefix("GPU-"),
        pci_domain_id=int(domain, 16),
        pci_bus_id=int(bus, 16),
        pci_device_id=int(rest[:2], 16),
    )

cuda = SimpleNamespace(device_count=lambda: len(shown), get_device_properties=properties)
"""

_CUPY = """
__version__ = "13.6.0"

class CUDARuntimeError(RuntimeError):
    def __init__(self, status):
        super().__init__(f"cudaError {status}")
        self.status = status

def count():
    if not shown:
        raise CUDARuntimeError(int(os.environ.get("STATUS", "100")))
    return len(shown)

def properties(place):
    one = shown[place]
    domain, bus, rest = one["pci_id"].split(":")
    return {
        "name": one["description"].encode(),
        "totalGlobalMem": one["total_memory"],
        "uuid": bytes.fromhex(one["id"].removeprefix("GPU-").replace("-", "")),
        "pciDomainID": int(domain, 16),
        "pciBusID": int(bus, 16),
        "pciDeviceID": int(rest[:2], 16),
    }

runtime = SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError, is_hip=False, getDeviceCount=count, getDeviceProperties=properties
)
cuda = SimpleNamespace(runtime=runtime)
"""

_JAX = """
import importlib.metadata

importlib.metadata.distributions = lambda: []  # a real jax may have brought its plugins
__version__ = "0.8.0"
client = SimpleNamespace(platform_version="PJRT C API\\ncuda 12080")
found = [SimpleNamespace(platform="gpu", device_kind=one["description"], client=client) for one in shown]

def devices():
    return found or [SimpleNamespace(platform="cpu", device_kind="cpu", client=None)]
"""

_MODULES = {"torch": _TORCH, "cupy": _CUPY, "jax": _JAX}

_NO_OTHERS = f"""
import os, sys

here = os.path.dirname(__file__)
absent = [name for name in {[*_MODULES]} if not os.path.exists(os.path.join(here, f"{{name}}.py"))]
sys.modules.update(dict.fromkeys(absent))  # None: Python looks no further
"""


class Site:
    """A directory for PYTHONPATH: what is installed here is found, and no other framework.

    Attributes:
        path: the directory, which is made.
    """

    def __init__(self, path: Path, cards: Sequence[DeviceInfo]) -> None:
        self.path = path
        self._cards = json.dumps([vars(card) for card in cards])
        path.mkdir()
        (path / "sitecustomize.py").write_text(_NO_OTHERS, encoding="utf-8")

    def install(self, name: str, before: str = "", after: str = "") -> None:
        """Install a framework.

        Args:
            name: torch, cupy or jax.
            before: code to run before it is what it is.
            after: code that changes what it is.
        """
        shown = _SHOWN.format(cards=self._cards)
        parts = [textwrap.dedent(before), shown, _MODULES[name], textwrap.dedent(after)]
        (self.path / f"{name}.py").write_text("\n".join(parts), encoding="utf-8")
