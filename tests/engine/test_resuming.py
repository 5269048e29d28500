"""A discovery that goes on from what another process has found."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_gpudiscover import DeviceInfo, Discovery, OllamaInstallation, Phase, Reason, Report
from pytest_gpudiscover.archive import Snapshot, dumps, loads
from pytest_gpudiscover.errors import InstallationError
from pytest_gpudiscover.installations import Installation
from pytest_gpudiscover.simulation import FakeHost
from pytest_gpudiscover.surroundings import Surroundings

CUDA = "CUDA_VISIBLE_DEVICES"
HIP = "HIP_VISIBLE_DEVICES"
ROCR = "ROCR_VISIBLE_DEVICES"


def phases(report: Report) -> list[Phase]:
    return [probe.phase for probe in report.probes]


async def found(installation: Installation, surroundings: Surroundings | None = None) -> Snapshot:
    """What one process finds, as another one gets it."""
    discovery = Discovery(installation, surroundings=surroundings)
    await discovery.devices()
    snapshot = discovery.snapshot()
    assert snapshot is not None
    return loads(dumps(snapshot))


async def test_there_is_nothing_to_hand_over_before_a_bootstrap_that_ran(tmp_path: Path) -> None:
    discovery = Discovery(OllamaInstallation([str(tmp_path / "missing")]))
    assert discovery.snapshot() is None
    with pytest.raises(InstallationError):
        await discovery.devices()
    assert discovery.snapshot() is None


async def test_a_bootstrap_that_found_nothing_can_be_handed_over() -> None:
    host = FakeHost({"gpu": [], "variant": {"cuda_v13": {"library": "CUDA", "devices": []}}})
    discovery = Discovery(host.in_memory())
    discovery.resume(await found(host.in_memory()))
    assert discovery.report.devices == ()
    assert await discovery.devices() == ()
    assert phases(discovery.report) == []


async def test_a_resumed_discovery_has_the_report_and_refreshes_without_a_bootstrap() -> None:
    host = FakeHost.of("RTX 4090", "GTX 1060", "MI300X")
    snapshot = await found(host.in_memory())
    started = len(host.calls)
    discovery = Discovery(host.in_memory())
    discovery.resume(snapshot)
    assert discovery.report == snapshot.report
    assert discovery.snapshot() == snapshot
    assert len(host.calls) == started
    assert await discovery.devices() == snapshot.report.devices
    assert set(phases(discovery.report)) == {Phase.REFRESH}


async def test_a_snapshot_is_what_the_bootstrap_found_whatever_was_refreshed_since() -> None:
    host = FakeHost.of("RTX 4090")
    discovery = Discovery(host.in_memory(variant="cuda_v13"))
    before = await discovery.devices()
    bootstrap = discovery.report
    host.fill("gpu0", "20 GiB")
    assert await discovery.devices() != before
    snapshot = discovery.snapshot()
    assert snapshot is not None
    assert snapshot.report is bootstrap
    refilled = await discovery.devices(rescan=True)
    anew = discovery.snapshot()
    assert anew is not None
    assert anew.report.devices == refilled != before


async def test_devices_that_were_listed_before_are_no_strangers_after_a_resume() -> None:
    host = FakeHost.of("RTX 4090", "RTX 3090").with_fault("crash_deep", device="gpu1")
    installation = host.in_memory(variant="cuda_v13")
    snapshot = await found(installation)
    discovery = Discovery(installation)
    discovery.resume(snapshot)
    host.inject("mask_ignored", phase="refresh")
    host.plug("L4")
    await discovery.devices()
    assert [(r.reason, r.description) for r in discovery.report.rejected] == [(Reason.APPEARED, "NVIDIA L4")]


async def test_a_process_that_has_masked_itself_sees_what_the_other_one_saw(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = FakeHost.of("RTX 4090", "RTX 3090", "MI300X", "MI210")
    installation = host.in_memory(without_variants=["vulkan", "cuda_v12"])
    snapshot = await found(installation)
    monkeypatch.setenv(CUDA, "GPU-of-another-worker")
    monkeypatch.setenv(ROCR, "1")
    monkeypatch.setenv(HIP, "0")
    discovery = Discovery(installation)
    discovery.resume(snapshot)
    devices = discovery.report.devices
    assert len(devices) == 4
    assert [await discovery.verify(device) for device in devices] == [None] * 4
    assert set(await discovery.free_memory(devices)) == {device.device_id for device in devices}
    assert [call.masks.keys() for call in host.calls[-6:]] == [{CUDA}, {CUDA}, {ROCR}, {ROCR}, {CUDA}, {ROCR}]
    for rescan in (False, True):
        assert await discovery.devices(rescan=rescan) == devices
        assert discovery.report.masks == {}


async def test_the_masks_of_the_snapshot_win_and_everything_else_is_this_process_s_own() -> None:
    host = FakeHost.of("RTX 4090", "RTX 3090")
    installation = host.in_memory(variant="cuda_v13")
    theirs = Surroundings(environment={CUDA: "1", "GGML_WORD": "theirs", "GGML_ONLY_THERE": "1"})
    snapshot = await found(installation, theirs)
    ours = Surroundings(environment={CUDA: "0", HIP: "0", "GGML_WORD": "ours"})
    discovery = Discovery(installation, surroundings=ours)
    discovery.resume(snapshot)
    (device,) = discovery.report.devices
    assert await discovery.devices(rescan=True) == (device,)
    assert discovery.report.masks == {CUDA: "1"}
    listing = next(call for call in reversed(host.calls) if call.phase == "enumerate")
    assert listing.masks == {CUDA: "1"}
    assert listing.environment["GGML_WORD"] == "ours"
    assert "GGML_ONLY_THERE" not in listing.environment


async def test_a_snapshot_sets_masks_and_no_other_variable() -> None:
    host = FakeHost.of("RTX 4090")
    snapshot = await found(host.in_memory(variant="cuda_v13"))
    masks = {CUDA: "0", "GGML_PLANTED": "1", "LD_LIBRARY_PATH": "/planted"}
    discovery = Discovery(host.in_memory(variant="cuda_v13"))
    discovery.resume(replace(snapshot, report=replace(snapshot.report, masks=masks)))
    await discovery.devices(rescan=True)
    assert discovery.report.masks == {CUDA: "0"}
    assert all("planted" not in str(call.environment).lower() for call in host.calls)


async def test_the_last_resume_counts_and_forgets_what_was_known_before() -> None:
    one, other = FakeHost.of("RTX 4090"), FakeHost.of("RTX 3090", "L4")
    snapshots = [await found(host.in_memory(variant="cuda_v13")) for host in (one, other)]
    discovery = Discovery(other.in_memory(variant="cuda_v13"))
    await discovery.devices()
    for snapshot in (*snapshots, snapshots[1]):
        discovery.resume(snapshot)
        assert discovery.report == snapshot.report
        assert discovery.snapshot() == snapshot
    assert [device.stale for device in await discovery.devices()] == [False, False]


async def test_a_discovery_cannot_be_resumed_in_the_middle_of_a_call() -> None:
    host = FakeHost.of("RTX 4090")
    snapshot = await found(host.in_memory())
    discovery = Discovery(host.in_memory())
    call = asyncio.create_task(discovery.devices())
    await asyncio.sleep(0)  # the call has its turn now
    with pytest.raises(RuntimeError, match=r"under way: resume\(\) before it, or after it"):
        discovery.resume(snapshot)
    assert await call == snapshot.report.devices
    discovery.resume(snapshot)
    assert discovery.report == snapshot.report


async def test_a_resume_that_cannot_find_the_runner_says_so_and_changes_nothing(tmp_path: Path) -> None:
    host = FakeHost.of("RTX 4090")
    discovery = Discovery(OllamaInstallation([str(tmp_path / "missing")]))
    with pytest.raises(InstallationError, match="does not exist"):
        discovery.resume(await found(host.in_memory()))
    assert discovery.snapshot() is None
    assert discovery.report == Report()


_WORKER = """
import asyncio, os, sys
os.environ["CUDA_VISIBLE_DEVICES"] = ""
from pytest_gpudiscover import Discovery
from pytest_gpudiscover.archive import loads
from pytest_gpudiscover.simulation import FakeHost

async def main():
    discovery = Discovery(FakeHost.load(sys.argv[1]).installation(variant="cuda_v13"))
    discovery.resume(loads(sys.stdin.read()))
    for device in discovery.report.devices:
        rejection = await discovery.verify(device)
        print(device.id, rejection.reason if rejection else "well")
    for device_id, free in (await discovery.free_memory(discovery.report.devices)).items():
        print(device_id.id, free)

asyncio.run(main())
"""


def test_a_process_of_its_own_that_hides_every_device_from_itself_can_still_ask_for_each(
    tmp_path: Path,
) -> None:
    host = FakeHost.of("RTX 4090", "RTX 3090").save(tmp_path / "host.json")
    snapshot = asyncio.run(found(host.installation(variant="cuda_v13")))
    well, ill = (device.id for device in snapshot.report.devices)
    host.inject("crash_deep", device="gpu1", signal="SEGV")
    host.set_free_memory("gpu0", 4096)
    host.set_free_memory("gpu1", 8192)
    done = subprocess.run(
        [sys.executable, "-c", _WORKER, str(tmp_path / "host.json")],
        input=dumps(snapshot),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [f"{well} well", f"{ill} crashed", f"{well} 4096", f"{ill} 8192"]


def test_a_snapshot_survives_also_what_was_listed_and_rejected() -> None:
    host = FakeHost.of("RTX 4090", "GTX 1060", "MI300X").with_fault("crash_deep", device="gpu0")
    discovery = Discovery(host.in_memory())
    asyncio.run(discovery.devices())
    snapshot = discovery.snapshot()
    assert snapshot is not None
    assert snapshot.report.rejected
    assert len(snapshot.listed) > len(snapshot.report.devices)
    assert all(isinstance(device, DeviceInfo) for device in snapshot.listed)
    assert loads(dumps(snapshot)) == snapshot
