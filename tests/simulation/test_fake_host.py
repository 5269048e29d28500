"""A machine as a value, and as one that changes while it is looked at: through processes and in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_gpudiscover import Discovery, Phase, Reason, discover
from pytest_gpudiscover.errors import HostFileError
from pytest_gpudiscover.installations import Installation
from pytest_gpudiscover.simulation import Answered, Call, FakeHost
from pytest_gpudiscover.simulation.calls import most_at_once, recorded
from pytest_gpudiscover.simulation.hosts import FAKE_RUNNER
from pytest_gpudiscover.text import GIB

Look = Callable[[FakeHost], Installation]

WITHOUT = ["vulkan", "cuda_v12"]
"""Variants that these tests do without, for the sake of speed."""


@pytest.fixture(params=["processes", "memory", "memory_with_file"])
def live(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Callable[..., FakeHost], Look]:
    """Two functions: one that makes a machine of cards, and one that gives the installation to look at it."""

    def machine(*cards: str) -> FakeHost:
        host = FakeHost.of(*cards)
        return host if request.param == "memory" else host.save(tmp_path / "host.json")

    def look(host: FakeHost) -> Installation:
        installed: Installation = (
            host.installation(without_variants=WITHOUT)
            if request.param == "processes"
            else host.in_memory(without_variants=WITHOUT)
        )
        return installed

    return machine, look


Live = tuple[Callable[..., FakeHost], Look]


async def test_a_card_that_fills_up_is_seen_by_the_next_refresh(live: Live) -> None:
    machine, look = live
    host = machine("RTX 4090")
    discovery = Discovery(look(host))
    (before,) = await discovery.devices()
    host.fill("gpu0", "20 GiB")
    (after,) = await discovery.devices()
    assert after.free_memory == before.free_memory - 20 * GIB
    host.set_free_memory("gpu0", "1 GiB")
    (after,) = await discovery.devices()
    assert (after.free_memory, after.total_memory) == (GIB, before.total_memory)


async def test_a_card_that_falls_off_the_bus_has_vanished(live: Live) -> None:
    machine, look = live
    host = machine("RTX 4090", "RTX 3090")
    discovery = Discovery(look(host))
    await discovery.devices()
    host.unplug("gpu1")
    assert [device.stale for device in await discovery.devices()] == [False, True]
    assert [(r.phase, r.reason, r.description) for r in discovery.report.rejected] == [
        (Phase.REFRESH, Reason.VANISHED, "NVIDIA GeForce RTX 3090")
    ]
    assert len(await discovery.devices(rescan=True)) == 1


async def test_a_card_that_is_plugged_in_is_found_by_a_rescan_and_not_by_a_refresh(live: Live) -> None:
    machine, look = live
    host = machine("RTX 4090")
    discovery = Discovery(look(host))
    await discovery.devices()
    host.plug("MI300X")
    assert [device.library for device in await discovery.devices()] == ["CUDA"]
    found = await discovery.devices(rescan=True)
    assert [(device.library, device.pci_id) for device in found] == [
        ("CUDA", "0000:01:00.0"),
        ("ROCm", "0000:02:00.0"),
    ]


async def test_a_card_in_the_slot_of_another_has_appeared(live: Live) -> None:
    machine, look = live
    host = machine("MI300X")
    discovery = Discovery(look(host))
    await discovery.devices()
    host.plug("MI210")
    host.unplug("gpu0")
    await discovery.devices()
    assert [(r.reason, r.description) for r in discovery.report.rejected] == [
        (Reason.VANISHED, "AMD Instinct MI300X"),
        (Reason.APPEARED, "AMD Instinct MI210"),
    ]


async def test_what_goes_wrong_from_now_on_can_be_healed(live: Live) -> None:
    machine, look = live
    host = machine("RTX 4090", "RTX 3090")
    discovery = Discovery(look(host))
    assert len(await discovery.devices()) == 2
    host.inject("crash_deep", device="gpu0", signal="SEGV")
    assert [device.description for device in await discovery.devices(rescan=True)] == [
        "NVIDIA GeForce RTX 3090"
    ]
    assert Reason.CRASHED in {r.reason for r in discovery.report.rejected}
    host.heal("crash_deep", device="gpu0")
    assert len(await discovery.devices(rescan=True)) == 2


async def test_an_earlier_value_brings_the_machine_back(live: Live) -> None:
    machine, look = live
    host = machine("RTX 4090")
    discovery = Discovery(look(host))
    before = await discovery.devices()
    host.fill("gpu0", "1 GiB")
    assert await discovery.devices() != before
    host.update(host)
    assert await discovery.devices() == before


def test_an_update_gives_a_new_value_and_leaves_the_old_one_as_it_was(tmp_path: Path) -> None:
    host = FakeHost.of("RTX 4090").save(tmp_path / "host.json")
    changed = host.fill("gpu0", "1 GiB")
    assert host == FakeHost.of("RTX 4090") != changed
    assert host.path == changed.path
    assert host.now == changed == FakeHost.load(host.path)


def test_changes_build_on_what_is_there_now_and_not_on_the_value_they_are_asked_of() -> None:
    host = FakeHost.of("RTX 4090", "RTX 3090")
    host.fill("gpu0", "1 GiB")
    host.unplug("gpu1")
    (gpu,) = host.now.document["gpu"]
    (untouched, _) = host.document["gpu"]
    assert gpu["free_memory"] == untouched["total_memory"] - GIB


def test_a_fault_added_to_a_value_leaves_the_place_alone(tmp_path: Path) -> None:
    host = FakeHost.of("RTX 4090").save(tmp_path / "host.json")
    host.with_fault("status")
    assert host.now == host


def test_two_places_of_one_machine_change_apart(tmp_path: Path) -> None:
    one = FakeHost.of("RTX 4090").save(tmp_path / "one.json")
    changed = one.fill("gpu0", "1 GiB")
    changed.save(tmp_path / "two.json").fill("gpu0", "1 GiB")
    assert one.path == tmp_path / "one.json"
    assert one.now == FakeHost.of("RTX 4090").fill("gpu0", "1 GiB")


REFUSED: dict[str, tuple[Callable[[FakeHost], object], str]] = {
    "fault": (lambda host: host.inject("melt"), "fault.*'melt'"),
    "no such gpu": (
        lambda host: host.unplug("gpu7"),
        "no GPU of this machine is called 'gpu7'; there is: gpu0",
    ),
    "no gpu to fill": (lambda host: host.fill("gpu7", 1), "'gpu7'; there is: gpu0"),
    "too full": (lambda host: host.fill("gpu0", "1 TiB"), "gpu0: expected at most the .* that are free"),
    "too empty": (lambda host: host.set_free_memory("gpu0", "1 TiB"), "gpu0: expected at most"),
    "no size": (lambda host: host.fill("gpu0", "much"), "size: expected bytes"),
    "no card": (lambda host: host.plug("RTX 4080 Ultra"), "no card is called 'RTX 4080 Ultra'; there is: "),
    "taken": (lambda host: host.plug("L4", name="gpu0"), "'gpu0' is taken"),
    "healthy": (
        lambda host: host.heal("status"),
        "no fault of this machine has name='status'; it has the faults: none",
    ),
    "key": (lambda host: host.update({"gpus": []}), "unknown key 'gpus'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_change_that_makes_no_sense_is_refused_and_changes_nothing(case: str, tmp_path: Path) -> None:
    host = FakeHost.of("RTX 4090").save(tmp_path / "host.json")
    before = host.path.read_bytes()
    change, said = REFUSED[case]
    with pytest.raises(HostFileError, match=said):
        change(host)
    assert host.path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["host.json"]


def test_a_file_that_somebody_else_wrote_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "showcase.toml"
    path.write_bytes((FAKE_RUNNER / "showcase.toml").read_bytes())
    before = path.read_bytes()
    host = FakeHost.load(path)
    with pytest.raises(HostFileError, match=r"showcase\.toml: this file was loaded.*save\(path\) a copy"):
        host.unplug("rtx4090")
    assert path.read_bytes() == before
    assert len(host.save(tmp_path / "mine.json").unplug("rtx4090").document["gpu"]) == 4


def test_a_change_that_cannot_be_written_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = FakeHost.of("RTX 4090").save(tmp_path / "host.json")

    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        host.fill("gpu0", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["host.json"]
    assert host.now == host


def test_who_reads_while_it_changes_reads_the_old_machine_or_the_new_one(tmp_path: Path) -> None:
    host = FakeHost.of("RTX 4090").save(tmp_path / "host.json")
    with host.path.open(encoding="utf-8") as reader:
        first = reader.read(1)
        host.fill("gpu0", "1 GiB")
        assert json.loads(first + reader.read())["gpu"] == host.document["gpu"]


def test_a_plugged_card_takes_the_first_free_slot_and_meets_its_own_limits() -> None:
    host = FakeHost.of("RTX 4090", "RTX 3090")
    host.unplug("gpu0")
    host.plug("GTX 1060", name="old", free_memory="1 GiB")
    document = host.now.document
    old = document["gpu"][-1]
    assert (old["name"], old["free_memory"]) == ("old", "1 GiB")
    assert old["pci_id"] not in {gpu["pci_id"] for gpu in document["gpu"][:-1]}
    report = discover(host.in_memory(without_variants=["vulkan"]))
    # CUDA 13 has no code for the old card, CUDA 12 has for both.
    assert [(device.description, device.variant) for device in report.devices] == [
        ("NVIDIA GeForce RTX 3090", "cuda_v12"),
        ("NVIDIA GeForce GTX 1060 6GB", "cuda_v12"),
    ]


def test_a_plugged_card_takes_no_pci_id_that_another_has() -> None:
    host = FakeHost({"gpu": [{"name": "one", "total_memory": "1 GiB", "pci_id": "0000:02:00.0"}]}).plug("L4")
    assert [gpu["pci_id"] for gpu in host.document["gpu"]] == ["0000:02:00.0", "0000:03:00.0"]


def test_an_unplugged_card_takes_its_faults_along() -> None:
    host = FakeHost.of("RTX 4090", "RTX 3090").with_fault("vanish", device="gpu0").with_fault("reorder")
    assert host.unplug("gpu0").document["fault"] == [{"name": "reorder"}]


def test_only_what_matches_is_healed() -> None:
    host = FakeHost.of("RTX 4090", "RTX 3090").with_fault("reorder")
    host.inject("vanish", device="gpu0")
    host.inject("vanish", device="gpu1")
    host.heal(device="gpu0")
    assert host.now.document["fault"] == [{"name": "reorder"}, {"name": "vanish", "device": "gpu1"}]
    assert host.heal("vanish").document["fault"] == [{"name": "reorder"}]


async def test_another_program_may_write_the_file_that_is_looked_at_in_memory(tmp_path: Path) -> None:
    host = FakeHost.of("RTX 4090").save(tmp_path / "host.json")
    discovery = Discovery(host.in_memory(without_variants=WITHOUT))
    await discovery.devices()
    host.path.write_text(json.dumps(FakeHost.of("RTX 4090", "L4").document), encoding="utf-8")
    assert len(await discovery.devices(rescan=True)) == 2


def test_healing_everything_heals_all_faults() -> None:
    host = FakeHost.of("RTX 4090").with_fault("status").with_fault("reorder")
    assert host.heal().document["fault"] == []
    assert host.heal().document["fault"] == []


def test_a_host_is_shown_in_a_few_words() -> None:
    host = FakeHost.of("L4", "L4", "MI300X").with_fault("status").with_fault("status", code=404)
    assert str(host) == "2x NVIDIA L4, AMD Instinct MI300X, status"
    assert str(FakeHost({})) == "no GPU"


# What was started


async def test_calls_tell_what_was_asked_in_which_environment_and_what_was_answered(live: Live) -> None:
    machine, look = live
    host = machine("RTX 4090", "RTX 3090")
    host = host.inject("crash_deep", device="gpu1")
    await Discovery(look(host)).devices()
    listing, *verifying = host.calls
    assert (listing.phase, listing.variant) == ("enumerate", "cuda_v13")
    assert listing.answered == Answered(status=200, devices=2, at=0)
    assert listing.answered.at >= listing.started
    assert {call.environment["GPUDISCOVER_PHASE"] for call in verifying} == {"verify"}
    assert all(call.masks.items() <= call.environment.items() for call in host.calls)
    assert [call.answered for call in verifying].count(None) == 1
    assert "PATH" not in listing.environment


async def test_an_answer_with_an_error_lists_no_device(live: Live) -> None:
    machine, look = live
    host = machine("RTX 4090").inject("status", code=500)
    await Discovery(look(host)).devices()
    assert [call.answered for call in host.calls] == [Answered(status=500, devices=0, at=0)]


async def test_no_more_runners_were_at_work_at_once_than_the_engine_was_allowed(live: Live) -> None:
    machine, look = live
    host = machine(*["L4"] * 4)
    await Discovery(look(host), max_parallel=2).devices()
    assert 1 <= host.most_at_once() <= 2


async def test_runners_that_were_at_work_at_once_are_counted() -> None:
    host = FakeHost.of("RTX 4090", "MI300X").with_fault("slow_start", phase="verify", seconds=0.05)
    await Discovery(host.in_memory(without_variants=WITHOUT)).devices()
    assert host.most_at_once() == 2


def call(pid: int, started: float, answered: float | None = None) -> Call:
    answer = None if answered is None else Answered(status=200, devices=1, at=answered)
    return Call(
        pid=pid, argv=(), variant="", phase="verify", deep=True, masks={}, started=started, answered=answer
    )


@pytest.mark.parametrize(
    ("calls", "most"),
    [
        ([], 0),
        ([call(1, 0.0)], 1),
        ([call(1, 0.0, 2.0), call(2, 1.0, 3.0), call(3, 2.5, 4.0)], 2),
        ([call(1, 0.0, 1.0), call(2, 2.0, 3.0)], 1),
        ([call(1, 0.0), call(2, 1.0)], 1),
        ([call(1, 0.0, 5.0), call(2, 1.0), call(3, 2.0, 3.0)], 2),
    ],
)
def test_runners_are_at_work_from_their_start_to_their_answer(calls: list[Call], most: int) -> None:
    assert most_at_once(calls) == most


START = {"pid": 7, "argv": ["x"], "variant": "", "phase": "verify", "deep": True, "masks": {}, "started": 1.0}


def test_a_record_may_lack_events_environments_and_answers_and_have_lines_of_another_kind() -> None:
    lines = [
        {"event": "answer", "pid": 9, "status": 200, "devices": 1, "answered": 0.5},
        START,
        {"event": "nap", "pid": 7},
    ]
    (lonely,) = recorded(lines)
    assert (lonely.pid, lonely.environment, lonely.answered) == (7, {}, None)


def test_an_answer_belongs_to_the_newest_start_of_its_process_id_and_only_the_first_counts() -> None:
    answer = {"event": "answer", "pid": 7, "status": 200, "devices": 1, "answered": 2.0}
    one, two = recorded([START, START | {"started": 1.5}, answer, answer | {"status": 404}])
    assert one.answered is None
    assert two.answered == Answered(status=200, devices=1, at=2.0)


def test_a_line_that_is_still_being_written_is_left_for_later(tmp_path: Path) -> None:
    host = FakeHost.of("RTX 4090").save(tmp_path / "host.json")
    record = tmp_path / "host.json.calls.jsonl"
    record.write_text(json.dumps(START) + "\n" + json.dumps(START)[:20], encoding="utf-8")
    assert [each.pid for each in host.calls] == [7]


def test_a_loaded_host_equals_the_one_that_was_saved_and_records_in_its_own_place(tmp_path: Path) -> None:
    one = FakeHost.of("RTX 4090").save(tmp_path / "one.json")
    loaded = FakeHost.load(one.path)
    assert loaded == one
    two = loaded.save(tmp_path / "two.json")
    two.discover(enumerate_timeout=20)
    assert two.calls
    assert one.calls == ()


def test_equal_hosts_have_equal_hashes() -> None:
    host = FakeHost.of("RTX 4090").with_fault("slow_start", seconds=1)
    reordered = {key: host.document[key] for key in reversed([*host.document])}
    equal = FakeHost(
        reordered | {"fault": [*host.document["fault"][:-1], {"seconds": 1.0, "name": "slow_start"}]}
    )
    assert equal == host
    assert len({host, equal, host.now, FakeHost.of("RTX 4090")}) == 2


@pytest.mark.parametrize("way", ["installation", "in_memory"])
def test_one_text_where_several_variants_are_meant_is_refused(way: str) -> None:
    with pytest.raises(TypeError, match="without_variants: expected a sequence of texts"):
        getattr(FakeHost.of("RTX 4090"), way)(without_variants="vulkan")
