"""The engine's state: what a call does, what it remembers, and what callers hold."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from machines import eight_cards
from pytest_gpudiscover import Discovery, OllamaInstallation, Phase, Reason, Report, discover
from pytest_gpudiscover.errors import RunnerNotFoundError
from pytest_gpudiscover.probing.output import TRACE
from pytest_gpudiscover.recording import Progress
from pytest_gpudiscover.simulation import FakeHost
from pytest_gpudiscover.surroundings import Surroundings

GIB = 1 << 30


def with_free_memory(host: FakeHost, *sizes: str) -> FakeHost:
    """The same host, its cards with other free memory."""
    gpus = [{**gpu, "free_memory": size} for gpu, size in zip(host.document["gpu"], sizes, strict=True)]
    return FakeHost({**host.document, "gpu": gpus})


def phases(report: Report) -> list[Phase]:
    return [probe.phase for probe in report.probes]


async def test_the_first_call_bootstraps_and_a_later_one_refreshes(tmp_path: Path) -> None:
    host = FakeHost.of("RTX 4090", "RTX 3090").save(tmp_path / "host.json")
    discovery = Discovery(host.installation(without_variants=["vulkan", "cuda_v12"]))
    before = await discovery.devices()
    assert phases(discovery.report) == [Phase.ENUMERATE, Phase.VERIFY, Phase.VERIFY]
    with_free_memory(host, "3 GiB", "4 GiB").save(tmp_path / "host.json")
    after = await discovery.devices()
    assert phases(discovery.report) == [Phase.REFRESH]
    assert [device.free_memory for device in after] == [3 * GIB, 4 * GIB]
    assert [replace(device, free_memory=device.total_memory) for device in after] == list(before)


async def test_a_refresh_does_not_change_what_a_caller_holds(tmp_path: Path) -> None:
    # The reference hands out its own slice: there a refresh rewrites the caller's list.
    host = FakeHost.of("RTX 4090").save(tmp_path / "host.json")
    discovery = Discovery(host.installation(variant="cuda_v13"))
    held = await discovery.devices()
    kept = list(held)
    with_free_memory(host, "1 GiB").save(tmp_path / "host.json")
    assert [device.free_memory for device in await discovery.devices()] == [GIB]
    assert list(held) == kept
    assert held[0].free_memory == held[0].total_memory
    with pytest.raises(FrozenInstanceError):
        held[0].free_memory = 0  # type: ignore[misc]


async def test_a_refresh_gives_the_surviving_card_its_own_memory_and_not_that_of_the_rejected_one(
    tmp_path: Path,
) -> None:
    # The reference refreshes without a mask: there the survivor, now device 0, gets the memory of the card
    # that was listed first and rejected.
    rejected, survivor = "RX 6700 XT", "RX 7900 XTX"
    host = FakeHost.of(rejected, survivor).save(tmp_path / "host.json")
    discovery = Discovery(host.installation(variant="rocm"))
    (device,) = await discovery.devices()
    assert (device.id, device.filtered_id, device.description) == ("0", "1", "AMD Radeon RX 7900 XTX")
    with_free_memory(host, "5 GiB", "17 GiB").save(tmp_path / "host.json")
    (refreshed,) = await discovery.devices()
    assert refreshed.free_memory == 17 * GIB
    assert not refreshed.stale
    assert discovery.report.probes[0].mask == {"ROCR_VISIBLE_DEVICES": "1"}


async def test_a_rescan_bootstraps_anew() -> None:
    discovery = Discovery(FakeHost.of("RTX 4090").in_memory(variant="cuda_v13"))
    await discovery.devices()
    await discovery.devices(rescan=True)
    assert phases(discovery.report) == [Phase.ENUMERATE, Phase.VERIFY]


async def test_a_bootstrap_that_found_nothing_is_done() -> None:
    host = FakeHost({"variant": {"cuda_v13": {"library": "CUDA", "devices": []}}})
    discovery = Discovery(host.in_memory())
    assert await discovery.devices() == ()
    assert discovery.report.rejected == ()  # a variant that lists nothing is no rejection
    assert await discovery.devices() == ()
    assert discovery.report.probes == ()


async def test_a_bootstrap_that_did_not_find_its_runner_is_not_done(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runner = tmp_path / "runner"
    discovery = Discovery(OllamaInstallation([str(runner)], tmp_path), enumerate_timeout=20)
    with pytest.raises(RunnerNotFoundError, match="does not exist"):
        await discovery.devices()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    runner.write_text("#!/bin/sh\nexit 3\n")
    runner.chmod(0o755)
    assert await discovery.devices() == ()
    (rejection,) = discovery.report.rejected
    assert (rejection.phase, rejection.reason, rejection.device) == (Phase.ENUMERATE, Reason.EXITED, None)
    assert discovery.report.probes[0].exit_code == 3


async def test_a_cancelled_bootstrap_is_not_done_and_leaves_no_process(tmp_path: Path) -> None:
    host = (
        eight_cards().with_fault("hang_deep", variant="cuda_v13", device="card3").save(tmp_path / "host.json")
    )
    hanging = asyncio.Event()
    discovery = Discovery(
        host.installation(variant="cuda_v13"),
        observer=lambda progress: hanging.set() if progress.finished == 8 else None,
    )
    call = asyncio.create_task(discovery.devices())
    await hanging.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert not psutil.Process().children(recursive=True)
    eight_cards().save(tmp_path / "host.json")
    assert len(await discovery.devices()) == 8
    assert phases(discovery.report)[0] is Phase.ENUMERATE


async def test_two_calls_at_once_are_served_one_after_the_other() -> None:
    discovery = Discovery(FakeHost.of("RTX 4090").in_memory(variant="cuda_v13"))
    first, second = await asyncio.gather(discovery.devices(), discovery.devices())
    assert first == second
    assert phases(discovery.report) == [Phase.REFRESH]


def test_a_discovery_moves_from_one_event_loop_to_the_next() -> None:
    discovery = Discovery(FakeHost.of("RTX 4090").in_memory())

    async def twice() -> None:
        await asyncio.gather(discovery.devices(), discovery.devices())

    asyncio.run(twice())
    asyncio.run(twice())
    assert len(discovery.report.devices) == 1


async def test_a_call_from_another_event_loop_waits_for_its_turn() -> None:
    alive: list[int] = []
    host = FakeHost.of("RTX 4090").with_fault("slow_start", seconds=0.02)
    discovery = Discovery(
        host.in_memory(variant="cuda_v13"), observer=lambda progress: alive.append(progress.running)
    )
    elsewhere = (asyncio.to_thread(asyncio.run, discovery.devices()) for _ in range(3))
    results = await asyncio.gather(discovery.devices(), *elsewhere)
    assert len(set(results)) == 1
    assert max(alive) == 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"enumerate_timeout": 0}, "enumerate_timeout"),
        ({"verify_timeout": -1.0}, "verify_timeout"),
        ({"refresh_timeout": float("nan")}, "refresh_timeout"),
        ({"max_parallel": 0}, "max_parallel"),
        ({"overlap": "oldest"}, "oldest"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_by_name(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Discovery(FakeHost.of("RTX 4090").in_memory(), **options)


def test_discover_works_inside_a_running_event_loop() -> None:
    async def inside() -> Report:
        return discover(FakeHost.of("RTX 4090").in_memory())

    assert len(asyncio.run(inside()).devices) == 1


def test_discover_leaves_the_event_loop_of_the_thread_alone() -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        discover(FakeHost.of("RTX 4090").in_memory())
        assert asyncio.get_event_loop() is loop
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def with_system_memory(available: int | None) -> Surroundings:
    def read() -> int:
        if available is None:
            raise OSError("not today")
        return available

    return Surroundings(available_memory=read)


def integrated(library: str) -> FakeHost:
    gpu = {"name": "orin", "total_memory": "32 GiB", "free_memory": "1 GiB", "integrated": True}
    return FakeHost({"gpu": [gpu], "variant": {"builtin": {"library": library, "devices": ["orin"]}}})


async def test_an_integrated_cuda_device_has_the_system_s_available_memory_also_after_a_refresh() -> None:
    discovery = Discovery(integrated("CUDA").in_memory(), surroundings=with_system_memory(20 * GIB))
    assert [device.free_memory for device in await discovery.devices()] == [20 * GIB]
    assert [device.free_memory for device in discovery.report.devices] == [20 * GIB]
    assert [device.free_memory for device in await discovery.devices()] == [20 * GIB]


@pytest.mark.parametrize("library", ["Vulkan", "ROCm"])
def test_another_integrated_device_keeps_its_own_figure(library: str) -> None:
    report = discover(integrated(library).in_memory(), surroundings=with_system_memory(20 * GIB))
    assert [device.free_memory for device in report.devices] == [GIB]


def test_unreadable_system_memory_changes_nothing_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "pytest_gpudiscover.engine")
    report = discover(integrated("CUDA").in_memory(), surroundings=with_system_memory(None))
    assert [device.free_memory for device in report.devices] == [GIB]
    assert "not today" in caplog.text


def test_the_system_s_memory_is_not_read_without_an_integrated_device() -> None:
    def refuse() -> int:
        raise AssertionError("read without need")

    surroundings = Surroundings(available_memory=refuse)
    assert discover(FakeHost.of("RTX 4090").in_memory(), surroundings=surroundings).devices


def test_masks_of_the_user_are_respected_reported_and_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    masks = {"CUDA_VISIBLE_DEVICES": "1"}
    host = FakeHost.of("RTX 4090", "RTX 3090")
    report = discover(host.in_memory(variant="cuda_v13"), surroundings=Surroundings(environment=masks))
    assert [device.description for device in report.devices] == ["NVIDIA GeForce RTX 3090"]
    assert report.masks == masks
    assert "CUDA_VISIBLE_DEVICES='1'" in caplog.text


def test_a_number_behind_the_user_s_mask_is_translated_for_the_masks_we_set() -> None:
    host = FakeHost.of("MI300X", "MI300X", "MI300X")
    surroundings = Surroundings(environment={"ROCR_VISIBLE_DEVICES": "2,0", "HIP_VISIBLE_DEVICES": "1"})
    report = discover(host.in_memory(variant="rocm"), surroundings=surroundings)
    assert [(device.id, device.filtered_id, device.pci_id) for device in report.devices] == [
        ("0", "0", "0000:01:00.0")
    ]
    assert [probe.mask for probe in report.probes] == [{"ROCR_VISIBLE_DEVICES": "0"}] * 2


def test_the_log_says_what_was_done_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(TRACE, "pytest_gpudiscover")
    environment = {"API_TOKEN": "hunter2"}
    discover(
        FakeHost.of("RTX 4090", "GTX 1060").in_memory(), surroundings=Surroundings(environment=environment)
    )
    assert "hunter2" not in caplog.text
    said = {record.levelname if record.levelno != TRACE else "TRACE" for record in caplog.records}
    assert said >= {"INFO", "DEBUG", "TRACE"}
    for words in (
        "discovering available GPUs",
        "verifying that",
        "dropping duplicate",
        "supported GPU library",
    ):
        assert words in caplog.text


def test_nothing_from_a_runner_reaches_the_log_raw(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(TRACE, "pytest_gpudiscover")
    gpu = {"name": "card", "description": "\x1b[2Jcleared\nforged line", "total_memory": "8 GiB"}
    twin = {**gpu, "name": "twin"}
    view = {"library": "Vul\x1bkan", "ids": "number", "devices": ["card", "twin"]}
    host = FakeHost({"gpu": [gpu, twin], "variant": {"vulkan": view}})
    report = discover(host.in_memory())
    assert report.devices or report.rejected
    assert all(record.getMessage().isprintable() for record in caplog.records)


def test_a_wall_clock_that_jumps_has_no_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    jumps = itertools.cycle((3600.0, -3600.0))
    wall_clock = time.time
    monkeypatch.setattr(time, "time", lambda: wall_clock() + next(jumps))
    host = FakeHost.of("RTX 4090").with_fault("slow_start", seconds=0.01)
    report = discover(host.in_memory(variant="cuda_v13"), enumerate_timeout=20, verify_timeout=20)
    assert len(report.devices) == 1
    assert 0 < report.duration < 20
    assert all(probe.started <= probe.ended for probe in report.probes)


def test_the_observer_hears_of_every_start_and_every_end() -> None:
    heard: list[Progress] = []
    report = discover(FakeHost.of("RTX 4090").in_memory(), observer=heard.append)
    assert len([progress for progress in heard if progress.record]) == len(report.probes)
    assert len([progress for progress in heard if not progress.record]) == len(report.probes)
    assert heard[-1].running == 0


def test_metal_devices_are_trusted() -> None:
    gpu = {"name": "m3", "total_memory": "32 GiB"}
    host = FakeHost({"gpu": [gpu], "variant": {"": {"library": "Metal", "devices": ["m3"]}}})
    report = discover(host.in_memory())
    assert [device.library for device in report.devices] == ["Metal"]
    assert phases(report) == [Phase.ENUMERATE]


async def test_apple_silicon_returns_the_known_devices_as_they_are(tmp_path: Path) -> None:
    host = FakeHost.of("RTX 4090").save(tmp_path / "host.json")
    mac = Surroundings(system="darwin", machine="arm64")
    discovery = Discovery(host.in_memory(), surroundings=mac)
    before = await discovery.devices()
    assert await discovery.devices() == before
    assert discovery.report.probes == ()


def test_a_device_listed_twice_in_one_answer_is_kept_once() -> None:
    gpu = {"name": "card", "total_memory": "8 GiB"}
    host = FakeHost({"gpu": [gpu], "variant": {"vulkan": {"library": "Vulkan", "devices": ["card", "card"]}}})
    report = discover(host.in_memory())
    assert len(report.devices) == 1
    assert [(r.phase, r.reason) for r in report.rejected] == [(Phase.ENUMERATE, Reason.DUPLICATE)]


def test_every_listed_device_is_kept_or_rejected(tmp_path: Path) -> None:
    host = FakeHost.of("RTX 4090", "GTX 1060", "RTX 5090", "RX 6700 XT", "Radeon 780M", "Arc A770")
    report = discover(host.in_memory())
    listed = sum(len(variant["devices"]) for variant in host.document["variant"].values())
    assert len(report.devices) + len([r for r in report.rejected if r.device]) == listed
