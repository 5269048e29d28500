"""The file that `--gpudiscover-report` names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest


def refuse_unwritable(path: Path) -> None:
    """Find out before a run whether its report can be written after it.

    Raises:
        pytest.UsageError: it cannot.
    """
    if problem := _problem(path):
        raise pytest.UsageError(f"gpudiscover_report: {path}: {problem}")


def _problem(path: Path) -> str | None:
    # Whatever is there is replaced as a whole, which a device or a pipe must never be.
    if path.exists() and not path.is_file():
        return "expected a file, and there is something else"
    directory = next(parent for parent in path.absolute().parents if parent.exists())
    if not directory.is_dir():
        return f"{directory} is no directory"
    if not os.access(directory, os.W_OK | os.X_OK):
        return f"nothing can be written to the directory {directory}"
    return None


def write(path: Path, document: dict[str, Any]) -> None:
    """Write it as a whole or not at all; directories that are missing are made.

    Raises:
        OSError: it could not be written; whatever was there still is.
    """
    target = path.resolve()  # a link stays a link
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        beside.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
