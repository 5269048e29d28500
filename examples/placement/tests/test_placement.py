"""Laws of the placement, on machines that nobody owns."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from placement import DoesNotFitError, placed, room
from pytest_gpudiscover import DeviceInfo, discover
from pytest_gpudiscover.simulation import FakeHost
from pytest_gpudiscover.strategies import Truth, faults
from pytest_gpudiscover.strategies import hosts as any_hosts

GIB = 1024**3

hosts = any_hosts(vendors=["NVIDIA", "AMD", "Intel"], min_gpus=1)
"""Any machine with one to four cards, as its libraries see it: twins, slices, cards without an address."""
sizes = st.integers(1, 40).map(lambda size: size * GIB)
models = st.dictionaries(st.sampled_from("abcdefgh"), sizes, min_size=1, max_size=6)
"""Any models, by the bytes that each needs."""


@st.composite
def broken_hosts(draw: st.DrawFn) -> tuple[FakeHost, str]:
    """A machine on which one GPU fails when it is put to work, and the name of that GPU."""
    host = draw(hosts)
    fault = draw(faults(host, names=["crash_deep", "refuse_deep"]))
    # Wherever and whenever it is put to work.
    always = {"name": fault["name"], "device": fault["device"]}
    return host.with_fault(**always), fault["device"]


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
def test_nothing_is_put_on_a_gpu_that_fails(machine: tuple[FakeHost, str], models: dict[str, int]) -> None:
    host, broken = machine
    truth = Truth.of(host)
    places = tried(models, usable(host))
    assert broken not in {truth.behind(device).name for device in places.values()}


def test_a_machine_without_a_gpu_is_told_from_one_that_is_full() -> None:
    with pytest.raises(DoesNotFitError, match="the GPUs have \\[\\] left"):
        placed({"model": 1}, usable(FakeHost.of()))
