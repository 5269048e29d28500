"""A machine to build."""

from __future__ import annotations

from pathlib import Path

import pytest

from machine_trees import MachineTree


@pytest.fixture
def tree(tmp_path: Path) -> MachineTree:
    """A machine with nothing on it."""
    root = tmp_path / "machine"
    root.mkdir()
    return MachineTree(root)
