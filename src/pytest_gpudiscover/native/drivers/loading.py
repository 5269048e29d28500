"""Loading the library of a driver, in the process that is there to ask it."""

from __future__ import annotations

import ctypes
import sys

from pytest_gpudiscover.native.drivers.interface import DriverError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from pytest_gpudiscover.native.drivers import Driver

    _Functions = TypeVar("_Functions")


def load(driver: Driver, functions: Callable[[ctypes.CDLL], _Functions]) -> _Functions:
    """Load the library of this platform, and find its functions.

    Raises:
        DriverError: it is not there, or too old.
    """
    problems = []
    for name in driver.library_names(sys.platform):
        try:
            return functions(ctypes.CDLL(name))
        except OSError as error:
            problems.append(str(error))
    raise DriverError(f"{driver.missing(sys.platform)} ({'; '.join(problems)})")
