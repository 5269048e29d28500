"""Simulated machines, for tests of code that meets GPUs.

`FakeHost` is a machine as a value. Its devices are discovered like real ones, through processes of the fake
runner (`FakeHost.installation`), or with the same verdicts in memory (`FakeHost.in_memory`).
"""

from pytest_gpudiscover.simulation.calls import Answered, Call
from pytest_gpudiscover.simulation.hosts import FakeHost, showcase
from pytest_gpudiscover.simulation.machines import MACHINES
from pytest_gpudiscover.simulation.profiles import PROFILES, Profile

__all__ = ["MACHINES", "PROFILES", "Answered", "Call", "FakeHost", "Profile", "showcase"]
