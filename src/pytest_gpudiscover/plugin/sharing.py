"""What the processes of one run share on one host: what was discovered, and which cards are in quarantine.

One directory of the user's own, below the temporary directory. Every process that joins holds a kernel lock
in it for as long as it lives; the last one out removes it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpudiscover.leasing.locks import LockFile

if TYPE_CHECKING:
    from execnet import XSpec
    from xdist.workermanage import WorkerController  # type: ignore[import-untyped]

RUN = "gpudiscover_run"
"""The key of an xdist worker's input for the uid of its run."""

NEIGHBOURS = "gpudiscover_neighbours"
"""The key of a worker's input for how many workers the run has on its host, itself included."""

_PREFIX = "gpudiscover-run-"
_STALE = 3600.0
"""Seconds after which a directory that nobody alive has joined is one that a killed run left behind."""
_POLL = 0.02
"""Seconds until a lock that another process holds is tried again."""

_FOLDER = pytest.StashKey["RunFolder"]()


def run_folder(config: pytest.Config) -> RunFolder:
    """The run's directory on this host; nothing is made until something is shared."""
    if _FOLDER not in config.stash:
        given = getattr(config, "workerinput", {}).get(RUN)
        config.stash[_FOLDER] = RunFolder(given or os.urandom(16).hex())
        config.pluginmanager.register(_Leaver(config.stash[_FOLDER]))
        config.add_cleanup(config.stash[_FOLDER].leave)
    return config.stash[_FOLDER]


class _Leaver:
    """Leaves the directory at the end of a session. Not all that begin have one, nor is each unconfigured."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        self._folder.leave()


def introduce(node: WorkerController) -> None:
    """Tell a worker which run it belongs to, and how many others its host has."""
    host = _host(node.gateway.spec)
    node.workerinput[RUN] = run_folder(node.config).uid
    node.workerinput[NEIGHBOURS] = sum(_host(spec) == host for spec in node.nodemanager.specs)


def _host(spec: XSpec) -> tuple[Any, ...]:
    """Workers with equal ones see the same devices: they are on one host, and under the same masks."""
    return (spec.via, spec.ssh, spec.vagrant_ssh, spec.socket, sorted(spec.env.items()))


class RunFolder:
    """One run's directory on this host.

    Args:
        uid: names the run; the same in all its processes, and in those of no other run.
        parent: the directory it is made in; None: the one for temporary files.

    Attributes:
        uid: as it was given.
        path: where it is.
    """

    def __init__(self, uid: str, parent: Path | None = None) -> None:
        self.uid = uid
        self.path = (parent or Path(tempfile.gettempdir())) / f"{_PREFIX}{uid}"
        self._membership: LockFile | None = None

    def join(self) -> None:
        """Keep the directory until this process leaves, or ends in any way."""
        while self._membership is None or self._membership.closed or self._membership.removed():
            self._make()
            with contextlib.suppress(FileNotFoundError):  # the last one out has removed it since
                self._membership = self._member()

    def leave(self) -> None:
        """Take back what `join` did; the last one removes the directory."""
        if self._membership is not None:
            self._membership.close()
            _remove_unless_joined(self.path)

    def once(self, key: str, make: Callable[[], str]) -> str:
        """What one process of the run makes and all others read.

        While it is made the others wait. When the one that makes it fails or dies, the next one tries.

        Args:
            key: what the text depends on.
            make: makes the text; what it raises is raised here and not remembered.
        """
        name = _digest(key)
        self.join()
        with _held(self.path / f"{name}.lock"):
            made = self.path / f"{name}.json"
            if not made.exists():
                _write(made, make())
            return made.read_text(encoding="utf-8")

    def quarantine(self, card: str, entry: dict[str, str]) -> None:
        """Note that a card is not to be used any more in this run on this host, and why."""
        self.join()
        directory = self.path / "quarantine"
        directory.mkdir(exist_ok=True)
        _write(directory / f"{_digest(card)}.json", json.dumps(entry | {"card": card}))

    def quarantined(self) -> dict[str, dict[str, str]]:
        """The cards that are not to be used any more, each with what `quarantine` was given."""
        try:
            names = sorted(os.listdir(self.path / "quarantine"))  # noqa: PTH208 - half the time of Path's
            entries = [self._entry(name) for name in names if name.endswith(".json")]
        except FileNotFoundError:
            return {}
        return {entry["card"]: entry for entry in entries}

    def _entry(self, name: str) -> dict[str, str]:
        entry: dict[str, str] = json.loads((self.path / "quarantine" / name).read_text(encoding="utf-8"))
        return entry

    def _make(self) -> None:
        with contextlib.suppress(FileExistsError):
            self.path.mkdir(mode=0o700)
            _sweep(self.path.parent)

    def _member(self) -> LockFile:
        _check_private(self.path)
        with _gate(self.path):
            directory = self.path / "members"
            directory.mkdir(exist_ok=True)
            # Not the process id alone: two containers may share a temporary directory.
            member = _opened(directory / f"{os.getpid()}-{os.urandom(4).hex()}")
            member.lock()
            return member


def _check_private(path: Path) -> None:
    """Refuse a directory that another user has put in the place of ours.

    Raises:
        PermissionError: it is one.
    """
    found = path.lstat()
    private = os.name != "posix" or (found.st_uid == os.geteuid() and not found.st_mode & 0o077)
    if not (stat.S_ISDIR(found.st_mode) and private):
        raise PermissionError(f"{path}: expected a directory that is this user's alone; remove it")


def _sweep(parent: Path) -> None:
    """Remove what killed runs of this user have left behind."""
    for path in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            _check_private(path)
            if time.time() - path.stat().st_mtime > _STALE:
                _remove_unless_joined(path)


def _remove_unless_joined(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # others were faster
        with _gate(path):
            if _joined(path):
                return
            if sys.platform != "win32":
                # Whoever joins from now on makes a directory of his own, and none that is half removed.
                gone = path.rename(path.with_name(f"{path.name}-{os.urandom(4).hex()}"))
                shutil.rmtree(gone, ignore_errors=True)
        if sys.platform == "win32":  # it removes nothing that is open, the gate neither
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _gate(path: Path) -> Iterator[None]:
    """Keep all others from joining and from removing the directory meanwhile.

    Raises:
        FileNotFoundError: it has been removed.
    """
    with _held(path / "gate") as gate:
        if gate.removed():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        yield


def _joined(path: Path) -> bool:
    """Whether any process that is alive has joined."""
    return any(_is_held(member) for member in path.glob("members/*"))


def _is_held(path: Path) -> bool:
    with _opened(path) as file:
        return not file.lock()


@contextlib.contextmanager
def _held(path: Path) -> Iterator[LockFile]:
    """Hold a lock; wait for whoever has it, in a way that Ctrl-C ends."""
    with _opened(path) as file:
        while not file.lock():
            time.sleep(_POLL)
        yield file


def _opened(path: Path) -> LockFile:
    return LockFile(lambda: os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _write(path: Path, text: str) -> None:
    """Write a file that others find whole or not at all."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
