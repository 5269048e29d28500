"""What a discovery takes from the process it runs in, as one value, so that tests can hand it another."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pytest_gpudiscover.memory import available_memory


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """The process's environment variables, its platform, and its view of the system's memory.

    Attributes:
        environment: the variables that runners inherit, and the user's masks among them.
        system: as `sys.platform` spells it: `linux`, `win32` or `darwin`; any other Unix counts as Linux.
        machine: the processor, as `platform.machine()` says it.
        working_directory: absolute; "" when it no longer exists.
        available_memory: reads the system's available memory in bytes; may raise OSError.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    system: str = "linux"
    machine: str = "x86_64"
    working_directory: str = ""
    available_memory: Callable[[], int] = available_memory

    @classmethod
    def current(cls) -> Surroundings:
        """Those of this process, now; later changes of `os.environ` do not show."""
        return cls(
            environment=dict(os.environ),
            system=sys.platform if sys.platform in ("win32", "darwin") else "linux",
            machine=platform.machine(),
            working_directory=_working_directory(),
        )

    @property
    def apple_silicon(self) -> bool:
        """Whether this is a Mac whose only GPU never updates its free memory."""
        return self.system == "darwin" and self.machine == "arm64"


def _working_directory() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - a str is what a sub-process and a message need
    except FileNotFoundError:
        return ""
