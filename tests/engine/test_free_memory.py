"""How much memory of some devices is free, asked between two calls of the discovery."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_gpudiscover import Discovery
from pytest_gpudiscover.simulation import FakeHost
from pytest_gpudiscover.surroundings import Surroundings
from virtually import in_virtual_time

GIB = 1 << 30
OLDER = ["vulkan", "cuda_v12"]


def surroundings(available: int | OSError, **options: Any) -> Surroundings:
    """A system with so much memory available, or where that cannot be read."""

    def read() -> int:
        if isinstance(available, OSError):
            raise available
        return available

    return Surroundings(available_memory=read, **options)


@pytest.mark.parametrize("through", ["processes", "memory"])
async def test_memory_that_fills_up_is_seen_at_once(through: str, tmp_path: Path) -> None:
    host = FakeHost.of("RTX 4090", "MI300X").save(tmp_path / "host.json")
    shown: Callable[..., Any] = host.installation if through == "processes" else host.in_memory
    discovery = Discovery(shown(without_variants=OLDER))
    green, red = devices = await discovery.devices()
    before = {device.device_id: device.free_memory for device in devices}
    assert await discovery.free_memory(devices) == before
    host.fill("gpu0", "20 GiB")
    assert await discovery.free_memory(devices) == {
        green.device_id: green.free_memory - 20 * GIB,
        red.device_id: red.free_memory,
    }
    host.set_free_memory("gpu0", green.free_memory)
    assert await discovery.free_memory(devices) == before


async def test_one_runner_is_started_for_each_variant_and_sees_no_other_device() -> None:
    host = FakeHost.of("RTX 4090", "RTX 3090", "L4", "MI300X")
    discovery = Discovery(host.in_memory(without_variants=OLDER))
    first, _, third, red = await discovery.devices()
    started = len(host.calls)
    free = await discovery.free_memory(iter([third, first, third, red]))
    assert set(free) == {device.device_id for device in (first, third, red)}
    assert [(call.phase, call.variant, call.masks) for call in host.calls[started:]] == [
        ("refresh", "cuda_v13", {"CUDA_VISIBLE_DEVICES": f"{third.id},{first.id}"}),
        ("refresh", "rocm", {"ROCR_VISIBLE_DEVICES": "0"}),
    ]


async def test_each_renumbered_device_has_its_own_figure() -> None:
    host = FakeHost.of("MI300X", "MI300X", "MI300X").with_fault("crash_deep", device="gpu0")
    discovery = Discovery(host.in_memory(variant="rocm"))
    first, second = await discovery.devices()
    host.set_free_memory("gpu0", "1 GiB")
    host.set_free_memory("gpu1", "2 GiB")
    host.set_free_memory("gpu2", "3 GiB")
    assert await discovery.free_memory([second]) == {second.device_id: 3 * GIB}
    assert await discovery.free_memory([second, first]) == {
        first.device_id: 2 * GIB,
        second.device_id: 3 * GIB,
    }


async def test_a_device_that_is_gone_is_missing_beside_one_that_is_there() -> None:
    host = FakeHost.of("RTX 4090", "RTX 3090")
    discovery = Discovery(host.in_memory(without_variants=OLDER))
    there, gone = devices = await discovery.devices()
    host.unplug("gpu1")
    assert await discovery.free_memory(devices) == {there.device_id: there.free_memory}
    assert await discovery.free_memory([gone]) == {}


async def test_a_variant_that_fails_costs_its_own_devices_only() -> None:
    host = FakeHost.of("RTX 4090", "MI300X")
    discovery = Discovery(host.in_memory(without_variants=OLDER))
    _, red = devices = await discovery.devices()
    host.inject("exit_early", variant="cuda_v13", phase="refresh")
    assert await discovery.free_memory(devices) == {red.device_id: red.free_memory}


@in_virtual_time
async def test_all_runners_share_the_time_of_a_refresh(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pytest_gpudiscover.recording")
    host = FakeHost.of("RTX 4090", "MI300X").with_fault("never_bind", phase="refresh", variant="cuda_v13")
    discovery = Discovery(host.in_memory(without_variants=OLDER), refresh_timeout=0.2)
    devices = await discovery.devices()
    started = len(host.calls)
    assert await discovery.free_memory(devices) == {}
    assert [call.variant for call in host.calls[started:]] == ["cuda_v13"]
    assert re.search(r"took longer than 0\.[12]", caplog.text)


async def test_an_integrated_cuda_device_has_what_the_system_has_as_long_as_it_answers() -> None:
    gpu = {"name": "orin", "total_memory": "32 GiB", "free_memory": "1 GiB", "integrated": True}
    host = FakeHost({"gpu": [gpu], "variant": {"cuda_v13": {"library": "CUDA", "devices": ["orin"]}}})
    available = [5 * GIB, 7 * GIB]
    discovery = Discovery(
        host.in_memory(), surroundings=Surroundings(available_memory=lambda: available.pop(0))
    )
    (device,) = await discovery.devices()
    assert device.free_memory == 5 * GIB
    assert await discovery.free_memory([device]) == {device.device_id: 7 * GIB}
    discovery = Discovery(host.in_memory(), surroundings=surroundings(20 * GIB))
    await discovery.devices()
    host.inject("exit_early", phase="refresh")
    assert await discovery.free_memory([device]) == {}


async def test_unreadable_system_memory_leaves_the_driver_s_own_figure() -> None:
    gpu = {"name": "orin", "total_memory": "32 GiB", "free_memory": "1 GiB", "integrated": True}
    host = FakeHost({"gpu": [gpu], "variant": {"cuda_v13": {"library": "CUDA", "devices": ["orin"]}}})
    discovery = Discovery(host.in_memory(), surroundings=surroundings(OSError("not today")))
    (device,) = await discovery.devices()
    assert await discovery.free_memory([device]) == {device.device_id: GIB}


async def test_apple_silicon_keeps_the_figures_that_it_has_and_starts_nothing() -> None:
    host = FakeHost.of("RTX 4090")
    discovery = Discovery(
        host.in_memory(without_variants=OLDER),
        surroundings=surroundings(GIB, system="darwin", machine="arm64"),
    )
    (device,) = await discovery.devices()
    started = len(host.calls)
    host.fill("gpu0", "20 GiB")
    assert await discovery.free_memory([device]) == {device.device_id: device.free_memory}
    assert len(host.calls) == started


async def test_no_devices_need_no_runner() -> None:
    host = FakeHost.of("RTX 4090")
    discovery = Discovery(host.in_memory())
    await discovery.devices()
    started = len(host.calls)
    assert await discovery.free_memory([]) == {}
    assert len(host.calls) == started


async def test_a_device_that_was_stale_is_known_again_when_it_answers() -> None:
    host = FakeHost.of("RTX 4090")
    discovery = Discovery(host.in_memory(variant="cuda_v13"))
    await discovery.devices()
    host.inject("exit_early", phase="refresh")
    (stale,) = await discovery.devices()
    assert stale.stale
    host.heal("exit_early")
    assert await discovery.free_memory([stale]) == {stale.device_id: stale.free_memory}


async def test_what_is_asked_leaves_the_report_the_devices_and_the_log_s_warnings_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    host = FakeHost.of("RTX 4090")
    discovery = Discovery(host.in_memory(variant="cuda_v13"))
    (device,) = await discovery.devices()
    report = discovery.report
    host.fill("gpu0", "20 GiB")
    host.inject("vanish", device="gpu0")
    assert await discovery.free_memory([device]) == {}
    assert discovery.report is report
    assert report.devices == (device,)
    assert not caplog.records
