"""The system's available memory, container limits included.

An integrated CUDA GPU shares the system's memory, and its driver counts the page cache as used. What is
really available is what the kernel says, or what the tightest control group above this process leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_UNLIMITED_V1 = 9223372036854771712
"""How control groups v1 write "no limit": the largest multiple of the page size below 2^63."""


def available_memory(root: Path = Path("/")) -> int:
    """Read how much memory a new process could use, in bytes.

    Args:
        root: where `proc` and `sys` are looked for; a directory stands in for a machine in tests.

    Raises:
        OSError: the system does not tell.
    """
    import psutil

    try:
        available = psutil.virtual_memory().available
    except (psutil.Error, RuntimeError, ValueError) as error:
        raise OSError(f"psutil cannot read the system's memory: {error}") from error
    return max(0, min([available, *_left_by_control_groups(root)]))


def _left_by_control_groups(root: Path) -> Iterator[int]:
    try:
        # The names of groups are paths, in any script.
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return  # not Linux, or no /proc: no control groups to respect
    for line in lines:
        number, controllers, group = line.split(":", 2) if line.count(":") >= 2 else ("", "", "/")
        if number == "0" and not controllers:
            for directory in _and_ancestors(root / "sys/fs/cgroup", group):
                yield from _left_by_v2(directory)
        elif "memory" in controllers.split(","):
            for directory in _and_ancestors(root / "sys/fs/cgroup/memory", group):
                yield from _left_by_v1(directory)


def _and_ancestors(mount: Path, group: str) -> Iterator[Path]:
    # In a container the group's path may be the host's, which is not mounted; the mount itself always is.
    relative = PurePosixPath(group.lstrip("/"))
    yield from (mount / part for part in (relative, *relative.parents) if ".." not in part.parts)


def _left_by_v2(directory: Path) -> Iterator[int]:
    limit, used = _number(directory / "memory.max"), _number(directory / "memory.current")
    if limit is not None and used is not None:
        yield limit - (used - _reclaimable(directory, "inactive_file"))


def _left_by_v1(directory: Path) -> Iterator[int]:
    limit = _number(directory / "memory.limit_in_bytes")
    used = _number(directory / "memory.usage_in_bytes")
    if limit is not None and used is not None and limit < _UNLIMITED_V1:
        yield limit - (used - _reclaimable(directory, "total_inactive_file"))


def _number(path: Path) -> int | None:
    """A file's number; None without the file, and for the word `max`."""
    try:
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _reclaimable(directory: Path, key: str) -> int:
    """Page cache that the group gives back under pressure, in bytes."""
    try:
        lines = (directory / "memory.stat").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    values = (line.split() for line in lines)
    return next(
        (int(words[1]) for words in values if len(words) == 2 and words[0] == key and words[1].isdigit()), 0
    )
