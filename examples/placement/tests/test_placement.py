"""Laws of the placement, on machines that nobody owns."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from placement import DoesNotFitError, placed, room
from pytest_gpudiscover import DeviceInfo, discover
from pytest_gpudiscover.simulation import FakeHost

GIB = 1024**3
CARDS = ["GTX 1060", "RTX 4090", "RTX 5090", "H100", "MI300X", "RX 7900 XTX", "Radeon 780M", "Arc A770"]

hosts = st.lists(st.sampled_from(CARDS), min_size=1, max_size=4).map(lambda cards: FakeHost.of(*cards))
"""Any machine with one to four of these cards, twins included."""
models = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 40 * GIB), max_size=6)
"""Any models, by the bytes that each needs."""


@st.composite
def broken_hosts(draw: st.DrawFn) -> tuple[FakeHost, str]:
    """A machine on which one card crashes when it is put to work, and that card's PCI address."""
    host = draw(hosts)
    broken = draw(st.sampled_from(host.document["gpu"]))
    return host.with_fault("crash_deep", device=broken["name"]), broken["pci_id"]


def usable(host: FakeHost) -> tuple[DeviceInfo, ...]:
    """The GPUs of a machine that can really be used. Discovered in memory, it takes a few milliseconds."""
    return discover(host.in_memory()).devices


def tried(models: dict[str, int], devices: tuple[DeviceInfo, ...]) -> dict[str, DeviceInfo]:
    """Where the models go; examples in which they have no place are not of interest."""
    try:
        return placed(models, devices)
    except DoesNotFitError:
        assume(False)
        raise


@given(host=hosts, models=models)
def test_no_gpu_is_filled_beyond_its_room(host: FakeHost, models: dict[str, int]) -> None:
    filled: Counter[DeviceInfo] = Counter()
    for model, device in tried(models, usable(host)).items():
        filled[device] += models[model]
    assert all(size <= room(device) for device, size in filled.items())


@given(host=hosts, models=models)
def test_every_model_gets_a_gpu_of_the_machine(host: FakeHost, models: dict[str, int]) -> None:
    devices = usable(host)
    places = tried(models, devices)
    assert places.keys() == models.keys()
    assert set(places.values()) <= set(devices)


@given(host=hosts, size=st.integers(1, 300 * GIB))
def test_a_model_alone_is_refused_exactly_when_no_gpu_has_room_for_it(host: FakeHost, size: int) -> None:
    devices = usable(host)
    if any(size <= room(device) for device in devices):
        assert placed({"alone": size}, devices)
    else:
        with pytest.raises(DoesNotFitError, match="alone needs"):
            placed({"alone": size}, devices)


@given(host=hosts, models=models)
def test_the_order_of_the_models_does_not_matter(host: FakeHost, models: dict[str, int]) -> None:
    devices = usable(host)
    backwards = dict(reversed(models.items()))
    assert tried(models, devices) == placed(backwards, devices)


@given(machine=broken_hosts(), models=models)
def test_nothing_is_put_on_a_card_that_crashes(machine: tuple[FakeHost, str], models: dict[str, int]) -> None:
    host, broken = machine
    places = tried(models, usable(host))
    assert broken not in {device.pci_id for device in places.values()}


def test_a_machine_without_a_gpu_is_told_from_one_that_is_full() -> None:
    with pytest.raises(DoesNotFitError, match="the GPUs have \\[\\] left"):
        placed({"model": 1}, usable(FakeHost.of()))
