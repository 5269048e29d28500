"""The files of a machine, below the directory that stands for its root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_MOST_LINKS = 40
"""As many as Linux follows."""


class Tree:
    """A machine's file system. What is not there, or may not be read, is empty: nothing here raises."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def below(self, path: str) -> Path:
        """Where a file of the machine lies for this process; a relative path stays as it is."""
        return self._root / path.lstrip("/") if path.startswith("/") else Path(path)

    def inside(self, path: Path) -> str:
        """What the machine calls a file that lies here."""
        return f"/{path.relative_to(self._root).as_posix()}" if path.is_relative_to(self._root) else str(path)

    def text(self, path: str) -> str:
        """What stands in a file."""
        return self.data(path).decode("utf-8", "replace")

    def data(self, path: str, most: int = 1 << 22) -> bytes:
        """What stands in a file, up to so many bytes."""
        try:
            with self.below(path).open("rb") as file:
                return file.read(most)
        except OSError:
            return b""

    def number(self, path: str) -> int | None:
        """The number that stands in a file, decimal or `0x`; None for anything else."""
        try:
            return int(self.text(path).strip(), 0)
        except ValueError:
            return None

    def names(self, path: str) -> list[str]:
        """What lies in a directory, sorted."""
        try:
            return sorted(os.listdir(self.below(path)))  # noqa: PTH208 - names are what is asked for
        except OSError:
            return []

    def has(self, path: str) -> bool:
        """Whether a file is there."""
        try:
            return self.below(path).exists()
        except OSError:
            return False

    def link(self, path: str) -> str:
        """What a symbolic link says; "" where there is none."""
        try:
            return str(self.below(path).readlink())
        except OSError:
            return ""

    def followed(self, path: str) -> str:
        """Where the links of a file end: its links may be absolute, and are then of this machine."""
        for _ in range(_MOST_LINKS):
            target = self.link(path)
            if not target:
                break
            path = os.path.normpath(Path(path).parent / target)
        return path

    def real(self, path: str) -> str:
        """What tells a file from every other, by whatever path it is reached; a loop of links is itself."""
        return os.path.realpath(self.below(path))

    def matching(self, directory: str, pattern: str) -> Iterator[str]:
        """The paths below a directory that fit a pattern, sorted."""
        yield from (self.inside(path) for path in sorted(self.below(directory).glob(pattern)))
