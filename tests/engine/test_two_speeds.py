"""What a fault may be told, acted out by a real process and in memory: one verdict.

The faults themselves are compared in test_fault_matrix.py.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from machines import verdicts
from pytest_gpudiscover import Phase, Report, discover
from pytest_gpudiscover.simulation import FakeHost
from pytest_gpudiscover.surroundings import Surroundings


@pytest.fixture(autouse=True)
def _the_systems_memory_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """An integrated GPU has what is left of it, which changes from one discovery to the next."""
    current = Surroundings.current
    monkeypatch.setattr(Surroundings, "current", lambda: replace(current(), available_memory=lambda: 1 << 36))


def both(host: FakeHost, directory: Path, timeout: float) -> tuple[Report, Report]:
    options = {"enumerate_timeout": timeout, "verify_timeout": timeout}
    saved = host.save(directory / "host.json")
    by_processes = discover(saved.installation(without_variants=["cuda_v12"]), **options)
    in_memory = discover(host.in_memory(without_variants=["cuda_v12"]), **options)
    return by_processes, in_memory


FORMS: list[tuple[str, dict[str, str], str, int]] = [
    ("wrong_shape", {}, "null object text null_entry list_entry missing_id null_id", 1),
    ("bad_int", {"device": "gpu0"}, "digits negative huge float bool", 1),
    ("hostile_strings", {}, "nul escape long", 0),
    ("pci_odd", {"device": "gpu0"}, "missing upper wide_domain short wrong", 0),
]
PORT = {"name": "port_taken"}
ONCE = {"name": "status", "phase": "enumerate", "times": 1}
LATER = {"name": "status", "phase": "enumerate", "after": 1}
NEVER = {"name": "status", "phase": "enumerate", "probability": 0}


@pytest.mark.parametrize(
    ("fault", "lost"),
    [
        pytest.param({**PORT, "times": 1}, 0, id="a-port-taken-once"),
        pytest.param({**PORT, "times": 2}, 0, id="a-port-taken-twice"),
        pytest.param({**PORT, "phase": "enumerate", "times": 3}, 1, id="a-port-taken-three-times"),
        pytest.param({"name": "refuse_then_accept", "count": 3}, 1, id="three-resets"),
        pytest.param(ONCE, 1, id="an-error-once"),
        pytest.param(LATER, 0, id="an-error-later"),
        pytest.param(NEVER, 0, id="an-error-never"),
        pytest.param(
            {"name": "random_bytes", "phase": "enumerate", "size": 2**23}, 1, id="an-answer-of-8-mebibytes"
        ),
        pytest.param(
            {"name": "needs_variable", "variable": "GPUDISCOVER_PHASE"}, 0, id="a-variable-that-is-set"
        ),
        *(
            pytest.param(
                {"name": name, "phase": "enumerate", "form": form, **device}, lost, id=f"{name}-{form}"
            )
            for name, device, forms, lost in FORMS
            for form in forms.split()
        ),
    ],
)
def test_what_a_fault_may_be_told_has_one_verdict_too(
    fault: dict[str, Any], lost: int, tmp_path: Path
) -> None:
    plain = FakeHost.of("RTX 4090", "RTX 3090", "RX 7900 XTX").document
    host = FakeHost({**plain, "fault": [{"variant": "cuda_v13", **fault}]})
    by_processes, in_memory = both(host, tmp_path, 20)
    assert verdicts(by_processes) == verdicts(in_memory)
    assert len([r for r in by_processes.rejected if r.phase is Phase.ENUMERATE]) == lost
