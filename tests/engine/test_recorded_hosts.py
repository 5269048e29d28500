"""The 40 recorded hosts: the same survivors as recorded, by real processes and in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from machines import as_fake_host, vector_hosts, verdicts
from pytest_gpudiscover import Report, discover

HOSTS = [pytest.param(host, id=f"host-{n}") for n, host in enumerate(vector_hosts())]


def survivors(report: Report) -> list[list[str]]:
    return [[d.library, d.id, d.filtered_id, d.description, d.variant] for d in report.devices]


@pytest.mark.parametrize("recorded", HOSTS)
def test_a_recorded_host_has_the_recorded_survivors_by_processes_and_in_memory(
    recorded: dict[str, Any], tmp_path: Path
) -> None:
    host = as_fake_host(recorded)
    in_memory = discover(host.in_memory())
    by_processes = host.save(tmp_path / "host.json").discover()
    assert survivors(in_memory) == recorded["intended"]
    assert survivors(by_processes) == recorded["intended"]
    assert verdicts(in_memory) == verdicts(by_processes)


def test_there_are_40_recorded_hosts() -> None:
    assert len(HOSTS) == 40
