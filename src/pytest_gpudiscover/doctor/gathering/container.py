"""The container that we are in, and what its control group may use.

Control groups: the kernel's documentation, "Control Group v2" and "Memory Resource Controller".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from pytest_gpudiscover.doctor.facts import Container
from pytest_gpudiscover.doctor.gathering.tree import Tree
from pytest_gpudiscover.native.containers import CONTROL_GROUP, GROUPS, LEFT_BEHIND, TOLD_TO_SYSTEMD

_OUR_GROUP = "/proc/self/cgroup"
_MOUNT = "/sys/fs/cgroup"
_NO_LIMIT = 1 << 60
"""Version 1 writes nearly all the bits of a number where it has no limit."""


def container(tree: Tree) -> Container | None:
    """What tells of a container, best first."""
    return next(_evidence(tree), None)


def _evidence(tree: Tree) -> Iterator[Container]:
    for path, kind in LEFT_BEHIND.items():
        if tree.has(path):
            yield Container(kind=kind, evidence=path)
    if told := tree.text(TOLD_TO_SYSTEMD).strip():
        yield Container(kind=told[:40], evidence=TOLD_TO_SYSTEMD)
    groups = tree.text(CONTROL_GROUP)
    for word, kind in GROUPS.items():
        if word in groups:
            yield Container(kind=kind, evidence=CONTROL_GROUP)


def memory_limit(tree: Tree) -> int | None:
    """Bytes that our control group and those above it may use, the least of them; None: no limit."""
    limits = [tree.number(path) for path in _limit_files(tree)]
    return min((limit for limit in limits if limit is not None and limit < _NO_LIMIT), default=None)


def _limit_files(tree: Tree) -> Iterator[str]:
    for line in tree.text(_OUR_GROUP).splitlines():
        controllers, _, group = line.partition(":")[2].partition(":")
        if controllers == "":
            yield from _upwards(_MOUNT, group, "memory.max")
        elif "memory" in controllers.split(","):
            yield from _upwards(f"{_MOUNT}/memory", group, "memory.limit_in_bytes")


def _upwards(mount: str, group: str, name: str) -> Iterator[str]:
    """The files of a group and of all above it; in a container, the group may lie where we cannot see it."""
    path = PurePosixPath("/", group)
    for each in (path, *path.parents):
        yield f"{mount}{str(each).rstrip('/')}/{name}"
