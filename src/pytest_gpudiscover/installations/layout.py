"""Where an installation of Ollama keeps its libraries: pure functions of a platform and of names."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from pathlib import PurePath, PurePosixPath, PureWindowsPath

_LIBRARY_FILES = "*ggml-*"


def pure_path(path: str, system: str) -> PurePath:
    """A path as the named platform reads it, on any platform."""
    return PureWindowsPath(path) if system == "win32" else PurePosixPath(path)


def root_candidates(executable: str, working_directory: str, system: str) -> list[str]:
    """Where the library root may be, best first; the last one is taken when none exists.

    Args:
        executable: absolute, its symbolic links resolved.
        working_directory: absolute; "" when there is none.
        system: `linux`, `win32` or `darwin`.
    """
    beside = pure_path(executable, system).parent
    installed = {"win32": beside / "lib" / "ollama", "darwin": beside}.get(
        system, beside.parent / "lib" / "ollama"
    )
    build = PurePosixPath("build/lib/ollama")
    candidates = [installed, beside / build]
    if working_directory:
        candidates.append(pure_path(working_directory, system) / build)
    return [str(candidate) for candidate in [*candidates, beside]]


def variant_names(files: Mapping[str, Iterable[str]], system: str) -> list[str]:
    """Pick the directories that hold GPU libraries.

    Args:
        files: by name of a directory below the root, the names of what it holds.
        system: the platform, which decides whether case counts.
    """
    fold = str.lower if system == "win32" else str
    return [
        directory
        for directory, names in files.items()
        if any(fnmatch.fnmatchcase(fold(n), _LIBRARY_FILES) for n in names)
    ]
