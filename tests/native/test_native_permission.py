"""What is said of device nodes that this process may not open."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pytest_gpudiscover.native.drivers.permission import refused, remedy

grp = pytest.importorskip("grp", reason="only Unix has groups that may open device nodes")

ROOTS = "ask root"


def nobody(_path: str, _mode: int) -> bool:
    return False


def test_nothing_is_said_of_nodes_that_may_be_opened(tmp_path: Path) -> None:
    asked = []

    def may(path: str, mode: int) -> bool:
        asked.append((path, mode))
        return True

    assert refused(["/a", "/b"], root=str(tmp_path), where_only_root_may=ROOTS, may=may) == ""
    assert asked == [(f"{tmp_path}/a", os.R_OK | os.W_OK), (f"{tmp_path}/b", os.R_OK | os.W_OK)]


@pytest.mark.parametrize(
    ("nodes", "remedies"),
    [
        ({"/a": (0o660, 0), "/b": (0o660, 0)}, [ROOTS]),
        ({"/a": (0o660, 987), "/b": (0o660, 987)}, [remedy(987)]),
        ({"/a": (0o660, 987), "/b": (0o660, 986)}, [remedy(987), remedy(986)]),
        ({"/a": (0o600, 987), "/b": (0o640, 986)}, [ROOTS]),
        ({"/a": (0o620, 987), "/b": (0o660, 986)}, [ROOTS, remedy(986)]),
    ],
)
def test_nodes_that_may_not_be_opened_are_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, nodes: dict[str, tuple[int, int]], remedies: list[str]
) -> None:
    def status(path: str) -> os.stat_result:
        mode, group = nodes[path.removeprefix("/root")]
        return os.stat_result((stat.S_IFCHR | mode, 0, 0, 0, 0, group, 0, 0, 0, 0))

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", status)
        said = refused(nodes, root="/root", where_only_root_may=ROOTS, may=nobody)
    assert said == f"no permission to open /a, /b: {'; '.join(remedies)}"


def test_a_group_that_a_rootless_container_does_not_map_is_kept_by_its_start() -> None:
    assert "start it with podman run --group-add keep-groups, as a user who is in that group" in remedy(65534)


def test_the_remedy_is_the_group_to_join_by_name_where_it_has_one() -> None:
    group = next(group for group in grp.getgrall() if group.gr_gid)
    assert remedy(group.gr_gid).startswith(f"join the group '{group.gr_name}' (usermod -aG {group.gr_name} ")
    assert remedy(987_654).startswith("start the container with --group-add 987654")
