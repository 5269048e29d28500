"""How long each probe took, as a table."""

from __future__ import annotations

from pytest_gpudiscover.hardware.timing import timings
from pytest_gpudiscover.reports import Phase, ProbeRecord, Report


def test_each_probe_is_a_line_of_the_table() -> None:
    mask = {"CUDA_VISIBLE_DEVICES": "GPU-1"}
    answered = ProbeRecord(
        phase=Phase.VERIFY, variant="cuda", mask=mask, started=0.1, ready=0.25, ended=0.3, outcome="answered"
    )
    crashed = ProbeRecord(phase=Phase.ENUMERATE, variant="", started=0.0, ended=12.5, outcome="crashed")
    assert list(timings(Report(probes=(crashed, answered), duration=12.75))) == [
        "phase     variant          started  answered     ended  outcome     mask",
        "enumerate -                0.000 s            12.500 s  crashed",
        "verify    cuda             0.100 s   0.250 s   0.300 s  answered    CUDA_VISIBLE_DEVICES=GPU-1",
        "the whole discovery took 12.750 s",
    ]
