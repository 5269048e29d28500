"""Permission to open the device nodes of a driver. Only Unix has such nodes."""

from __future__ import annotations

import os

from pytest_gpudiscover.native.groups import ROOTS, UNMAPPED, container_with, that_may

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_READ_WRITE = os.R_OK | os.W_OK


def refused(
    nodes: Iterable[str],
    *,
    root: str = "",
    where_only_root_may: str,
    may: Callable[[str, int], bool] = os.access,
) -> str:
    """Say which nodes this process may not open, and what to do; "" when it may open them all.

    Args:
        nodes: paths of nodes that are there.
        root: what stands for `/`.
        where_only_root_may: what to do where there is no group to join, or none that may.
        may: whether this process may open a path in that way.
    """
    forbidden = [node for node in nodes if not may(root + node, _READ_WRITE)]
    if not forbidden:
        return ""
    groups = dict.fromkeys(_group(root + node) for node in forbidden)
    remedies = [where_only_root_may if group == ROOTS else remedy(group) for group in groups]
    return f"no permission to open {', '.join(forbidden)}: {'; '.join(remedies)}"


def _group(node: str) -> int:
    status = os.stat(node)  # noqa: PTH116 - a probe does without pathlib
    return that_may(status.st_gid, status.st_mode)


def remedy(group: int) -> str:
    """Say how to get the permission that a group has, which is given by its number."""
    import grp  # only Unix has it

    if group == UNMAPPED:
        return container_with(group)
    try:
        name = grp.getgrgid(group).gr_name
    except KeyError:
        return f"{container_with(group)}, the number of a group that it does not know"
    how = f"usermod -aG {name} yourself, then log in again; for a container, --group-add {group}"
    return f"join the group '{name}' ({how})"
