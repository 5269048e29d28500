"""The container that we are in, and what its control group may use.

Control groups: the kernel's documentation, "Control Group v2" and "Memory Resource Controller".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from pytest_gpudiscover.doctor.facts import Container
from pytest_gpudiscover.doctor.gathering.tree import Tree

_FILES = {"/.dockerenv": "docker", "/run/.containerenv": "podman"}
_KUBERNETES = "/var/run/secrets/kubernetes.io"
_TOLD_BY_SYSTEMD = "/run/systemd/container"
_CGROUP = "/proc/self/cgroup"
_WORDS = {"kubepods": "kubernetes", "docker": "docker", "libpod": "podman", "lxc": "lxc"}
_MOUNT = "/sys/fs/cgroup"
_NO_LIMIT = 1 << 60
"""Version 1 writes nearly all the bits of a number where it has no limit."""


def container(tree: Tree) -> Container | None:
    """What tells of a container, best first."""
    return next(_evidence(tree), None)


def _evidence(tree: Tree) -> Iterator[Container]:
    if tree.has(_KUBERNETES):
        yield Container(kind="kubernetes", evidence=_KUBERNETES)
    for path, kind in _FILES.items():
        if tree.has(path):
            yield Container(kind=kind, evidence=path)
    if told := tree.text(_TOLD_BY_SYSTEMD).strip():
        yield Container(kind=told[:40], evidence=_TOLD_BY_SYSTEMD)
    groups = tree.text(_CGROUP)
    for word, kind in _WORDS.items():
        if f"/{word}" in groups:
            yield Container(kind=kind, evidence=_CGROUP)


def memory_limit(tree: Tree) -> int | None:
    """Bytes that our control group and those above it may use, the least of them; None: no limit."""
    limits = [tree.number(path) for path in _limit_files(tree)]
    return min((limit for limit in limits if limit is not None and limit < _NO_LIMIT), default=None)


def _limit_files(tree: Tree) -> Iterator[str]:
    for line in tree.text(_CGROUP).splitlines():
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
