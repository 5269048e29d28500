"""A machine to build."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from machine_trees import MachineTree


@pytest.fixture
def tree(tmp_path: Path) -> MachineTree:
    """A machine with nothing on it."""
    if sys.platform == "win32":
        pytest.skip("the files of Linux have names that Windows does not allow")
    root = tmp_path / "machine"
    root.mkdir()
    return MachineTree(root)
