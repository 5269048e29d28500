"""Who looks, and what this process may use."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from pytest_gpudiscover.doctor.facts import Limits

if sys.platform != "win32":
    import pwd
    import resource

READ_WRITE = os.R_OK | os.W_OK


@dataclass(frozen=True)
class Visitor:
    """Who looks at a machine.

    Attributes:
        name: of the user.
        may: whether this process may use a path in that way, as `os.access` has it.
    """

    name: str
    may: Callable[[str, int], bool] = os.access


def visitor() -> Visitor:
    """This process."""
    if sys.platform == "win32":
        return Visitor(os.environ.get("USERNAME", ""))
    try:
        return Visitor(pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:  # in a container users need no names
        return Visitor(str(os.getuid()))


def limits(memory: int | None) -> Limits:
    """What this process may use.

    Args:
        memory: bytes of its control group; None: no limit.
    """
    if sys.platform == "win32":
        return Limits(memory=memory)
    return Limits(
        files=_soft("RLIMIT_NOFILE"),
        processes=_soft("RLIMIT_NPROC"),
        locked=_soft("RLIMIT_MEMLOCK"),
        memory=memory,
    )


def _soft(name: str) -> int | None:
    """The limit that counts now; None for none, and where the system does not know it."""
    if sys.platform == "win32" or not hasattr(resource, name):
        return None
    soft, _ = resource.getrlimit(getattr(resource, name))
    return None if soft == resource.RLIM_INFINITY else soft
