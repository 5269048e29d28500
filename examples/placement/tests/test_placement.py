"""Laws of the placement, on machines that nobody owns."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from placement import DoesNotFitError, placed, room
from pytest_gpudiscover import DeviceInfo
from pytest_gpudiscover.simulation import FakeHost, simulate
from pytest_gpudiscover.strategies import Truth, faults
from pytest_gpudiscover.strategies import hosts as any_hosts

# A machine that is busy with something else takes longer for an example: that is no failure of a law.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

GIB = 1024**3

hosts = any_hosts(vendors=["NVIDIA", "AMD", "Intel"], min_gpus=1)
"""Any machine with one to four cards, as its libraries see it: twins, slices, cards without an address."""


def usable(host: FakeHost) -> tuple[DeviceInfo, ...]:
    """The GPUs of a machine that can really be used.

    In a simulation, they do not depend on the masks and on the memory of the machine that the tests run on.
    """
    return simulate(host).report.devices


@st.composite
def models_for(draw: st.DrawFn, devices: tuple[DeviceInfo, ...]) -> dict[str, int]:
    """Models, by the bytes that each needs, that fit on these GPUs one way or another.

    They are drawn to fit: of models that are drawn for themselves most have no place on a small machine, and
    Hypothesis refuses to throw so many away.
    """
    sizes: list[int] = []
    for device in devices:
        left = room(device)
        while left > 0 and len(sizes) < 6 and draw(st.booleans()):
            sizes.append(draw(st.integers(1, left)))
            left -= sizes[-1]
    return dict(zip("abcdef", draw(st.permutations(sizes)), strict=False))


@st.composite
def broken_hosts(draw: st.DrawFn) -> tuple[FakeHost, str]:
    """A machine on which one GPU fails when it is put to work, and the name of that GPU."""
    host = draw(hosts)
    fault = draw(faults(host, names=["crash_deep", "refuse_deep"]))
    # Wherever and whenever it is put to work.
    always = {"name": fault["name"], "device": fault["device"]}
    return host.with_fault(**always), fault["device"]


def tried(models: dict[str, int], devices: tuple[DeviceInfo, ...]) -> dict[str, DeviceInfo]:
    """Where the models go; what only another order would place is not of interest."""
    try:
        return placed(models, devices)
    except DoesNotFitError:
        assume(False)
        raise


@given(host=hosts, data=st.data())
def test_no_gpu_is_filled_beyond_its_room(host: FakeHost, data: st.DataObject) -> None:
    devices = usable(host)
    models = data.draw(models_for(devices))
    filled: Counter[DeviceInfo] = Counter()
    for model, device in tried(models, devices).items():
        filled[device] += models[model]
    assert all(size <= room(device) for device, size in filled.items())


@given(host=hosts, data=st.data())
def test_every_model_gets_a_gpu_of_the_machine(host: FakeHost, data: st.DataObject) -> None:
    devices = usable(host)
    models = data.draw(models_for(devices))
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


@given(host=hosts, data=st.data())
def test_the_order_of_the_models_does_not_matter(host: FakeHost, data: st.DataObject) -> None:
    devices = usable(host)
    models = data.draw(models_for(devices))
    backwards = dict(reversed(models.items()))
    assert tried(models, devices) == placed(backwards, devices)


@given(machine=broken_hosts(), data=st.data())
def test_nothing_is_put_on_a_gpu_that_fails(machine: tuple[FakeHost, str], data: st.DataObject) -> None:
    host, broken = machine
    devices = usable(host)
    truth = Truth.of(host)
    places = tried(data.draw(models_for(devices)), devices)
    assert broken not in {truth.behind(device).name for device in places.values()}


def test_a_machine_without_a_gpu_is_told_from_one_that_is_full() -> None:
    with pytest.raises(DoesNotFitError, match="the GPUs have \\[\\] left"):
        placed({"model": 1}, usable(FakeHost.of()))
