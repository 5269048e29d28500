"""Many processes at once, killed at random; what is a clash is found from outside, and not from the book."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lease_crowd
import pytest_gpudiscover


@pytest.mark.skipif(sys.platform == "win32", reason="the crowd is forked")
def test_in_a_crowd_that_is_killed_at_random_nothing_is_held_twice_and_everybody_is_served(
    tmp_path: Path,
) -> None:
    sources = Path(pytest_gpudiscover.__file__).parents[1]
    crowd = subprocess.run(
        [sys.executable, "-S", lease_crowd.__file__, str(tmp_path / "leases" / "machine"), "240", "7"],
        env={**os.environ, "PYTHONPATH": str(sources)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    result = json.loads(crowd.stdout)
    assert crowd.stderr == ""
    assert result["clashes"] == []
    assert sum(result["granted"].values()) == 240
    assert min(result["granted"].values()) > 20
    assert result["killed"] >= 20
    assert result["left"] == []
