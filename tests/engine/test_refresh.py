"""Refresh: runners in use first, then one masked probe per variant; what has no match keeps its figure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_gpudiscover import DeviceID, DeviceInfo, Discovery, Phase, Reason
from pytest_gpudiscover.simulation import FakeHost
from virtually import in_virtual_time

GIB = 1 << 30


class Runner:
    """A runner in use: what it is active on, and what it says when asked."""

    def __init__(
        self, active: Sequence[DeviceID], infos: Sequence[DeviceInfo] | BaseException | None
    ) -> None:
        self.active = active
        self.infos = infos
        self.asked = 0

    def get_active_device_ids(self) -> Sequence[DeviceID]:
        return self.active

    async def get_device_infos(self) -> Sequence[DeviceInfo]:
        self.asked += 1
        if self.infos is None:
            await asyncio.get_running_loop().create_future()
        if isinstance(self.infos, BaseException):
            raise self.infos
        return self.infos or []


async def bootstrapped(*cards: str, **options: Any) -> tuple[Discovery, tuple[DeviceInfo, ...]]:
    discovery = Discovery(FakeHost.of(*cards).in_memory(without_variants=["vulkan"]), **options)
    return discovery, await discovery.devices()


def reporting(*devices: DeviceInfo, free: int) -> Runner:
    return Runner(
        [d.device_id for d in devices], [replace(d, free_memory=free, total_memory=1) for d in devices]
    )


async def test_a_runner_in_use_spares_the_probe_and_changes_only_the_free_memory() -> None:
    discovery, before = await bootstrapped("RTX 4090", "RTX 3090")
    after = await discovery.devices(runners=[reporting(*before, free=GIB)])
    assert after == tuple(replace(device, free_memory=GIB) for device in before)
    assert discovery.report.probes == ()


async def test_what_the_runners_in_use_do_not_know_is_probed() -> None:
    discovery, (first, second) = await bootstrapped("RTX 4090", "RTX 3090")
    after = await discovery.devices(runners=[reporting(first, free=GIB)])
    assert [device.free_memory for device in after] == [GIB, second.free_memory]
    assert [probe.phase for probe in discovery.report.probes] == [Phase.REFRESH]


async def test_runners_that_cannot_help_are_not_asked() -> None:
    discovery, (device,) = await bootstrapped("RTX 4090")
    idle = Runner([], [])
    foreign = Runner([DeviceID(library="CUDA", id="GPU-somebody-else")], [])
    useful, late = reporting(device, free=GIB), reporting(device, free=2 * GIB)
    after = await discovery.devices(runners=[None, idle, foreign, useful, late])
    assert [device.free_memory for device in after] == [GIB]
    assert [idle.asked, foreign.asked, useful.asked, late.asked] == [0, 0, 1, 0]


@pytest.mark.parametrize("infos", [RuntimeError("gone"), None], ids=["raises", "hangs"])
@in_virtual_time
async def test_a_runner_in_use_that_fails_costs_only_its_own_answer(infos: Exception | None) -> None:
    discovery, (device,) = await bootstrapped("RTX 4090", refresh_timeout=0.5)
    broken = Runner([device.device_id], infos)
    after = await discovery.devices(runners=[broken])
    assert broken.asked == 1
    assert after == (device,)
    assert [probe.phase for probe in discovery.report.probes] == [Phase.REFRESH]


async def refreshed(host: FakeHost, change: FakeHost, directory: Path) -> Discovery:
    """Discover one machine, change it into another, and refresh."""
    path = directory / "host.json"
    discovery = Discovery(host.save(path).installation(without_variants=["vulkan", "cuda_v12"]))
    await discovery.devices()
    change.save(path)
    await discovery.devices()
    return discovery


async def test_a_variant_that_fails_leaves_its_devices_stale_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    host = FakeHost.of("RTX 4090", "MI300X")
    discovery = await refreshed(
        host, host.with_fault("exit_early", variant="cuda_v13", phase="refresh"), tmp_path
    )
    assert [(device.library, device.stale) for device in discovery.report.devices] == [
        ("CUDA", True),
        ("ROCm", False),
    ]
    assert all(device.free_memory == device.total_memory for device in discovery.report.devices)
    assert [(r.variant, r.phase, r.reason) for r in discovery.report.rejected] == [
        ("cuda_v13", Phase.REFRESH, Reason.EXITED)
    ]
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
        f"unable to refresh free memory, using old values: CUDA {discovery.report.devices[0].id}"
    ]


async def test_a_device_that_a_good_answer_no_longer_lists_is_stale_and_vanished(tmp_path: Path) -> None:
    host = FakeHost.of("RTX 4090", "RTX 3090")
    discovery = await refreshed(host, host.with_fault("vanish", device="gpu0"), tmp_path)
    assert [device.stale for device in discovery.report.devices] == [True, False]
    (rejection,) = discovery.report.rejected
    assert (rejection.reason, rejection.phase) == (Reason.VANISHED, Phase.REFRESH)
    assert rejection.id == discovery.report.devices[0].id


async def test_a_stale_device_is_fresh_again_after_a_good_refresh(tmp_path: Path) -> None:
    host = FakeHost.of("RTX 4090")
    discovery = await refreshed(host, host.with_fault("vanish", device="gpu0"), tmp_path)
    host.save(tmp_path / "host.json")
    assert [device.stale for device in await discovery.devices()] == [False]


async def test_a_stranger_is_reported_and_inherits_nobody_s_figures(tmp_path: Path) -> None:
    one = {"name": "one", "pci_id": "0000:01:00.0", "total_memory": "8 GiB", "description": "One"}
    two = {**one, "name": "two", "pci_id": "0000:02:00.0", "description": "Two", "free_memory": "1 GiB"}
    before = FakeHost({"gpu": [one], "variant": {"rocm": {"library": "ROCm", "devices": ["one"]}}})
    swapped = FakeHost({"gpu": [two], "variant": {"rocm": {"library": "ROCm", "devices": ["two"]}}})
    discovery = await refreshed(before, swapped, tmp_path)
    assert [
        (device.description, device.free_memory, device.stale) for device in discovery.report.devices
    ] == [("One", 8 * GIB, True)]
    assert [(r.reason, r.description) for r in discovery.report.rejected] == [
        (Reason.VANISHED, "One"),
        (Reason.APPEARED, "Two"),
    ]


@in_virtual_time
async def test_all_probes_of_a_refresh_share_one_deadline() -> None:
    host = FakeHost.of("RTX 4090", "MI300X").with_fault("never_bind", phase="refresh")
    discovery = Discovery(host.in_memory(without_variants=["vulkan"]), refresh_timeout=0.5)
    await discovery.devices()
    assert all(device.stale for device in await discovery.devices())
    assert [(r.variant, r.reason) for r in discovery.report.rejected] == [("cuda_v13", Reason.TIMEOUT)]
    assert discovery.report.probes[-1].variant == "cuda_v13"


async def test_a_refresh_asks_only_the_variants_that_serve_a_device() -> None:
    discovery = Discovery(FakeHost.of("RTX 4090", "MI300X").in_memory())
    await discovery.devices()
    await discovery.devices()
    assert [probe.variant for probe in discovery.report.probes] == ["cuda_v13", "rocm"]


async def test_a_runner_in_use_that_was_cancelled_itself_does_not_cancel_the_caller() -> None:
    discovery, (device,) = await bootstrapped("RTX 4090")
    after = await discovery.devices(runners=[Runner([device.device_id], asyncio.CancelledError())])
    assert after == (device,)


@in_virtual_time
async def test_a_runner_in_use_that_ignores_its_cancellation_holds_nobody_up() -> None:
    released = asyncio.Event()

    class Stubborn(Runner):
        async def get_device_infos(self) -> Sequence[DeviceInfo]:
            while not released.is_set():
                try:
                    await released.wait()
                except asyncio.CancelledError:
                    continue
            return []

    discovery, (device,) = await bootstrapped("RTX 4090", refresh_timeout=0.5)
    assert await discovery.devices(runners=[Stubborn([device.device_id], [])]) == (device,)
    released.set()


@pytest.mark.parametrize(("said", "taken"), [(-5, 0), (1 << 60, None)])
async def test_what_a_runner_in_use_says_is_taken_within_bounds(
    said: int, taken: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    discovery, (device,) = await bootstrapped("RTX 4090")
    (after,) = await discovery.devices(runners=[reporting(device, free=said)])
    assert after.free_memory == (device.total_memory if taken is None else taken)
    assert "taken within bounds" in caplog.text
