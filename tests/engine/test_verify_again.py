"""One known device, asked again whether it is well: alone, as the bootstrap asked it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

from built_in import BuiltIn, both_vendors
from pytest_gpudiscover import DeviceInfo, Discovery, Phase, Reason
from pytest_gpudiscover.installations import Installation, Located
from pytest_gpudiscover.probing import Prober
from pytest_gpudiscover.recording import Progress
from pytest_gpudiscover.reports import Rejection
from pytest_gpudiscover.simulation import FakeHost
from pytest_gpudiscover.simulation.in_memory import InMemoryInstallation
from pytest_gpudiscover.surroundings import Surroundings
from pytest_gpudiscover.variants import Variant
from virtually import in_virtual_time

ShownBy = Callable[[FakeHost], tuple[FakeHost, Installation]]


@pytest.fixture(params=["processes", "memory"])
def shown_by(request: pytest.FixtureRequest, tmp_path: Path) -> ShownBy:
    """Puts a machine where it can change, and shows its newest CUDA and its ROCm through runners."""
    left_out = ["vulkan", "cuda_v12"]

    def show(host: FakeHost) -> tuple[FakeHost, Installation]:
        if request.param == "memory":
            return host, host.in_memory(without_variants=left_out)
        saved = host.save(tmp_path / "host.json")
        return saved, saved.installation(without_variants=left_out)

    return show


async def test_a_device_that_is_well_is_asked_once_alone_and_deeply(shown_by: ShownBy) -> None:
    host, installation = shown_by(FakeHost.of("RTX 4090", "RTX 3090"))
    discovery = Discovery(installation)
    _, second = await discovery.devices()
    started = len(host.calls)
    assert await discovery.verify(second) is None
    (call,) = host.calls[started:]
    assert (call.phase, call.deep, call.variant) == ("verify", True, "cuda_v13")
    assert call.masks == {"CUDA_VISIBLE_DEVICES": second.id}


async def test_a_device_that_has_begun_to_crash_is_rejected_and_its_neighbour_is_not(
    shown_by: ShownBy,
) -> None:
    host, installation = shown_by(FakeHost.of("RTX 4090", "RTX 3090"))
    discovery = Discovery(installation)
    well, ill = await discovery.devices()
    host.inject("crash_deep", device="gpu1", signal="SEGV")
    rejection = await discovery.verify(ill)
    assert rejection is not None
    assert (rejection.phase, rejection.reason, rejection.device) == (Phase.VERIFY, Reason.CRASHED, ill)
    assert "SIGSEGV" in rejection.detail
    assert await discovery.verify(well) is None
    host.heal("crash_deep")
    assert await discovery.verify(ill) is None


async def test_a_device_that_fell_off_the_bus_is_not_listed(shown_by: ShownBy) -> None:
    host, installation = shown_by(FakeHost.of("RTX 4090", "RTX 3090"))
    discovery = Discovery(installation)
    there, gone = await discovery.devices()
    host.unplug("gpu1")
    rejection = await discovery.verify(gone)
    assert rejection is not None
    assert (rejection.reason, rejection.id) == (Reason.NOT_LISTED, gone.id)
    assert await discovery.verify(there) is None


async def test_a_renumbered_device_is_asked_for_by_the_number_that_the_library_knows(
    shown_by: ShownBy,
) -> None:
    host, installation = shown_by(FakeHost.of("MI300X", "MI210").with_fault("crash_deep", device="gpu0"))
    discovery = Discovery(installation)
    (device,) = await discovery.devices()
    assert device.id == "0"
    host.inject("crash_deep", device="gpu1")
    host.heal("crash_deep", device="gpu0")
    rejection = await discovery.verify(device)
    assert rejection is not None
    assert rejection.reason is Reason.CRASHED


async def test_a_device_that_a_verification_rejected_can_be_asked_again() -> None:
    host = FakeHost.of("MI300X", "MI210").with_fault("crash_deep", device="gpu0")
    discovery = Discovery(host.in_memory(variant="rocm"))
    await discovery.devices()
    (rejected,) = [each.device for each in discovery.report.rejected if each.device]
    assert await discovery.verify(rejected) is not None
    host.heal("crash_deep", device="gpu0")
    assert await discovery.verify(rejected) is None


@in_virtual_time
async def test_a_device_that_hangs_is_given_up_after_the_time_of_one_verification() -> None:
    host = FakeHost.of("RTX 4090")
    discovery = Discovery(host.in_memory(variant="cuda_v13"), verify_timeout=0.5)
    (device,) = await discovery.devices()
    host.inject("hang_deep", device="gpu0")
    rejection = await discovery.verify(device)
    assert rejection is not None
    assert rejection.reason is Reason.TIMEOUT
    assert "took longer than 0.5 s" in rejection.detail


async def test_a_runner_with_everything_built_in_is_shown_the_one_device_and_no_other_library() -> None:
    host = both_vendors()
    discovery = Discovery(BuiltIn(host.in_memory()))
    devices = await discovery.devices()
    asked = [call.masks for call in host.calls if call.phase == "verify"]
    assert [await discovery.verify(device) for device in devices] == [None] * 3
    assert sorted(map(str, (call.masks for call in host.calls[-3:]))) == sorted(map(str, asked))
    assert all("" in masks.values() for masks in asked)


async def test_the_user_s_masks_are_translated_as_in_the_bootstrap() -> None:
    host = FakeHost.of("MI300X", "MI300X", "MI300X")
    masks = {"ROCR_VISIBLE_DEVICES": "2,0", "HIP_VISIBLE_DEVICES": "1", "CUDA_VISIBLE_DEVICES": "7"}
    discovery = Discovery(host.in_memory(variant="rocm"), surroundings=Surroundings(environment=masks))
    (device,) = await discovery.devices()
    assert await discovery.verify(device) is None
    assert host.calls[-1].masks == host.calls[-2].masks == {"ROCR_VISIBLE_DEVICES": "0"}


async def test_a_library_that_is_trusted_is_not_asked() -> None:
    gpu = {"name": "m3", "total_memory": "32 GiB"}
    host = FakeHost({"gpu": [gpu], "variant": {"": {"library": "Metal", "devices": ["m3"]}}})
    discovery = Discovery(host.in_memory())
    (device,) = await discovery.devices()
    assert await discovery.verify(device) is None
    assert [call.phase for call in host.calls] == ["enumerate"]


@dataclass(frozen=True)
class Elsewhere:
    """An installation that has lost every variant that another process had, with a reason or without."""

    inner: InMemoryInstallation
    missing: tuple[Rejection, ...] = ()

    def locate(self, surroundings: Surroundings) -> Located:
        located = self.inner.locate(surroundings)
        return replace(located, variants=(Variant(name="other"),), missing=self.missing)

    def prober(self, located: Located, surroundings: Surroundings) -> AbstractAsyncContextManager[Prober]:
        return self.inner.prober(located, surroundings)


def missing(variant: str, reason: Reason, detail: str) -> Rejection:
    return Rejection(phase=Phase.ENUMERATE, reason=reason, detail=detail, variant=variant)


OTHER = missing("cuda_v12", Reason.EXITED, "another")
ITSELF = missing("cuda_v13", Reason.DRIVER_MISSING, "libcuda is not here")


@pytest.mark.parametrize(
    ("lost", "reason", "said"),
    [
        ((OTHER,), Reason.UNREADABLE, "'cuda_v13'"),
        ((OTHER, ITSELF), Reason.DRIVER_MISSING, "libcuda is not here"),
    ],
    ids=["gone", "driver missing"],
)
async def test_a_device_whose_variant_is_gone_is_rejected_for_that(
    lost: tuple[Rejection, ...], reason: Reason, said: str
) -> None:
    host = FakeHost.of("RTX 4090")
    discovery = Discovery(host.in_memory(variant="cuda_v13"))
    (device,) = await discovery.devices()
    snapshot = discovery.snapshot()
    assert snapshot is not None
    elsewhere = Discovery(Elsewhere(host.in_memory(), lost))
    elsewhere.resume(snapshot)
    rejection = await elsewhere.verify(device)
    assert rejection is not None
    assert (rejection.phase, rejection.reason, rejection.device) == (Phase.VERIFY, reason, device)
    assert said in rejection.detail
    assert await elsewhere.free_memory([device]) == {}


async def test_a_verification_leaves_the_report_the_devices_and_the_snapshot_alone() -> None:
    host = FakeHost.of("RTX 4090", "RTX 3090")
    discovery = Discovery(host.in_memory())
    devices = await discovery.devices()
    report, snapshot = discovery.report, discovery.snapshot()
    host.inject("crash_deep", device="gpu0")
    assert await discovery.verify(devices[0])
    assert discovery.report is report
    assert discovery.snapshot() is snapshot
    assert await discovery.devices() == devices


async def test_the_observer_hears_of_a_verification() -> None:
    heard: list[Progress] = []
    discovery = Discovery(FakeHost.of("RTX 4090").in_memory(variant="cuda_v13"), observer=heard.append)
    (device,) = await discovery.devices()
    heard.clear()
    await discovery.verify(device)
    assert [(progress.phase, progress.record is None) for progress in heard] == [
        (Phase.VERIFY, True),
        (Phase.VERIFY, False),
    ]


async def test_verifications_wait_for_their_turn() -> None:
    host = FakeHost.of("RTX 4090", "RTX 3090").with_fault("slow_start", seconds=0.02)
    discovery = Discovery(host.in_memory(variant="cuda_v13"), max_parallel=1)
    devices = await discovery.devices()
    questions = [discovery.verify(device) for device in devices]
    await asyncio.gather(*questions, discovery.free_memory(devices), discovery.devices())
    # In which order is nobody's promise: who finds the turn free first has it.
    assert sorted(call.phase for call in host.calls[-4:]) == ["refresh", "refresh", "verify", "verify"]
    assert host.most_at_once() == 1


async def test_nothing_can_be_asked_before_something_was_discovered() -> None:
    discovery = Discovery(FakeHost.of("RTX 4090").in_memory())
    device = DeviceInfo(id="GPU-a", library="CUDA", variant="cuda_v13")
    for question in (discovery.verify(device), discovery.free_memory([device])):
        with pytest.raises(RuntimeError, match=r"devices\(\), or resume\(\)"):
            await question
    assert len(await discovery.devices()) == 1  # and it holds nobody up


async def test_a_cancelled_verification_leaves_no_process(tmp_path: Path) -> None:
    host = FakeHost.of("RTX 4090").save(tmp_path / "host.json")
    started = asyncio.Event()
    discovery = Discovery(host.installation(variant="cuda_v13"), observer=lambda _: started.set())
    (device,) = await discovery.devices()
    host.inject("hang_deep", device="gpu0")
    started.clear()
    call = asyncio.create_task(discovery.verify(device))
    await started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert not psutil.Process().children(recursive=True)
    host.heal("hang_deep")
    assert await discovery.verify(device) is None
