"""Which launcher this system gets."""

from __future__ import annotations

import os
import sys

from pytest_gpudiscover.probing.keeper import KeeperLauncher
from pytest_gpudiscover.probing.processes import Launcher


def launcher() -> Launcher:
    """Return the launcher for this system, not yet entered.

    The keeper needs POSIX and a Python interpreter to start; without either, processes are started directly.
    """
    if os.name == "posix" and sys.executable:
        return KeeperLauncher()
    from pytest_gpudiscover.probing.direct import DirectLauncher

    return DirectLauncher()
