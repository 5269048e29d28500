"""What the laws hold a discovery against: what is true of the machine it looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from random import Random
from typing import Any

from hypothesis import event, settings
from hypothesis import strategies as st

from pytest_gpudiscover import DeviceInfo, Report
from pytest_gpudiscover.masks import UserMasks, show_only
from pytest_gpudiscover.simulation import FakeHost, simulate
from pytest_gpudiscover.strategies import Listed, Truth
from pytest_gpudiscover.surroundings import Surroundings

SYSTEM_MEMORY = 7
"""Bytes: what is available to the integrated GPUs of CUDA, and no figure of any drawn GPU."""

COMPUTE = ("CUDA", "ROCm")
"""The libraries that win over the others."""

chances: st.SearchStrategy[Random] = st.builds(Random, st.integers(0, 999))
"""Chance that is drawn as one seed: quicker than a choice of Hypothesis for each turn, and as repeatable."""


def some(share: float) -> settings:
    """A part of the examples of the profile in force, for laws of which each takes long."""
    assert settings.default is not None
    return settings(max_examples=max(1, round(settings.default.max_examples * share)))


def surroundings(masks: Mapping[str, str] | None = None) -> Surroundings:
    """A Linux machine with these masks in its environment, and nothing else."""
    return Surroundings(environment=dict(masks or {}), available_memory=lambda: SYSTEM_MEMORY)


def found(host: FakeHost, masks: Mapping[str, str] | None = None, **options: Any) -> Report:
    """Discover a machine in memory, under virtual time; unless a `seed` is given, nothing takes any."""
    return simulate(host, **{"seed": None, "surroundings": surroundings(masks), **options}).report


def shown_by(devices: Sequence[DeviceInfo], masks: Mapping[str, str]) -> dict[str, str]:
    """The user's masks, changed by those with which the engine shows just these devices."""
    changes = show_only(devices, UserMasks.read(masks, "linux"))
    return {name: value for name, value in {**masks, **changes}.items() if value is not None}


def _cards(truth: Truth) -> set[str]:
    return {gpu.card for gpu in truth.gpus}


def _kinds(host: FakeHost) -> list[str]:
    return [gpu["profile"] for gpu in host.document["gpu"] if "uuid" not in gpu]


def _versions(host: FakeHost) -> int:
    """How many variants of one library list something, at the most."""
    libraries = [variant["library"] for variant in host.document["variant"].values() if variant["devices"]]
    return max(map(libraries.count, libraries), default=0)


def _without_address(truth: Truth) -> list[Listed]:
    return [each for each in truth.listed if each.gpu.card != each.gpu.name and not each.device.pci_id]


def _are_twins(one: Listed, other: Listed) -> bool:
    mine, theirs = one.device, other.device
    alike = (mine.variant, mine.description) == (theirs.variant, theirs.description)
    return alike and one.gpu.card != other.gpu.card


SHAPES: dict[str, Callable[[FakeHost, Truth], bool]] = {
    "no card": lambda host, _: not _kinds(host),
    "three cards or more": lambda host, _: len(_kinds(host)) >= 3,
    "nothing is listed": lambda host, truth: bool(truth.gpus) and not truth.listed,
    "two versions": lambda host, _: _versions(host) == 2,
    "three versions": lambda host, _: _versions(host) == 3,
    "missing PCI ids": lambda _, truth: bool(_without_address(truth)),
    "twins": lambda host, _: len({*_kinds(host)}) < len(_kinds(host)),
    "twins without PCI ids": lambda _, truth: any(
        _are_twins(one, other) for one, other in combinations(_without_address(truth), 2)
    ),
    "mixed vendors": lambda _, truth: {"CUDA", "ROCm"} <= {each.device.library for each in truth.listed},
    "one card, two libraries": lambda _, truth: any(
        one.gpu == other.gpu and one.device.library != other.device.library
        for one, other in combinations(truth.listed, 2)
    ),
    "slices": lambda _, truth: len(_cards(truth)) < len(truth.gpus),
    "integrated": lambda _, truth: any(gpu.integrated for gpu in truth.gpus),
    "other ids than usual": lambda host, _: any("ids" in each for each in host.document["variant"].values()),
    "odd PCI ids": lambda _, truth: any(
        each.device.pci_id not in ("", each.gpu.card) for each in truth.listed
    ),
    "short PCI ids": lambda _, truth: any(len(each.device.pci_id) == len("01:00.0") for each in truth.listed),
    "cards on one bus": lambda _, truth: (
        len({card.partition(".")[0] for card in _cards(truth)}) < len(_cards(truth))
    ),
}
"""What is interesting about a machine, in words, and how it is seen."""


def tell(host: FakeHost) -> None:
    """Note what is interesting about a drawn machine, for Hypothesis's statistics."""
    truth = Truth.of(host)
    for shape, is_there in SHAPES.items():
        if is_there(host, truth):
            event(shape)
