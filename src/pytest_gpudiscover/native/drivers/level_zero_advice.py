"""Level Zero: what its results mean on a machine, and what to do about them.

Facts are from the oneAPI Level Zero specification, and from how Linux's kernel drivers i915 and xe name and
protect their device nodes.
"""

from __future__ import annotations

import os

from pytest_gpudiscover.native.drivers.level_zero_api import UNINITIALIZED, LevelZeroError
from pytest_gpudiscover.native.drivers.permission import refused
from pytest_gpudiscover.native.files import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_LOST = "the GPU hangs, was reset or is gone: look for i915 or xe in the kernel's log (dmesg), and restart"

ADVICE = {
    0x70000001: _LOST,
    0x70000002: "the host has no memory left: free some",
    0x70000003: "the GPU has no memory left for the test: end what uses it",
    0x70000006: f"the GPU must be reset; {_LOST}",
    0x70000007: "the GPU sleeps: wake it, or keep it awake (power/control in its directory in /sys)",
    0x70010000: "permission denied: join the group of /dev/dri/renderD* (render or video)",
    0x70010001: "something else holds the GPU for itself: end that",
    0x70020000: "a library that the driver needs is missing: install Intel's driver in full",
    UNINITIALIZED: "the loader found no driver that has a GPU: install Intel's (Debian and Ubuntu:"
    " libze-intel-gpu1 or intel-level-zero-gpu; Fedora: intel-level-zero), and in a container pass"
    " /dev/dri (docker run --device /dev/dri)",
    0x78000002: "the loader and the driver are of different versions: update both",
    0x78000003: "the driver is too old: update it",
}
"""By ze_result_t: what it means here, and what to do."""

_ROOTS = "only root may; install udev's rules, which give them to the group 'render'"


def in_words(error: LevelZeroError, *, platform: str, nodes: str = "/dev/dri") -> str:
    """Say which call failed, how, what that means, and what to do.

    Args:
        error: what the driver answered.
        platform: as `sys.platform` spells it; only Linux has such nodes.
        nodes: the directory of the device nodes: a driver that may open none of them finds no GPU.
    """
    advice = ADVICE.get(error.result, "look the number up in the Level Zero specification (ze_result_t)")
    asked = error.result in {UNINITIALIZED, 0x70010000} and platform == "linux"
    return f"{error}: {(asked and problem_with_nodes(nodes)) or advice}"


def problem_with_nodes(directory: str, may: Callable[[str, int], bool] = os.access) -> str:
    """Say what keeps a driver from its device nodes; "" when nothing does.

    Args:
        directory: `/dev/dri`, which WSL does not have.
        may: whether this process may open a path in that way.
    """
    nodes = [f"{directory}/{name}" for name in names(directory) if name.startswith("renderD")]
    return refused(nodes, where_only_root_may=_ROOTS, may=may)
