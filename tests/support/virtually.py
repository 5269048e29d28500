"""Tests of deadlines, under virtual time: nothing takes any, and no busy machine is late."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

from pytest_gpudiscover.simulation.virtual_time import run

_P = ParamSpec("_P")


def in_virtual_time(test: Callable[_P, Coroutine[Any, Any, None]]) -> Callable[_P, None]:
    """Run an asynchronous test in an event loop whose clock jumps to whatever is due next."""

    @functools.wraps(test)
    def run_test(*arguments: _P.args, **named: _P.kwargs) -> None:
        run(test(*arguments, **named))

    return run_test
