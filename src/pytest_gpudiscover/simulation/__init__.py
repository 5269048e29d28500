"""Simulated machines, for tests of code that meets GPUs.

`FakeHost` is a machine as a value. Its devices are discovered like real ones, through processes of the fake
runner (`FakeHost.installation`), or with the same verdicts in memory (`FakeHost.in_memory`). `simulate` does
whole discoveries in memory, under virtual time, in an order that a seed decides.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pytest_gpudiscover.simulation.calls import Answered, Call
from pytest_gpudiscover.simulation.hosts import FakeHost, showcase
from pytest_gpudiscover.simulation.machines import MACHINES
from pytest_gpudiscover.simulation.profiles import PROFILES, Profile

if TYPE_CHECKING:
    from pytest_gpudiscover.simulation.performances import Event
    from pytest_gpudiscover.simulation.simulating import Simulated, Simulation, simulate
    from pytest_gpudiscover.simulation.virtual_time import StandstillError

# These need the engine and asyncio, which the plugin must not load for nothing.
_HOMES = {
    "Event": "performances",
    "Simulated": "simulating",
    "Simulation": "simulating",
    "StandstillError": "virtual_time",
    "simulate": "simulating",
}

__all__ = [
    "MACHINES",
    "PROFILES",
    "Answered",
    "Call",
    "Event",
    "FakeHost",
    "Profile",
    "Simulated",
    "Simulation",
    "StandstillError",
    "showcase",
    "simulate",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
