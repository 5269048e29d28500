"""What is said of device nodes that this process may not open."""

from __future__ import annotations

import grp
import os
from pathlib import Path

import pytest

from pytest_gpudiscover.native.drivers.permission import refused, remedy

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


@pytest.mark.parametrize("group", [0, 987_654])
def test_nodes_that_may_not_be_opened_are_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int
) -> None:
    def of_group(path: str) -> os.stat_result:
        assert path == f"{tmp_path}/a"
        return os.stat_result((0, 0, 0, 0, 0, group, 0, 0, 0, 0))

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", of_group)
        said = refused(["/a", "/b"], root=str(tmp_path), where_only_root_may=ROOTS, may=nobody)
    assert said == f"no permission to open /a, /b: {remedy(group) if group else ROOTS}"


def test_the_remedy_is_the_group_to_join_by_name_where_it_has_one() -> None:
    group = next(group for group in grp.getgrall() if group.gr_gid)
    assert remedy(group.gr_gid).startswith(f"join the group '{group.gr_name}' (usermod -aG {group.gr_name} ")
    assert remedy(987_654).startswith("start the container with --group-add 987654")
