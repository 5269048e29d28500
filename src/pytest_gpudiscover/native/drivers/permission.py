"""Permission to open the device nodes of a driver. Only Unix has such nodes."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_READ_WRITE = os.R_OK | os.W_OK
_GROUP_READ_WRITE = 0o060
_UNMAPPED = 65534
"""What Linux shows for a group that a user namespace does not map (`/proc/sys/kernel/overflowgid`)."""


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
    remedies = [remedy(group) if group else where_only_root_may for group in groups]
    return f"no permission to open {', '.join(forbidden)}: {'; '.join(remedies)}"


def _group(node: str) -> int:
    """The number of the group whose members may open a node; 0, which is root's, where no other's may."""
    status = os.stat(node)  # noqa: PTH116 - a probe does without pathlib
    return status.st_gid if status.st_mode & _GROUP_READ_WRITE == _GROUP_READ_WRITE else 0


def remedy(group: int) -> str:
    """Say how to get the permission that a group has, which is given by its number."""
    import grp  # only Unix has it

    if group == _UNMAPPED:
        return (
            "this container hides the group that may: start it with podman run --group-add keep-groups, as a"
            " user who is in that group outside"
        )
    try:
        name = grp.getgrgid(group).gr_name
    except KeyError:
        return f"start the container with --group-add {group}, the number of a group that it does not know"
    how = f"usermod -aG {name} yourself, then log in again; for a container, --group-add {group}"
    return f"join the group '{name}' ({how})"
