"""Device nodes, and what this user may do with them."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_gpudiscover.doctor.facts import Node
from pytest_gpudiscover.doctor.gathering.process import READ_WRITE, Visitor
from pytest_gpudiscover.doctor.gathering.tree import Tree

_OF_DEV = re.compile(r"nvidia[0-9]+|nvidiactl|nvidia-uvm|kfd|dxg")
_NUMBER = re.compile(r"[0-9]{1,10}")
"""Of a user or a group: 32 bits."""
_RENDER = re.compile(r"renderD[0-9]+")


@dataclass(frozen=True)
class _Group:
    name: str
    members: frozenset[str]


def nodes(tree: Tree, who: Visitor) -> tuple[Node, ...]:
    """The nodes that lead to GPUs."""
    groups, users = dict(_groups(tree)), dict(_users(tree))
    return tuple(node for path in _paths(tree) if (node := _node(tree, path, groups, users, who)))


def _paths(tree: Tree) -> Iterator[str]:
    yield from (f"/dev/{name}" for name in tree.names("/dev") if _OF_DEV.fullmatch(name))
    yield from (f"/dev/dri/{name}" for name in tree.names("/dev/dri") if _RENDER.fullmatch(name))


def _node(
    tree: Tree, path: str, groups: dict[int, _Group], users: dict[int, str], who: Visitor
) -> Node | None:
    place = tree.below(path)
    try:
        status = place.stat()
    except OSError:
        return None
    group = groups.get(status.st_gid, _Group("", frozenset()))
    return Node(
        path=path,
        owner=users.get(status.st_uid, str(status.st_uid)),
        group=group.name,
        gid=status.st_gid,
        mode=stat.S_IMODE(status.st_mode),
        openable=who.may(str(place), READ_WRITE),
        member=who.name in group.members,
    )


def _groups(tree: Tree) -> Iterator[tuple[int, _Group]]:
    for name, _, number, members in _entries(tree, "/etc/group", 4):
        if _NUMBER.fullmatch(number):
            yield int(number), _Group(name, frozenset(members.split(",")))


def _users(tree: Tree) -> Iterator[tuple[int, str]]:
    for name, _, number, *_ in _entries(tree, "/etc/passwd", 7):
        if _NUMBER.fullmatch(number):
            yield int(number), name


def _entries(tree: Tree, path: str, fields: int) -> Iterator[list[str]]:
    lines = (line.split(":") for line in tree.text(path).splitlines())
    yield from (line for line in lines if len(line) == fields)
