"""What small files and directories say, where it makes no difference why they say nothing."""

from __future__ import annotations

import os


def text(path: str) -> str:
    """What a file says, without the blanks around it; "" where it is missing, or may not be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - a probe does without pathlib
            return file.read().strip()
    except OSError:
        return ""


def names(directory: str) -> list[str]:
    """What is in a directory, sorted; nothing where it is missing, or may not be listed."""
    try:
        return sorted(os.listdir(directory))  # noqa: PTH208 - a probe does without pathlib
    except OSError:
        return []
