"""A directory that everybody may write to, held by its descriptor.

Whoever owns a directory can put a symbolic link in its place. What is opened here is opened within the
directory that was looked at, and no link is followed. Windows has no such calls; there paths must do.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Self

_BY_DESCRIPTOR = os.open in os.supports_dir_fd
# A FIFO must not block, nor a terminal become ours; Windows must not translate line ends.
_SAFELY = sum(
    getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY")
)


class Folder:
    """An open directory.

    Attributes:
        path: where it was found.
    """

    def __init__(self, path: Path, within: Folder | None = None) -> None:
        """Open a directory, which must not be a symbolic link.

        Args:
            path: of the directory.
            within: the directory above it, where that is open already.

        Raises:
            OSError: it cannot be opened; NotADirectoryError when it is anything else.
        """
        self.path = path
        self._descriptor: int | None = None
        name, above = _place(path, within)
        kind = os.stat(name, dir_fd=above, follow_symlinks=False).st_mode
        if not stat.S_ISDIR(kind):
            problem = "is a symbolic link" if stat.S_ISLNK(kind) else "is no directory"
            raise NotADirectoryError(errno.ENOTDIR, problem, str(path))
        if _BY_DESCRIPTOR:
            self._descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | _SAFELY, dir_fd=above)

    @classmethod
    def made(cls, path: Path, mode: int, within: Folder | None = None) -> Folder:
        """Open a directory; where it is missing, make it first, with exactly these permissions.

        Between the two steps it is this user's alone: others get a PermissionError, and may look again.

        Raises:
            OSError: as when it is opened; FileExistsError: somebody else has just made it.
        """
        try:
            return cls(path, within)
        except FileNotFoundError:
            name, above = _place(path, within)
            os.mkdir(name, 0o700, dir_fd=above)
            folder = cls(path, within)
            if folder._descriptor is not None:
                os.fchmod(folder._descriptor, mode)
            return folder

    @property
    def descriptor(self) -> int | None:
        """The open directory's descriptor; None where there are no such calls."""
        return self._descriptor

    def open(self, name: str, flags: int) -> int:
        """Open a file in it; a new one is this user's alone.

        Returns:
            a descriptor, which programs that are started do not inherit.
        """
        return os.open(self._named(name), flags | _SAFELY, 0o600, dir_fd=self._descriptor)

    def names(self) -> list[str]:
        """What lies in it."""
        return os.listdir(self.path if self._descriptor is None else self._descriptor)  # noqa: PTH208

    def remove(self, name: str) -> None:
        """Remove a file."""
        os.unlink(self._named(name), dir_fd=self._descriptor)

    def close(self) -> None:
        """Close it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _named(self, name: str) -> str:
        return name if self._descriptor is not None else str(self.path / name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _place(path: Path, within: Folder | None) -> tuple[str, int | None]:
    above = within.descriptor if within else None
    return (str(path) if above is None else path.name), above
