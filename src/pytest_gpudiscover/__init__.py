"""Find out which GPUs of a machine can really be used, and make that testable everywhere.

The public names are loaded when they are first used: every pytest run imports this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_gpudiscover.blocking import discover
    from pytest_gpudiscover.devices import Comparison, DeviceID, DeviceInfo
    from pytest_gpudiscover.engine import Discovery
    from pytest_gpudiscover.errors import GpuDiscoverError
    from pytest_gpudiscover.installations.native import NativeInstallation
    from pytest_gpudiscover.installations.ollama import OllamaInstallation
    from pytest_gpudiscover.reports import Phase, ProbeRecord, Reason, Rejection, Report

_HOMES = {
    "Comparison": "devices",
    "DeviceID": "devices",
    "DeviceInfo": "devices",
    "Discovery": "engine",
    "GpuDiscoverError": "errors",
    "NativeInstallation": "installations.native",
    "OllamaInstallation": "installations.ollama",
    "Phase": "reports",
    "ProbeRecord": "reports",
    "Reason": "reports",
    "Rejection": "reports",
    "Report": "reports",
    "discover": "blocking",
}

__all__ = [
    "Comparison",
    "DeviceID",
    "DeviceInfo",
    "Discovery",
    "GpuDiscoverError",
    "NativeInstallation",
    "OllamaInstallation",
    "Phase",
    "ProbeRecord",
    "Reason",
    "Rejection",
    "Report",
    "discover",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
