"""Rule 20: no probe whose answer cannot change the result, and never two on one card."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import pytest

from built_in import BuiltIn, both_vendors
from machines import eight_cards, equal_cards
from pytest_gpudiscover import Discovery, Phase, Reason, Report, discover
from pytest_gpudiscover.installations import Located
from pytest_gpudiscover.probing import Failure, Prober, ProbeRequest, ProbeResult
from pytest_gpudiscover.reports import ProbeRecord
from pytest_gpudiscover.simulation import FakeHost, simulate
from pytest_gpudiscover.simulation.in_memory import InMemoryInstallation
from pytest_gpudiscover.surroundings import Surroundings


def verified(report: Report, variant: str) -> list[ProbeRecord]:
    return [probe for probe in report.probes if probe.phase is Phase.VERIFY and probe.variant == variant]


def test_eight_good_cards_on_two_variants_take_ten_runners_and_not_eighteen(tmp_path: Path) -> None:
    host = eight_cards().save(tmp_path / "host.json")
    report = host.discover()
    assert len(host.calls) == len(report.probes) == 10
    assert len(verified(report, "cuda_v13")) == 8
    assert {device.variant for device in report.devices} == {"cuda_v13"}
    assert [r.reason for r in report.rejected] == [Reason.OVERLAP] * 8


def test_a_card_that_fails_on_both_variants_is_the_only_one_asked_on_the_older(tmp_path: Path) -> None:
    fault = [{"name": "crash_deep", "device": "card3"}]
    host = eight_cards(fault=fault).save(tmp_path / "host.json")
    report = host.discover()
    assert len(host.calls) == len(report.probes) == 11
    assert len(verified(report, "cuda_v12")) == 1
    assert len(report.devices) == 7


def test_a_probe_is_ready_after_its_start_and_before_its_end_and_never_when_it_did_not_answer(
    tmp_path: Path,
) -> None:
    fault = [{"name": "crash_deep", "device": "card3"}]
    host = eight_cards(fault=fault).save(tmp_path / "host.json")
    probes = discover(host.installation(variant="cuda_v13")).probes
    assert [probe.ready for probe in probes if probe.outcome != "answered"] == [None]
    answered = [(probe.started, probe.ready, probe.ended) for probe in probes if probe.outcome == "answered"]
    assert len(answered) == 8
    assert all(ready is not None and started < ready <= ended for started, ready, ended in answered)


def test_a_card_that_only_the_older_variant_supports_has_all_cards_asked_there() -> None:
    # The older variant may now cover all of them, and then takes all of them.
    fault = [{"name": "crash_deep", "device": "card3", "variant": "cuda_v13"}]
    report = discover(eight_cards(fault=fault).in_memory())
    assert len(report.probes) == 18
    assert {device.variant for device in report.devices} == {"cuda_v12"}


def test_the_policy_ollama_verifies_everything() -> None:
    report = discover(eight_cards().in_memory(), overlap="ollama")
    assert len(report.probes) == 18
    assert {device.variant for device in report.devices} == {"cuda_v13"}


def test_vulkan_is_verified_last_and_only_where_neither_cuda_nor_rocm_serves_the_card() -> None:
    report = discover(FakeHost.of("RTX 4090", "RX 6700 XT", "Arc A770").in_memory())
    vulkan = verified(report, "vulkan")
    assert sorted(probe.mask["GGML_VK_VISIBLE_DEVICES"] for probe in vulkan) == ["1", "2"]
    others = [p for p in report.probes if p.phase is Phase.VERIFY and p.variant != "vulkan"]
    assert max(probe.ended for probe in others) <= min(probe.started for probe in vulkan)


@pytest.mark.parametrize("limit", [1, 3])
def test_no_more_runners_live_at_once_than_allowed(limit: int) -> None:
    alive: list[int] = []
    discover(
        eight_cards().in_memory(),
        max_parallel=limit,
        observer=lambda progress: alive.append(progress.running),
    )
    assert max(alive) == limit


def test_eight_runners_live_at_once_by_default() -> None:
    alive: list[int] = []
    discover(equal_cards(12).in_memory(), observer=lambda progress: alive.append(progress.running))
    assert max(alive) == 8


def test_one_card_is_never_initialised_by_two_runners_at_once() -> None:
    report = discover(
        eight_cards(fault=[{"name": "slow_start", "seconds": 0.01}]).in_memory(), overlap="ollama"
    )
    probes = [probe for probe in report.probes if probe.phase is Phase.VERIFY]
    pairs = [pair for pair in combinations(probes, 2) if pair[0].mask == pair[1].mask]
    assert len(pairs) == 8
    assert all(one.ended <= other.started or other.ended <= one.started for one, other in pairs)


def test_a_device_that_hangs_is_dropped_alone_at_its_own_deadline() -> None:
    fault = [{"name": "hang_deep", "device": "card3"}]
    report = simulate(eight_cards(fault=fault), variant="cuda_v13", verify_timeout=1.0).report
    assert len(report.devices) == 7
    assert [(r.reason, r.description) for r in report.rejected] == [(Reason.TIMEOUT, "Card 3")]
    assert "took longer than 1 s" in report.rejected[0].detail


def test_a_variant_that_hangs_costs_only_itself() -> None:
    host = FakeHost.of("RTX 4090", "RX 7900 XTX").with_fault(
        "never_bind", variant="cuda_v13", phase="enumerate"
    )
    report = simulate(host, enumerate_timeout=1.0).report
    assert {device.library for device in report.devices} == {"CUDA", "ROCm"}
    assert [(r.variant, r.reason) for r in report.rejected if r.device is None] == [
        ("cuda_v13", Reason.TIMEOUT)
    ]


def test_a_device_that_is_shown_beside_others_is_kept() -> None:
    host = FakeHost.of("RTX 4090", "RTX 3090").with_fault("mask_ignored")
    assert len(discover(host.in_memory(variant="cuda_v13")).devices) == 2


def test_the_same_machine_gives_the_same_report_whatever_order_the_answers_come_in() -> None:
    faults = [{"name": "crash_deep", "device": f"card{n}"} for n in (2, 5)]
    late = {
        "name": "slow_start",
        "variant": "cuda_v13",
        "device": "card2",
        "phase": "verify",
        "seconds": 0.05,
    }
    hosts = [eight_cards(fault=faults), eight_cards(fault=[*faults, late])]
    one, other = (discover(host.in_memory()) for host in hosts)
    assert (one.devices, one.rejected) == (other.devices, other.rejected)


@dataclass(frozen=True)
class Exhausted:
    """An installation on a machine that can carry one runner at a time, and refuses a second one."""

    inner: InMemoryInstallation

    def locate(self, surroundings: Surroundings) -> Located:
        return self.inner.locate(surroundings)

    @asynccontextmanager
    async def prober(self, located: Located, surroundings: Surroundings) -> AsyncIterator[Prober]:
        async with self.inner.prober(located, surroundings) as prober:
            yield OneAtATime(prober)


class OneAtATime:
    """Answers one probe at a time; a second one is told that processes have run out."""

    def __init__(self, inner: Prober) -> None:
        self.inner = inner
        self.busy = False
        self.refused = 0

    async def probe(self, request: ProbeRequest) -> ProbeResult:
        if self.busy:
            self.refused += 1
            failure = Failure(reason=Reason.NOT_STARTED, detail="no process left", exhausted=True)
            now = asyncio.get_running_loop().time()
            return ProbeResult(failure=failure, started=now, ended=now)
        self.busy = True
        try:
            return await self.inner.probe(request)
        finally:
            self.busy = False


def test_a_machine_that_runs_out_of_processes_is_asked_one_at_a_time() -> None:
    slow = [{"name": "slow_start", "seconds": 0.01, "phase": "verify"}]
    report = discover(Exhausted(eight_cards(fault=slow).in_memory(variant="cuda_v13")))
    assert len(report.devices) == 8
    assert report.rejected == ()
    outcomes = [probe.outcome for probe in report.probes]
    assert outcomes.count("not_started") == 7
    assert outcomes.count("answered") == 9


def test_a_runner_with_everything_built_in_shows_one_device_of_one_library_at_a_time() -> None:
    host = both_vendors().with_fault("crash_deep", device="bad")
    report = discover(BuiltIn(host.in_memory()))
    assert [(d.library, d.filtered_id) for d in report.devices] == [("CUDA", ""), ("ROCm", "0")]
    masks = [probe.mask for probe in report.probes if probe.phase is Phase.VERIFY]
    assert all(list(mask.values()).count("") == 1 for mask in masks)


async def test_a_refresh_of_a_runner_with_everything_built_in_sees_both_vendors() -> None:
    host = FakeHost.of("RTX 4090", "MI300X")
    variants = {name: view for name, view in host.document["variant"].items() if name in ("cuda_v13", "rocm")}
    discovery = Discovery(BuiltIn(FakeHost({**host.document, "variant": variants}).in_memory()))
    assert [device.library for device in await discovery.devices()] == ["CUDA", "ROCm"]
    assert [device.stale for device in await discovery.devices()] == [False, False]
    assert discovery.report.rejected == ()


def test_a_batch_that_runs_out_of_processes_all_at_once_is_tried_again_one_by_one() -> None:
    report = discover(AllRefusedAtOnce(eight_cards().in_memory(variant="cuda_v13")))
    assert len(report.devices) == 8
    assert report.rejected == ()


@dataclass(frozen=True)
class AllRefusedAtOnce(Exhausted):
    """A machine on which the first eight verifications fail together."""

    @asynccontextmanager
    async def prober(self, located: Located, surroundings: Surroundings) -> AsyncIterator[Prober]:
        async with self.inner.prober(located, surroundings) as prober:
            yield FirstEight(prober)


class FirstEight:
    """Refuses as many verifications as there are cards, and answers from then on."""

    def __init__(self, inner: Prober) -> None:
        self.inner = inner
        self.left = 8

    async def probe(self, request: ProbeRequest) -> ProbeResult:
        if request.phase is not Phase.VERIFY or not self.left:
            return await self.inner.probe(request)
        self.left -= 1
        now = asyncio.get_running_loop().time()
        failure = Failure(reason=Reason.NOT_STARTED, detail="no process left", exhausted=True)
        return ProbeResult(failure=failure, started=now, ended=now)


def test_survivors_stand_in_the_order_of_the_listing_whichever_was_verified_first() -> None:
    gpus = [{"name": name, "total_memory": "8 GiB", "description": name} for name in ("arc", "green")]
    # Asked first, by its name, and verified last, by its library.
    variants = {
        "arc_vulkan": {"library": "Vulkan", "devices": ["arc"]},
        "cuda_v13": {"library": "CUDA", "devices": ["green"]},
    }
    report = discover(FakeHost({"gpu": gpus, "variant": variants}).in_memory())
    assert [device.library for device in report.devices] == ["Vulkan", "CUDA"]
    assert [p.variant for p in report.probes if p.phase is Phase.VERIFY] == ["cuda_v13", "arc_vulkan"]
