"""Files, and the kernel's locks on them: what decides who is alive.

A lock belongs to an open file and ends with its process, whatever ends that. A pid would say nothing: it
means another process in every container, and is given out again.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading
import weakref
from collections.abc import Callable
from typing import NoReturn, Self

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_MOST_BYTES = 1 << 20
"""No ticket is near it; a file that somebody blew up is not read further."""
_FAR_OUT = 1 << 30
"""Windows locks bytes, and lets nobody else read them: one that no content reaches."""
_HIGH = 100
"""Scripts use the descriptors below 10 for themselves, and some that of 200."""
_BUSY = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}

_all: weakref.WeakSet[LockFile] = weakref.WeakSet()
_opening = threading.RLock()


class LockFile:
    """An open regular file that can be locked, read and written.

    A forked Python child closes its copies at once, so that the lock is the parent's alone and ends with it.
    Programs that are started do not inherit it, unless it is passed on.
    """

    def __init__(self, opened: Callable[[], int]) -> None:
        """Open a file.

        Args:
            opened: opens it, and returns the descriptor.

        Raises:
            OSError: it cannot be opened, or is no regular file.
        """
        self._descriptors: list[int] = []
        self._locked = False
        # No fork may fall between the two: the child would keep what nobody closes.
        with _opening:
            self._descriptors.append(opened())
            _all.add(self)
        try:
            if not stat.S_ISREG(os.fstat(self.descriptor).st_mode):
                _refuse()
        except BaseException:
            self.close()
            raise

    @property
    def descriptor(self) -> int:
        """The open file's descriptor.

        Raises:
            OSError: it is closed, by us or because this process is a forked child.
        """
        if not self._descriptors:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._descriptors[0]

    @property
    def closed(self) -> bool:
        """Whether this process no longer has the file open."""
        return not self._descriptors

    def lock(self, *, shared: bool = False) -> bool:
        """Lock the file without waiting.

        Args:
            shared: beside others that do the same; Windows has no such locks.

        Returns:
            whether it is locked now; False: somebody else has locked it, in this process or another.

        Raises:
            OSError: the file system has no locks.
        """
        try:
            if sys.platform == "win32":
                os.lseek(self.descriptor, _FAR_OUT, os.SEEK_SET)
                msvcrt.locking(self.descriptor, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(self.descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _BUSY:
                return False
            raise
        self._locked = True
        return True

    def _unlock(self) -> None:
        if sys.platform == "win32":
            os.lseek(self.descriptor, _FAR_OUT, os.SEEK_SET)
            msvcrt.locking(self.descriptor, msvcrt.LK_UNLCK, 1)
        else:
            fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    def read(self) -> bytes:
        """Read it from its beginning, 1 MiB at the most."""
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        return os.read(self.descriptor, _MOST_BYTES)

    def write(self, content: bytes) -> None:
        """Replace its content.

        Raises:
            OSError: it cannot be written, or not whole: the disk is full.
        """
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        if os.write(self.descriptor, content) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.ftruncate(self.descriptor, len(content))

    def touch(self) -> None:
        """Note that it is used now."""
        if os.utime in os.supports_fd:
            os.utime(self.descriptor)
        else:
            self.write(self.read())

    def changed(self) -> float:
        """When it was written or touched, in seconds since the epoch."""
        return os.fstat(self.descriptor).st_mtime

    def removed(self) -> bool:
        """Whether it lies in no directory any more."""
        return os.fstat(self.descriptor).st_nlink == 0

    def permit(self, mode: int) -> None:
        """Set its permissions; Windows has none of these."""
        if sys.platform != "win32":
            os.fchmod(self.descriptor, mode)

    def pass_on(self) -> None:
        """Let the programs that are started from now on, or that replace this one, share the open file."""
        if sys.platform == "win32":
            os.set_inheritable(self.descriptor, True)
            return
        try:
            self._descriptors.append(fcntl.fcntl(self.descriptor, fcntl.F_DUPFD, _HIGH))
        except OSError:  # the limit of open files is below that
            os.set_inheritable(self.descriptor, True)

    def close(self) -> None:
        """Let the lock go and close the file; nothing happens where that was done before."""
        if self._locked and self._descriptors:
            self._locked = False
            # Closing alone would leave it to a child that was forked by others than Python.
            self._unlock()
        self.abandon()

    def abandon(self) -> None:
        """Close the file, and leave the lock to whoever else has this open file."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    def __del__(self) -> None:
        # An interrupt can fall between opening a file and its first reference.
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _refuse() -> NoReturn:
    raise OSError(errno.EINVAL, "it holds what is no regular file")


def _in_forked_child() -> None:
    for file in _all:
        file.abandon()
    _opening.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_opening.acquire, after_in_parent=_opening.release, after_in_child=_in_forked_child
    )
