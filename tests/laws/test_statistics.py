"""What Hypothesis's statistics show: on which machines the laws have really been held."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

LAWS = Path(__file__).parent
QUICK = (
    "test_law_overlap.py::test_of_a_true_machine_overlap_keeps_each_gpu_of_a_library_in_one_variant",
    "test_law_duplicates.py::test_no_two_survivors_of_duplicates_are_one_gpu_as_far_as_the_libraries_tell",
    "test_law_refresh.py::test_after_a_refresh_each_device_has_the_free_memory_of_its_own_gpu",
)
EVENT = re.compile(r"^ +\* +[\d.]+%, (.*)$", re.MULTILINE)


def test_the_statistics_of_the_laws_show_that_interesting_machines_were_among_the_drawn() -> None:
    options = ["-p", "no:cacheprovider", "--hypothesis-profile=ci", "--hypothesis-show-statistics"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *QUICK], cwd=LAWS, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    _, *shown = re.split(r"^tests/laws/.*:$", run.stdout, flags=re.MULTILINE)
    events = [set(EVENT.findall(of_one_law)) for of_one_law in shown]
    assert len(events) == len(QUICK)
    assert {"three versions", "twins", "missing PCI ids", "mixed vendors"} <= set.union(*events)
    assert all({"twins", "missing PCI ids"} <= of_one_law for of_one_law in events)
