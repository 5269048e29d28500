"""Groups that may open device nodes: which one, and how a container gets into it. Pure: reads nothing."""

from __future__ import annotations

ROOTS = 0
"""The group that nobody joins."""
UNMAPPED = 65534
"""What Linux shows for a group that a user namespace does not map (`/proc/sys/kernel/overflowgid`)."""
_READS_AND_WRITES = 0o060


def that_may(gid: int, mode: int) -> int:
    """The number of the group whose members may open a node; `ROOTS` where no other's may.

    Args:
        gid: the node's group.
        mode: its permission bits.
    """
    return gid if mode & _READS_AND_WRITES == _READS_AND_WRITES else ROOTS


def container_with(group: int) -> str:
    """Say how a container has to be started so that its user is in a group, which is given by its number."""
    if group == UNMAPPED:
        return (
            "this container hides the group that may: start it with podman run --group-add keep-groups, as a"
            " user who is in that group outside"
        )
    return f"start the container with --group-add {group}"
