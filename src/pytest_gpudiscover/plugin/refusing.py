"""How a test ends that cannot have the GPUs it needs."""

from __future__ import annotations

from typing import NoReturn

import pytest

from pytest_gpudiscover.plugin.settings import Settings


class Unmet(pytest.fail.Exception):  # type: ignore[name-defined,misc]  # for its type it is no class
    """A test fails for what is missing. No xfail mark makes that an expected failure."""

    __module__ = "builtins"  # as of pytest's own outcomes: summaries then show no more than the name

    def __init__(self, reason: str) -> None:
        super().__init__(reason, pytrace=False)


def refuse(config: pytest.Config, reason: str, *, in_hook_of: pytest.Item | None = None) -> NoReturn:
    """Skip a test for what is missing; under strict let it fail.

    Args:
        config: of the session.
        reason: what is missing.
        in_hook_of: the test, for a hook; a fixture's skip is shown at the test anyway.
    """
    if Settings.of(config).strict:
        raise Unmet(reason)
    at_test = in_hook_of is not None and in_hook_of.location[1] is not None
    raise pytest.skip.Exception(reason, _use_item_location=at_test)
