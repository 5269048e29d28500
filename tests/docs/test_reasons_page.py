"""docs/reasons.md against the enumerations it explains."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_gpudiscover import DeviceInfo, Phase, Reason
from pytest_gpudiscover.refreshing import vanished
from pytest_gpudiscover.reports import Rejection
from pytest_gpudiscover.wire import Answer

PAGE = Path(__file__).parents[2] / "docs" / "reasons.md"
ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def rows() -> list[tuple[str, str, str, str]]:
    """The rows of the table: reason, phases, meaning, what to do."""
    found: list[tuple[str, str, str, str]] = ROW.findall(PAGE.read_text(encoding="utf-8"))
    return found


def test_the_page_explains_every_reason_once_and_in_the_order_of_the_enumeration() -> None:
    assert [reason for reason, *_ in rows()] == [str(reason) for reason in Reason]


def test_the_page_names_phases_that_exist() -> None:
    named = {phase.strip() for _, phases, *_ in rows() for phase in phases.split(",")}

    assert named == {str(phase) for phase in Phase}


@pytest.mark.parametrize("reason", [Reason.BAD_DEVICE, Reason.NO_MEMORY, Reason.CPU, Reason.UNUSABLE])
def test_an_entry_may_be_refused_while_listing_verifying_and_refreshing(reason: Reason) -> None:
    device = DeviceInfo(id="GPU-a", library="CUDA")
    refused = Rejection.of(device, Phase.ENUMERATE, reason, "refused")
    found = vanished(device, Answer(entries=(refused,)))
    (phases,) = [phases for name, phases, *_ in rows() if name == str(found.reason)]
    assert phases == f"enumerate, verify, {found.phase}"


def test_each_reason_says_what_it_means_and_what_to_do() -> None:
    assert all(meaning.strip() and advice.strip() for *_, meaning, advice in rows())
