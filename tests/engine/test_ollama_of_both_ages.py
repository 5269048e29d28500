"""Ollama as it is installed, of either age: it sees one machine, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from fake_runner.faults import VOCABULARY
from lifelines import Lifeline
from machines import verdicts
from ollamas import AGES, installed, speaking, starts
from pytest_gpudiscover import Discovery, OllamaInstallation, Phase, Reason, Report, discover
from pytest_gpudiscover.installations import Installation
from pytest_gpudiscover.probing import Failure, ProbeRequest, ProbeResult
from pytest_gpudiscover.probing.either import EitherWay
from pytest_gpudiscover.probing.speech import Heard, Speech
from pytest_gpudiscover.simulation import FakeHost, virtual_time
from pytest_gpudiscover.simulation.in_memory import InMemoryInstallation
from pytest_gpudiscover.simulation.performances import Performance, Runner
from pytest_gpudiscover.surroundings import Surroundings
from pytest_gpudiscover.variants import Variant

EITHER_AGE = pytest.mark.parametrize("speaks", AGES)
CARDS = ("RTX 4090", "RX 7900 XTX")
GIB = 1 << 30


def machine(
    *cards: str, fault: dict[str, Any] | None = None, without: Sequence[str] = ("cuda_v12", "vulkan")
) -> FakeHost:
    """These cards without some variants, and a fault."""
    plain = FakeHost.of(*(cards or CARDS)).document
    variants = {name: shown for name, shown in plain["variant"].items() if name not in without}
    return FakeHost({"gpu": plain["gpu"], "variant": variants, "fault": [fault] if fault else []})


def ollama(program: Path, **options: Any) -> OllamaInstallation:
    return OllamaInstallation([str(program)], **options)


def seen(report: Report) -> list[tuple[str, str, str, int]]:
    return [(d.description, d.variant, d.compute, d.free_memory) for d in report.devices]


def nothing_is_left() -> bool:
    return psutil.Process().children(recursive=True) == []


@EITHER_AGE
def test_both_ages_see_one_machine(speaks: str, tmp_path: Path) -> None:
    host = speaking(machine(), speaks)
    report = discover(ollama(installed(tmp_path, host)))
    assert seen(report) == seen(discover(machine().in_memory()))
    assert {probe.outcome for probe in report.probes} == {"answered"}
    assert nothing_is_left()


@EITHER_AGE
def test_ollama_on_path_is_asked_as_its_release_answers(
    speaks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = installed(tmp_path, speaking(machine("RTX 4090"), speaks))
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    assert [device.description for device in discover(OllamaInstallation()).devices] == [
        "NVIDIA GeForce RTX 4090"
    ]


@EITHER_AGE
async def test_the_age_is_found_out_once(speaks: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = installed(tmp_path, speaking(machine(), speaks), f'echo "$1" >> {log}')
    discovery = Discovery(ollama(program))
    await discovery.devices()
    await discovery.devices()
    probes = len(log.read_text().split())
    first = {"info": ["gpu-discover"], "gpu-discover": []}[speaks]
    again = {"info": "runner", "gpu-discover": "gpu-discover"}[speaks]
    assert log.read_text().split() == [*first, *[again] * (probes - len(first))]


async def test_a_rescan_notices_that_ollama_has_been_upgraded(tmp_path: Path) -> None:
    host = machine("RTX 4090")
    program = installed(tmp_path, host)
    discovery = Discovery(ollama(program))
    before = await discovery.devices()
    shutil.rmtree(program.parent.parent / "bin")
    shutil.rmtree(program.parent.parent / "lib")
    installed(tmp_path, speaking(host, "gpu-discover"))
    after = await discovery.devices(rescan=True)
    assert [device.description for device in after] == [device.description for device in before]


@EITHER_AGE
def test_each_device_is_verified_alone_and_deeply(speaks: str, tmp_path: Path) -> None:
    host = speaking(machine("RTX 4090", "RTX 3090"), speaks)
    program = installed(tmp_path, host)
    discover(ollama(program))
    verified = [call for call in FakeHost.load(tmp_path / "host.json").calls if call.phase == Phase.VERIFY]
    assert [call.deep for call in verified] == [True, True]
    assert len({call.masks["CUDA_VISIBLE_DEVICES"] for call in verified}) == 2


def test_a_later_release_s_devices_are_masked_by_their_numbers(tmp_path: Path) -> None:
    host = speaking(machine("RTX 4090", "RTX 3090"), "gpu-discover")
    report = discover(ollama(installed(tmp_path, host)))
    masks = [dict(probe.mask) for probe in report.probes if probe.phase is Phase.VERIFY]
    assert masks == [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}]


def test_a_number_is_translated_through_the_user_s_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    host = speaking(machine("RTX 4090", "RTX 3090"), "gpu-discover")
    (device,) = discover(ollama(installed(tmp_path, host))).devices
    assert (device.description, device.id, device.filtered_id) == ("NVIDIA GeForce RTX 3090", "0", "1")


async def test_free_memory_is_refreshed_the_same_way(tmp_path: Path) -> None:
    program = installed(tmp_path, speaking(machine("RTX 4090", "RTX 3090"), "gpu-discover"))
    discovery = Discovery(ollama(program))
    before, _ = await discovery.devices()
    host = FakeHost.load(tmp_path / "host.json")
    document = host.document
    document["gpu"][1]["free_memory"] = 3 * GIB
    FakeHost(document).save(tmp_path / "host.json")
    first, second = await discovery.devices()
    assert (first.free_memory, second.free_memory) == (before.free_memory, 3 * GIB)
    assert [probe.phase for probe in discovery.report.probes] == [Phase.REFRESH]
    assert starts(FakeHost.load(tmp_path / "host.json"))[-1] == "gpu-discover"


@EITHER_AGE
def test_a_card_that_breaks_a_library_decides_nothing_about_the_age(speaks: str, tmp_path: Path) -> None:
    """What crashes first says nothing; what answers next does."""
    fault = {"name": "signal", "variant": "cuda_v13", "signal": "SEGV"}
    host = speaking(machine(fault=fault), speaks)
    report = discover(ollama(installed(tmp_path, host)))
    assert seen(report) == seen(discover(machine(fault=fault).in_memory()))
    assert [r.reason for r in report.rejected if r.variant == "cuda_v13"] == [Reason.CRASHED]


def test_a_later_release_whose_drivers_are_missing_is_not_taken_for_an_older_one(tmp_path: Path) -> None:
    """It ends with 1 and names the driver's library; it serves no runner that could be asked instead."""
    words = "Error: libcuda.so.1: cannot open shared object file"
    fault = {"name": "needs_variable", "variant": "cuda_v13", "variable": words}
    log = tmp_path / "log"
    host = speaking(machine(fault=fault), "gpu-discover")
    report = discover(ollama(installed(tmp_path, host, f'echo "$1" >> {log}')))
    assert log.read_text().split() == ["gpu-discover", "runner", "gpu-discover", "gpu-discover"]
    assert [device.library for device in report.devices] == ["ROCm"]
    assert [(r.reason, words in r.detail) for r in report.rejected] == [(Reason.EXITED, True)]


@pytest.mark.parametrize(
    "preamble",
    [
        'case $1 in gpu-discover) echo "Befehl unbekannt" >&2; exit 2;; esac',
        'case $1 in gpu-discover) echo "Usage: ollama [command]"; exit 0;; esac',
        "case $1 in gpu-discover) exit 0;; esac",
    ],
    ids=["other words", "usage on stdout", "no words"],
)
def test_an_older_release_that_says_otherwise_that_it_knows_no_such_command_loses_no_device(
    preamble: str, tmp_path: Path
) -> None:
    program = installed(tmp_path, machine("RTX 4090"), preamble)
    assert [device.library for device in discover(ollama(program)).devices] == ["CUDA"]


def test_an_older_release_with_other_words_and_a_variant_that_crashes_is_not_taken_for_a_later_one(
    tmp_path: Path,
) -> None:
    fault = {"name": "signal", "variant": "cuda_v13", "signal": "SEGV"}
    preamble = "case $1 in gpu-discover) exit 2;; esac"
    program = installed(tmp_path, machine(fault=fault), preamble)
    assert [device.library for device in discover(ollama(program)).devices] == ["ROCm"]


def test_a_variant_that_fails_after_another_has_answered_is_asked_one_way_only(tmp_path: Path) -> None:
    log = tmp_path / "log"
    fault = {"name": "exit_early", "variant": "rocm"}
    host = speaking(machine(fault=fault), "gpu-discover")
    discover(ollama(installed(tmp_path, host, f'echo "$1" >> {log}')))
    assert {*log.read_text().split()} == {"gpu-discover"}


class Failing:
    """A prober that takes three seconds to fail."""

    def __init__(self) -> None:
        self.timeouts: list[float] = []

    async def probe(self, request: ProbeRequest) -> ProbeResult:
        self.timeouts.append(request.timeout)
        failure = Failure(reason=Reason.EXITED, detail="the runner ended with code 1 before it answered")
        return ProbeResult(failure=failure, started=100.0, ended=103.0)


@pytest.mark.parametrize(("allowed", "left"), [(10.0, [7.0]), (3.0, [])])
async def test_both_ways_together_have_the_time_of_one_probe(allowed: float, left: list[float]) -> None:
    printing, serving = Failing(), Failing()
    prober = EitherWay(Heard(), {Speech.GPU_DISCOVER: printing, Speech.INFO: serving})
    await prober.probe(ProbeRequest(phase=Phase.ENUMERATE, variant=Variant(name=""), timeout=allowed))
    assert (printing.timeouts, serving.timeouts) == ([allowed], left)


@pytest.mark.parametrize(
    ("command", "speech"),
    [
        (["ollama"], None),
        (["OLLAMA"], None),
        (["ollama", "gpu-discover"], Speech.GPU_DISCOVER),
        (["ollama", "--verbose"], Speech.INFO),
        (["my-runner"], Speech.INFO),
        (["my-runner", "gpu-discover"], Speech.GPU_DISCOVER),
    ],
)
def test_the_command_says_how_it_is_asked(command: list[str], speech: Speech | None, tmp_path: Path) -> None:
    program = tmp_path / command[0]
    program.touch(mode=0o755)
    located = OllamaInstallation([str(program), *command[1:]]).locate(Surroundings.current())
    assert located.heard.speech is speech
    assert located.command == (str(program), *[word for word in command[1:] if word != "gpu-discover"])


async def test_a_cancelled_discovery_leaves_nothing_behind(tmp_path: Path, lifeline: Lifeline) -> None:
    host = speaking(machine("RTX 4090", fault={"name": "never_bind"}), "gpu-discover")
    program = installed(tmp_path, host, f"exec 9> {shlex.quote(str(lifeline.path))}; echo here >&9")
    discovering = asyncio.ensure_future(Discovery(ollama(program)).devices())
    await asyncio.to_thread(lifeline.word)
    discovering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await discovering
    assert not lifeline.held
    assert nothing_is_left()


PHASES = (Phase.ENUMERATE, Phase.VERIFY, Phase.REFRESH)
STRIKES = {
    name: Phase.VERIFY if Phase.VERIFY in fault.phases else Phase(fault.phases[0])
    for name, fault in VOCABULARY.items()
}
"""One phase for each fault: what a runner does in the others is the same."""
WITH_PROCESSES = (
    *("signal", "die_mid_response", "answer_then_crash", "grandchild_holds_pipe", "stop_self"),
    *("infinite_body", "crash_deep"),
)
NO_PORT = {"port_taken", "port_squatter", "slow_headers"}
"""What these do to a port or to the head of an answer has no counterpart."""
AMPLE, SHORT = 20.0, 2.0
"""Deadlines, in seconds: where nothing hangs, and for what does."""


def struck(name: str, phase: Phase, *cards: str) -> FakeHost:
    """A later release's machine with a fault that can strike one library only."""
    fault: dict[str, Any] = {"name": name, "variant": "cuda_v13", "phase": str(phase)}
    fault |= {"device": "gpu0"} if VOCABULARY[name].of_device else {}
    fault |= {"mebibytes": 1} if name == "stderr_flood" else {}
    fault |= {"seconds": 0.05} if name.startswith("slow_") and name != "slow_headers" else {}
    return speaking(machine(*cards, fault=fault), "gpu-discover")


async def twice(installation: Installation, hanging: Phase | None) -> list[Report]:
    """The reports of a bootstrap and of a refresh, with a short deadline where something hangs."""
    deadlines: dict[str, Any] = {f"{each}_timeout": SHORT if each is hanging else AMPLE for each in PHASES}
    around = replace(Surroundings.current(), available_memory=lambda: 1 << 36)
    discovery = Discovery(installation, surroundings=around, **deadlines)
    await discovery.devices()
    bootstrap = discovery.report
    await discovery.devices()
    return [bootstrap, discovery.report]


class Witness(Performance):
    """Sees which faults strike."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def started(self, runner: Runner) -> None:
        self.seen.update(runner.call.faults)


@pytest.mark.parametrize(("name", "phase"), STRIKES.items())
def test_every_fault_of_a_later_release_costs_its_own_library_only(name: str, phase: Phase) -> None:
    witness = Witness()
    host = InMemoryInstallation(struck(name, phase), performance=witness)
    bootstrap, refresh = virtual_time.run(twice(host, phase))
    assert witness.seen == {name}
    report = refresh if phase is Phase.REFRESH else bootstrap
    assert [d.description for d in report.devices if d.library == "ROCm"] == ["AMD Radeon RX 7900 XTX"]
    assert {rejection.library or rejection.variant for rejection in report.rejected} <= {"CUDA", "cuda_v13"}
    assert all(rejection.detail for rejection in report.rejected)
    if name in NO_PORT:
        assert report.rejected == ()


def test_two_faults_of_a_later_release_are_the_same_with_real_processes(tmp_path: Path) -> None:
    """A refusal that is no text, and a crash behind it."""
    faults = [
        {"name": "status", "variant": "cuda_v13", "phase": "verify", "code": 500, "body": "\xe9"},
        {"name": "short_body", "variant": "cuda_v13", "phase": "verify"},
        {"name": "answer_then_crash", "variant": "cuda_v13", "phase": "verify"},
    ]
    host = speaking(FakeHost({**machine("RTX 4090").document, "fault": faults}), "gpu-discover")
    reports = asyncio.run(twice(host.save(tmp_path / "host.json").installation(), None))
    in_memory = virtual_time.run(twice(host.in_memory(), None))
    assert [verdicts(report) for report in reports] == [verdicts(report) for report in in_memory]
    assert [rejection.reason for rejection in reports[0].rejected] == [Reason.CRASHED]
    assert [rejection.detail for rejection in in_memory[0].rejected] == [
        rejection.detail for rejection in reports[0].rejected
    ]


@pytest.mark.parametrize("name", WITH_PROCESSES)
def test_a_fault_of_a_later_release_is_the_same_with_real_processes(name: str, tmp_path: Path) -> None:
    phase = STRIKES[name]
    before = psutil.Process().num_fds()
    # Where one hangs, a short deadline holds for all of its phase: nothing that is well is asked then.
    hanging, cards = (phase, ("RTX 4090",)) if name == "stop_self" else (None, CARDS)
    host = struck(name, phase, *cards).save(tmp_path / "host.json")
    reports = asyncio.run(twice(host.installation(), hanging))
    in_memory = virtual_time.run(twice(struck(name, phase, *cards).in_memory(), hanging))
    assert [verdicts(report) for report in reports] == [verdicts(report) for report in in_memory]
    assert name in {fault for call in host.calls for fault in call.faults}
    assert nothing_is_left()
    assert psutil.Process().num_fds() == before
