"""Frameworks, where installed, behind the masks that we emit."""

from __future__ import annotations

import pytest

from pytest_gpudiscover.frameworks.checking import FRAMEWORKS, check_frameworks
from pytest_gpudiscover.frameworks.comparing import Outcome
from pytest_gpudiscover.frameworks.wording import in_words
from pytest_gpudiscover.hardware.machine import Machine


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_framework_sees_what_is_shown_to_it(machine: Machine, framework: str) -> None:
    """All devices at once and in order, and each of them alone."""
    (verdict,) = check_frameworks(
        machine.report, frameworks=[framework], surroundings=machine.session.surroundings
    )
    if verdict.outcome in (Outcome.NOT_INSTALLED, Outcome.NO_GPU_SUPPORT):
        pytest.skip("; ".join(in_words([verdict])))
    assert list(verdict.problems) == []
    machine.notes.extend(in_words([verdict]))
