"""Laws of refreshing: each device gets the figure of its own GPU or keeps the old one, and says which."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import event, given
from hypothesis import strategies as st

from fake_runner.faults import VOCABULARY
from pytest_gpudiscover import DeviceInfo
from pytest_gpudiscover.masks import UserMasks
from pytest_gpudiscover.refreshing import matched, updated
from pytest_gpudiscover.selection import renumbered
from pytest_gpudiscover.simulation import FakeHost, Simulated, Simulation, simulate
from pytest_gpudiscover.strategies import MASKED, Fault, Truth, devices, faults, hosts
from pytest_gpudiscover.wire import Answer
from truths import SYSTEM_MEMORY, chances, shown_by, surroundings, tell

MIB = 1 << 20
whole_views = hosts(lossy=["odd_pci_ids", "numbers", "reordered"])
"""Machines of which every entry says by a PCI id or a UUID which GPU it is, unless there is only one."""
by_number = hosts(vendors=["AMD"], min_gpus=3, max_gpus=4, max_variants=1, lossy=["no_pci_ids", "numbers"])
"""Machines of which many entries say by a number alone which GPU it is."""
lists = st.lists(devices(), max_size=5, unique_by=lambda device: device.device_id)
nameless = devices(libraries=["ROCm"]).map(lambda device: replace(device, pci_id=""))
alike_lists = st.lists(nameless, max_size=3, unique_by=lambda device: device.device_id)
"""Devices that only numbers tell apart, for the most part."""

WRONG = (
    *("vanish", "reorder", "crash_enumerate", "signal", "exit_early", "die_mid_response", "short_body"),
    *(
        "driver_too_old",
        "bad_json",
        "random_bytes",
        "wrong_shape",
        "duplicate_keys",
        "bad_int",
        "nan",
        "total_zero",
    ),
)
"""What can go wrong with a refresh without anything untrue being said of a GPU."""


def possible(host: FakeHost) -> list[str]:
    return [name for name in WRONG if host.document["gpu"] or not VOCABULARY[name].of_device]


def changed(host: FakeHost, *faults: Fault) -> tuple[tuple[DeviceInfo, ...], Simulated]:
    """Discover a machine, let its memory change and something go wrong, and refresh.

    Returns:
        what was found at first, and what is left after the refresh.
    """

    async def script(simulation: Simulation) -> tuple[DeviceInfo, ...]:
        first = await simulation.discovery.devices()
        gpus = [{**gpu, "free_memory": 5000 * MIB + n} for n, gpu in enumerate(host.document["gpu"])]
        simulation.host.update({**host.document, "gpu": gpus})
        for fault in faults:
            simulation.host.inject(**fault | {"phase": "refresh"})
        await simulation.discovery.devices()
        return first

    simulated = simulate(host, seed=None, script=script, surroundings=surroundings())
    return simulated.value, simulated


def figure(truth: Truth, device: DeviceInfo) -> int:
    """What a refresh must say of a device: an integrated GPU of CUDA has the system's memory."""
    if device.integrated and device.library == "CUDA":
        return SYSTEM_MEMORY
    return truth.behind(device).free_memory


@given(hosts())
def test_after_a_refresh_each_device_has_the_free_memory_of_its_own_gpu(host: FakeHost) -> None:
    """Caught in the reference: the survivor that became 0 gets the memory of the card that was rejected."""
    tell(host)
    first, simulated = changed(host)
    truth = Truth.of(simulated.host)
    fresh = tuple(replace(device, free_memory=figure(truth, device)) for device in first)
    assert (simulated.report.devices, simulated.report.rejected) == (fresh, ())


@given(hosts().flatmap(lambda host: st.tuples(st.just(host), faults(host, names=possible(host)))))
def test_what_a_refresh_cannot_update_keeps_its_old_figure_and_is_stale(case: tuple[FakeHost, Fault]) -> None:
    """Would have caught: a vanished card whose number, and memory, the next one inherits."""
    host, fault = case
    event(fault["name"])
    first, simulated = changed(host, fault)
    truth = Truth.of(simulated.host)
    for before, after in zip(first, simulated.report.devices, strict=True):
        now = before.free_memory if after.stale else figure(truth, before)
        assert after == replace(before, free_memory=now, stale=after.stale)


@given(whole_views, chances)
def test_a_refresh_gives_nothing_of_a_stranger_to_anybody(host: FakeHost, random: Random) -> None:
    """Caught in the reference: its unmasked answers are matched by number, to whoever has it now."""
    for variant in host.document["variant"]:
        listed = [each.device for each in Truth.of(host).by(variant)]
        kept = sorted(random.sample(listed, random.randint(0, len(listed))), key=listed.index)
        gone = sorted(random.sample(kept, random.randint(0, len(kept))), key=listed.index)
        answer = [device for device in listed if device not in gone]
        random.shuffle(answer)
        result = matched(renumbered(kept), Answer(tuple(answer)), ["CUDA", "ROCm", "Vulkan"])
        own = {new.device_id: old.free_memory for new, old in zip(renumbered(kept), kept, strict=True)}
        assert result.free == {
            new.device_id: own[new.device_id] for new in renumbered(kept) if new not in result.missing
        }
        assert [device.runner_id for device in result.missing] == [device.id for device in gone]
        assert set(result.strangers) == set(answer) - set(kept)


@given(lists, lists)
def test_in_a_refresh_everybody_is_matched_once_or_missing_and_every_entry_used_once_or_strange(
    kept: list[DeviceInfo], listed: list[DeviceInfo]
) -> None:
    """Would have caught: two entries that are both taken for one device, of which the last one counts."""
    found = matched(kept, Answer(tuple(listed)), ["CUDA", "ROCm", "Vulkan"])
    names = {device.device_id for device in kept}
    missing = {device.device_id for device in found.missing}
    assert (found.free.keys() | missing, found.free.keys() & missing) == (names, set())
    assert len(found.free) + len(found.strangers) == len(listed)
    assert set(found.strangers) <= set(listed)


@given(hosts(max_variants=1) | by_number, chances)
def test_behind_its_own_mask_every_device_of_a_refresh_is_found(host: FakeHost, random: Random) -> None:
    """Would have caught: a number behind the mask taken for the one that the runner gave at first."""
    # With one variant of each library, a runner that has all of them built in lists them together.
    listed = [each for each in Truth.of(host).listed if each.device.library in MASKED]
    kept = [each for each in listed if random.random() < 0.6]
    known = renumbered(UserMasks.read({}, "linux").translated(Answer(tuple(e.device for e in kept))).devices)
    masks = shown_by(known, {})
    shown = [each.device for each in Truth.of(host, masks).listed if each.device.library in MASKED]
    hidden = {each.device.library for each in listed} - {each.device.library for each in kept}
    answer = tuple(device for device in shown if device.library not in hidden)
    result = matched(known, Answer(answer), MASKED)
    assert result.free == {new.device_id: old.gpu.free_memory for new, old in zip(known, kept, strict=True)}


@given(alike_lists, alike_lists)
def test_a_refresh_takes_no_card_for_one_of_another_kind(
    kept: list[DeviceInfo], listed: list[DeviceInfo]
) -> None:
    """Caught by this project's own lives of machines: a card put into the place of another had its figure."""
    answer = [replace(device, free_memory=n) for n, device in enumerate(listed)]
    found = matched(kept, Answer(tuple(answer)), ["CUDA", "ROCm", "Vulkan"])
    for device in kept:
        if device.device_id in found.free:
            other = answer[found.free[device.device_id]]
            same_uuid = device.id == other.id and not other.id.isdigit()
            kinds = {(each.description, each.total_memory) for each in (device, other)}
            assert same_uuid or len(kinds) == 1


@given(lists, st.sets(st.integers(0, 4)))
def test_a_refresh_changes_free_memory_and_nothing_else(listed: list[DeviceInfo], places: set[int]) -> None:
    """Would have caught: an id, or a variant, taken from the newer answer."""
    free = {device.device_id: n for n, device in enumerate(listed) if n in places}
    expected = [
        replace(device, free_memory=free.get(device.device_id, device.free_memory), stale=n not in places)
        for n, device in enumerate(listed)
    ]
    assert list(updated(listed, free)) == expected
