"""Hypothesis strategies for GPUs, the machines they are in, and everything that goes wrong with them.

`hosts` draws whole machines, and `Truth` says what is true of one, so that whatever you test can be held
against the truth. docs/property-testing.md shows how.
"""

from pytest_gpudiscover.strategies.bodies import bodies, body_of, damaged_bodies, mutated_bodies
from pytest_gpudiscover.strategies.body import Body
from pytest_gpudiscover.strategies.cards import VENDORS
from pytest_gpudiscover.strategies.faults import Fault, faults
from pytest_gpudiscover.strategies.machines import hosts
from pytest_gpudiscover.strategies.maps import Supported, supported_maps
from pytest_gpudiscover.strategies.masks import MASKED, Masks, masks
from pytest_gpudiscover.strategies.truth import Listed, PhysicalGpu, Truth
from pytest_gpudiscover.strategies.values import LIBRARIES, device_ids, devices
from pytest_gpudiscover.strategies.views import LOSSES

__all__ = [
    "LIBRARIES",
    "LOSSES",
    "MASKED",
    "VENDORS",
    "Body",
    "Fault",
    "Listed",
    "Masks",
    "PhysicalGpu",
    "Supported",
    "Truth",
    "bodies",
    "body_of",
    "damaged_bodies",
    "device_ids",
    "devices",
    "faults",
    "hosts",
    "masks",
    "mutated_bodies",
    "supported_maps",
]
