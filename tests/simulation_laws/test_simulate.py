"""Whole discoveries under virtual time: the same for the same seed, and well in whatever order."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from machines import equal_cards, verdicts
from pytest_gpudiscover import Phase, Reason, Report
from pytest_gpudiscover.simulation import MACHINES, FakeHost, Simulated, Simulation, StandstillError, simulate
from pytest_gpudiscover.simulation.lives.truth import FATAL, HARMLESS
from pytest_gpudiscover.simulation.performances import as_text
from pytest_gpudiscover.strategies import hosts

seeds = st.integers(0, 2**32)

TRACES = """
import hashlib, sys
from pytest_gpudiscover.simulation import MACHINES, FakeHost, simulate
from pytest_gpudiscover.simulation.lives import Life
from pytest_gpudiscover.simulation.performances import as_text
for name, build in MACHINES.items():
    for seed in range(5):
        simulated = simulate(build().with_fault("never_bind", phase="verify"), seed=seed)
        sys.stdout.write(simulated.text + repr(simulated.report.to_json()) + "\\n")
for seed in range(25):
    sys.stdout.write(as_text(Life.drawn(seed).lived()[0]))
"""


def test_the_same_seed_gives_the_same_trace_byte_for_byte_in_any_process() -> None:
    def traces(hash_seed: str) -> bytes:
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", TRACES]
        return subprocess.run(command, env=environment, capture_output=True, check=True).stdout

    first, second = traces("1"), traces("2")
    assert first == second
    assert first.count(b"deadline") > 50


def test_a_trace_tells_starts_answers_deaths_deadlines_rejections_and_finds() -> None:
    host = FakeHost.of("RTX 4090", "GTX 1060", "RX 7900 XTX").with_fault(
        "hang_deep", device="gpu2", variant="rocm"
    )
    simulated = simulate(host, seed=None, without_variants=["vulkan"], verify_timeout=30)
    assert simulated.text == as_text(simulated.trace)
    told = {(event.at, event.what) for event in simulated.trace}
    assert told == {
        *((0.0, what) for what in ("start", "answer", "death", "end")),
        *((30.0, what) for what in ("end", "deadline", "found", "rejected")),
    }
    assert "    0.000000    5 death    SIGABRT\n" in simulated.text
    assert simulated.text.splitlines()[-1].startswith("   30.000000    - found    cuda_v12 CUDA GPU-")


def test_a_hang_of_hours_is_over_at_once() -> None:
    host = equal_cards(8).with_fault("hang_deep", device="card3")
    report = simulate(host, verify_timeout=3600, variant="cuda_v13").report
    assert 3600 <= report.duration < 3601
    assert [r.reason for r in report.rejected if r.phase is Phase.VERIFY] == [Reason.TIMEOUT]


def order(simulated: Simulated, what: str) -> tuple[str, ...]:
    """Which card had its turn when, in the verification: by the masks."""
    masks = {
        event.runner: event.detail.partition(" CUDA_VISIBLE_DEVICES=")[2]
        for event in simulated.trace
        if event.what == "start" and event.detail.startswith("verify")
    }
    return tuple(
        masks[event.runner] for event in simulated.trace if event.what == what and event.runner in masks
    )


@pytest.mark.parametrize("what", ["start", "answer", "end"])
def test_seeds_lead_to_every_order_at_every_seam(what: str) -> None:
    simulations = [simulate(equal_cards(3), seed=seed, variant="cuda_v13") for seed in range(100)]
    assert len({order(simulated, what) for simulated in simulations}) == 6
    assert len({order(simulated, "answer") == order(simulated, "end") for simulated in simulations}) == 2


def test_without_a_seed_nothing_takes_time_and_all_goes_in_order() -> None:
    simulated = simulate(equal_cards(4), seed=None)
    assert simulated.report.duration == 0
    assert (
        order(simulated, "start")
        == order(simulated, "answer")
        == tuple(sorted(order(simulated, "end"), key=order(simulated, "start").index))
    )


@given(hosts(max_gpus=3), seeds, st.lists(st.sampled_from((*FATAL, *HARMLESS)), max_size=2), st.data())
def test_the_verdicts_do_not_depend_on_the_order(
    host: FakeHost, seed: int, faults: list[str], data: st.DataObject
) -> None:
    # A bug that this has caught in a draft: rejections in the order of the answers.
    for name in faults if host.document["variant"] else ():
        variant = data.draw(st.sampled_from(sorted(host.document["variant"])))
        host = host.with_fault(name, variant=variant)

    async def twice(simulation: Simulation) -> list[Report]:
        await simulation.discovery.devices()
        bootstrap = simulation.discovery.report
        simulation.host.heal()
        await simulation.discovery.devices()
        return [bootstrap, simulation.discovery.report]

    in_order, otherwise = (simulate(host, seed=each, script=twice) for each in (None, seed))
    event(f"{len(in_order.report.devices)} devices")
    event("another order" if in_order.trace != otherwise.trace else "the same order")
    for one, other in zip(in_order.value, otherwise.value, strict=True):
        assert verdicts(one) == verdicts(other)
        assert [probe.outcome for probe in one.probes if probe.phase is not Phase.VERIFY] == [
            probe.outcome for probe in other.probes if probe.phase is not Phase.VERIFY
        ]


async def in_the_midst(simulation: Simulation, call: asyncio.Task[Any], events: int) -> None:
    """Wait for so many events, or for the end of a call."""
    enough = asyncio.create_task(simulation.more(events))
    await asyncio.wait([call, enough], return_when=asyncio.FIRST_COMPLETED)
    enough.cancel()
    await asyncio.wait([enough])


@given(seeds, st.integers(0, 40), st.booleans(), st.sampled_from([None, "hang_deep", "never_bind"]))
def test_a_call_that_is_cancelled_at_any_moment_leaves_nothing_and_the_next_one_is_whole(
    seed: int, moment: int, rescan: bool, fault: str | None
) -> None:
    # It would have caught a launcher that leaves a runner to the garbage collector when a probe is cancelled.
    host = equal_cards(3)
    if fault:
        host = host.with_fault(fault, phase="verify", **({"device": "card1"} if fault == "hang_deep" else {}))

    async def script(simulation: Simulation) -> None:
        if rescan:
            await simulation.discovery.devices()
        call = asyncio.create_task(simulation.discovery.devices(rescan=rescan))
        await in_the_midst(simulation, call, moment)
        call.cancel()
        done, _ = await asyncio.wait([call], timeout=1)
        assert done
        assert simulation.runners == ()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        event("in time" if call.cancelled() else "too late")
        simulation.host.heal()
        devices = await simulation.discovery.devices(rescan=True)
        assert [device.variant for device in devices] == ["cuda_v13"] * 3

    simulate(host, seed=seed, script=script)


def test_an_answer_at_the_very_deadline_is_taken_or_refused_and_nothing_else() -> None:
    # It would have caught a deadline that cancels a probe whose answer is there, and keeps neither.
    host = equal_cards(1).with_fault("slow_start", seconds=7, phase="verify", variant="cuda_v13")

    def outcome(seed: int) -> str:
        simulated = simulate(host, seed=seed, variant="cuda_v13", verify_timeout=7)
        (probe,) = (probe for probe in simulated.report.probes if probe.phase is Phase.VERIFY)
        assert len(simulated.report.devices) + len(simulated.report.rejected) == 1
        assert (probe.outcome == "answered") == bool(simulated.report.devices)
        return probe.outcome

    assert {outcome(seed) for seed in range(200)} == {"answered", "timeout"}


def test_a_runner_that_is_killed_in_the_midst_of_anything_has_crashed() -> None:
    reasons = set()
    for seed in range(60):

        async def script(simulation: Simulation, events: int = seed % 12) -> None:
            call = asyncio.create_task(simulation.discovery.devices())
            await in_the_midst(simulation, call, events)
            for runner in simulation.runners:
                runner.kill()
            await call

        simulated = simulate(equal_cards(2), seed=seed, script=script, variant="cuda_v13")
        assert len(simulated.report.devices) + len({r.id for r in simulated.report.rejected}) in (1, 2)
        reasons |= {(r.phase, r.reason) for r in simulated.report.rejected}
    assert reasons == {(Phase.ENUMERATE, Reason.CRASHED), (Phase.VERIFY, Reason.CRASHED)}


def test_the_machine_that_is_simulated_is_left_alone(tmp_path: Path) -> None:
    async def script(simulation: Simulation) -> None:
        await simulation.discovery.devices()
        simulation.host.unplug("gpu0")

    host = FakeHost.of("RTX 4090", "RTX 3090")
    for machine in (host, FakeHost.load(host.save(tmp_path / "host.json").path)):
        simulated = simulate(machine, script=script)
        assert machine.now == machine == host
        assert machine.calls == ()
        assert len(simulated.host.now.document["gpu"]) == 1
        assert len(simulated.host.calls) == len(simulated.report.probes)


def test_the_machine_is_taken_as_it_is_by_now() -> None:
    host = FakeHost.of("RTX 4090", "RTX 3090")
    host.unplug("gpu0")
    assert [device.description for device in simulate(host, variant="cuda_v13").report.devices] == [
        "NVIDIA GeForce RTX 3090"
    ]


def test_what_a_script_raises_says_which_seed_it_was_and_what_had_happened() -> None:
    async def script(simulation: Simulation) -> None:
        devices = await simulation.discovery.devices()
        assert not devices, "there are some"

    with pytest.raises(AssertionError, match="there are some") as caught:
        simulate(FakeHost.of("RTX 4090"), seed=77, script=script)
    (note,) = caught.value.__notes__
    assert note.startswith("simulated with seed=77; the last events:\n")
    assert note.endswith("bytes free\n")


def test_a_script_that_waits_for_nothing_is_told_so() -> None:
    async def script(simulation: Simulation) -> None:
        await simulation.discovery.devices()
        await asyncio.Event().wait()

    with pytest.raises(StandstillError, match="nothing is ready"):
        simulate(FakeHost.of("RTX 4090"), script=script)


def test_options_and_surroundings_are_those_of_a_discovery() -> None:
    with pytest.raises(ValueError, match="verify_timeout"):
        simulate(FakeHost.of("RTX 4090"), verify_timeout=0)
    jetson = simulate(MACHINES["jetson"]())
    assert [device.free_memory for device in jetson.report.devices] == [16 << 30]
