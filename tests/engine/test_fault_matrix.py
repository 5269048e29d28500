"""Every fault in every phase it can hit: what the engine says, and that nobody else is touched.

docs/fault-matrix.md holds the verdicts; it is written by this test (`GPUDISCOVER_WRITE_MATRIX=1`), and each
cell fails when what it sees is not what stands there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from fake_runner.faults import VOCABULARY
from machines import verdicts
from pytest_gpudiscover import Discovery, Phase, Reason, Report
from pytest_gpudiscover.blocking import run_in_thread
from pytest_gpudiscover.installations import Installation
from pytest_gpudiscover.simulation import FakeHost, virtual_time
from pytest_gpudiscover.surroundings import Surroundings

PAGE = Path(__file__).parents[2] / "docs" / "fault-matrix.md"
WRITING = bool(os.environ.get("GPUDISCOVER_WRITE_MATRIX"))
PHASES = (Phase.ENUMERATE, Phase.VERIFY, Phase.REFRESH)
CELLS = [(name, phase) for name, fault in VOCABULARY.items() for phase in PHASES if phase in fault.phases]
HANGING = {"never_bind", "stop_self", "accept_silent", "hang_deep", "slow_headers", "drip"}
"""These end at the deadline, which is short for them; the others never come near a deadline."""
QUICK: dict[str, dict[str, float]] = {
    "slow_start": {"seconds": 0.05},
    "slow_first": {"seconds": 0.05},
    "stderr_flood": {"mebibytes": 1},
}
"""Arguments that leave a fault what it is, and a test short."""
AMPLE = 20.0
"""Seconds that nothing needs, on however slow a machine."""
ENDING = 8.0
"""Seconds in which the engine ends whatever a probe has started, after the probe's own deadline."""

HEAD = """\
# Every fault in every phase

What the engine says of each fault of the fake runner ([fake-runner.md](fake-runner.md)), in each phase it
can strike in. This page is written by a test run, which starts real processes for each cell. The test fails
when a verdict changes, and when a cell is never reached:

```console
$ GPUDISCOVER_WRITE_MATRIX=1 python -m pytest tests/engine/test_fault_matrix.py
```

*variant* and a reason of the [closed list](reasons.md): all that the struck variant lists is lost in that
phase. *device* and a reason: only the devices struck. *kept*: nothing is lost. *stale*: the old figure of
free memory stays. In every cell the other variant's device is as it is without a fault, the verdict in
memory is the same, no process and no descriptor is left, and no probe outlives its deadline by more than it
takes to end it. An empty cell is one where the fault cannot strike.

| fault | enumerate | verify | refresh |
| --- | --- | --- | --- |
"""


@dataclass(frozen=True)
class Sight:
    """What was seen of a host: the bootstrap's report, and the refresh's."""

    bootstrap: Report
    refresh: Report

    def of(self, phase: Phase) -> Report:
        return self.refresh if phase is Phase.REFRESH else self.bootstrap


def struck_host(name: str, phase: Phase) -> FakeHost:
    """Two cards of one library, a third of another, and a fault that can strike the first library only."""
    plain = FakeHost.of("RTX 4090", "RTX 3090", "RX 7900 XTX").document
    trigger = {"device": "gpu0"} if VOCABULARY[name].of_device else {}
    fault: dict[str, Any] = {"name": name, "variant": "cuda_v13", "phase": str(phase)}
    fault |= trigger | QUICK.get(name, {})
    variants = {key: value for key, value in plain["variant"].items() if key in ("cuda_v13", "rocm")}
    return FakeHost({"gpu": plain["gpu"], "variant": variants, "fault": [fault]})


def seen(
    installation: Installation,
    phase: Phase,
    timeout: float,
    run: Callable[[Callable[[], Coroutine[Any, Any, Sight]]], Sight] = run_in_thread,
) -> Sight:
    """Discover and refresh, with this deadline in one phase and ample ones in the others."""
    discovery = Discovery(
        installation,
        enumerate_timeout=timeout if phase is Phase.ENUMERATE else AMPLE,
        verify_timeout=timeout if phase is Phase.VERIFY else AMPLE,
        refresh_timeout=timeout if phase is Phase.REFRESH else AMPLE,
        surroundings=replace(Surroundings.current(), available_memory=lambda: 1 << 36),
    )

    async def twice() -> Sight:
        await discovery.devices()
        bootstrap = discovery.report
        await discovery.devices()
        return Sight(bootstrap, discovery.report)

    return run(twice)


def verdict(sight: Sight, phase: Phase) -> str:
    """One cell of the page."""
    report = sight.of(phase)
    struck = [r for r in report.rejected if r.variant == "cuda_v13" and r.phase is phase]
    words = sorted(
        {f"{'device' if rejection.device else 'variant'}: {rejection.reason}" for rejection in struck}
    )
    stale = ["stale"] if any(device.stale for device in report.devices) else []
    return ", ".join([*(words or (["kept"] if not stale else [])), *stale])


def written() -> dict[tuple[str, Phase], str]:
    """The page's cells."""
    lines = PAGE.read_text(encoding="utf-8").splitlines() if PAGE.exists() else []
    cells: dict[tuple[str, Phase], str] = {}
    for line in lines:
        if line.startswith("| `"):
            name, *words = (part.strip() for part in line.strip("|").split("|"))
            cells |= {
                (name.strip("`"), phase): word for phase, word in zip(PHASES, words, strict=True) if word
            }
    return cells


EXPECTED = written()
REACHED: dict[tuple[str, Phase], str] = {}


@pytest.fixture(scope="module", autouse=True)
def _page() -> Iterator[None]:
    yield
    if WRITING and len(REACHED) == len(CELLS):
        rows = [[REACHED.get((name, phase), "") for phase in PHASES] for name in VOCABULARY]
        lines = [f"| `{name}` | {' | '.join(row)} |" for name, row in zip(VOCABULARY, rows, strict=True)]
        PAGE.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")


def descriptors() -> int:
    return psutil.Process().num_fds()


@pytest.mark.parametrize(("name", "phase"), CELLS)
def test_a_fault_has_its_verdict_and_touches_nobody_else(name: str, phase: Phase, tmp_path: Path) -> None:
    host = struck_host(name, phase).save(tmp_path / "host.json")
    timeout = 5.0 if name in HANGING else AMPLE
    before = descriptors()
    sight = seen(host.installation(), phase, timeout)
    assert (psutil.Process().children(recursive=True), descriptors()) == ([], before)

    struck = {call.phase for call in host.calls if name in call.faults}
    if VOCABULARY[name].outside:  # it strikes in the other phases, as a device that only this one has
        assert struck
        assert phase not in struck
    else:
        assert struck == {phase}
    REACHED[name, phase] = verdict(sight, phase)

    healthy = [replace(device, stale=False) for device in sight.refresh.devices if device.library == "ROCm"]
    assert [device.description for device in healthy] == ["AMD Radeon RX 7900 XTX"]
    assert healthy == [device for device in sight.bootstrap.devices if device.library == "ROCm"]
    report = sight.of(phase)
    assert all(r.detail and isinstance(r.reason, Reason) for r in report.rejected)
    assert all(probe.ended - probe.started < timeout + ENDING for probe in report.probes)

    in_memory = seen(
        struck_host(name, phase).in_memory(), phase, timeout, lambda start: virtual_time.run(start())
    )
    assert verdicts(in_memory.bootstrap) == verdicts(sight.bootstrap)
    assert verdicts(in_memory.refresh) == verdicts(sight.refresh)
    assert WRITING or REACHED[name, phase] == EXPECTED.get((name, phase))


def test_the_page_has_every_cell_and_no_other() -> None:
    assert WRITING or list(EXPECTED) == CELLS
