"""Locks: whose they are, and when they end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lessees import Lessee
from pytest_gpudiscover.leasing.locks import LockFile

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows neither forks nor shares locks")


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[], LockFile]:
    """Opens one and the same file, each time anew."""
    return lambda: LockFile(lambda: os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT))


def test_one_at_a_time_has_a_lock(opened: Callable[[], LockFile]) -> None:
    with opened() as one, opened() as other:
        assert one.lock()
        assert not other.lock()
        one.close()
        assert other.lock()


@posix
def test_those_who_only_look_do_not_exclude_each_other(opened: Callable[[], LockFile]) -> None:
    with opened() as one, opened() as other, opened() as owner:
        assert one.lock(shared=True)
        assert other.lock(shared=True)
        assert not owner.lock()


@posix
def test_what_was_let_go_is_free_though_somebody_else_has_the_file_open(
    opened: Callable[[], LockFile],
) -> None:
    with opened() as one, opened() as other:
        one.lock()
        # As in a child that was forked by others than Python.
        copy = os.dup(one.descriptor)
        one.close()
        assert other.lock()
        os.close(copy)


@posix
def test_no_fork_falls_between_the_opening_of_a_file_and_its_registration(tmp_path: Path) -> None:
    with Lessee(tmp_path / "leases" / "machine") as other:
        in_child = other.does(f"""
import threading, warnings
from pytest_gpudiscover.leasing.locks import LockFile
warnings.simplefilter("ignore")
opened, forked = threading.Event(), threading.Event()
def slowly():
    descriptor = os.open({str(tmp_path / "file")!r}, os.O_RDWR | os.O_CREAT)
    opened.set()
    forked.wait(0.1)
    return descriptor
files = []
thread = threading.Thread(target=lambda: files.append(LockFile(slowly)))
thread.start()
opened.wait()
child = os.fork()
if not child:
    os._exit(os.path.exists("/proc/self/fd") and {str(tmp_path / "file")!r} in map(
        os.path.realpath, (f"/proc/self/fd/{{name}}" for name in os.listdir("/proc/self/fd"))
    ))
forked.set()
thread.join()
answer = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
""")
    assert in_child == 0


def test_a_file_is_replaced_by_what_is_written(opened: Callable[[], LockFile]) -> None:
    with opened() as file:
        file.write(b"much")
        file.write(b"le")
        assert file.read() == b"le"


def test_a_file_that_somebody_blew_up_is_not_read_to_its_end(opened: Callable[[], LockFile]) -> None:
    with opened() as file:
        os.ftruncate(file.descriptor, 8 << 30)
        assert len(file.read()) == 1 << 20


def test_a_file_that_is_touched_has_changed(tmp_path: Path, opened: Callable[[], LockFile]) -> None:
    with opened() as file:
        file.write(b"content")
        os.utime(tmp_path / "file", (1, 1))
        assert file.changed() == 1
        file.touch()
        assert file.changed() > 1_000_000_000
        assert file.read() == b"content"


def test_a_lock_file_that_is_closed_says_so(opened: Callable[[], LockFile]) -> None:
    file = opened()
    file.close()
    assert file.closed
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.lock()


@posix
def test_with_few_descriptors_allowed_a_lease_is_still_passed_on(tmp_path: Path) -> None:
    with Lessee(tmp_path / "leases" / "machine") as holder:
        holder.does("import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))")
        holder.does("ticket = enter('A'); ticket.grant(); ticket.pass_on()")
        holder.begins("os.execvp('sh', ['sh', '-c', 'echo 0; read line'])")
        assert holder.hears() == 0
        with Lessee(tmp_path / "leases" / "machine") as other:
            assert other.does("ticket = enter('A'); answer = ticket.grant()") == []
