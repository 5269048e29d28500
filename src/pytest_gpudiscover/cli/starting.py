"""Starting the command of `gpudiscover run`: in our place, as env(1) does, with nothing of Python in it."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

NOT_STARTABLE = 126
NOT_FOUND = 127
"""What shells and env(1) answer for a command that cannot be started, and for one that is not there."""

_IGNORED_BY_PYTHON = ("SIGPIPE", "SIGXFZ", "SIGXFSZ")
_ADVICE = {
    errno.ENOENT: ": it is gone, or the interpreter that its first line names is not there",
    errno.ENOEXEC: ": a script needs a first line such as #!/bin/sh",
}


class StartError(Exception):
    """The command cannot be started; `status` is the exit code that says so."""

    def __init__(self, program: str, problem: str, status: int) -> None:
        super().__init__(f"{program!r}: {problem}")
        self.status = status


def check(program: str) -> None:
    """Look a command up, as the system will: nobody waits for a GPU to learn of a typing error.

    Raises:
        StartError: it is not there, or is not executable.
    """
    if shutil.which(program):
        return
    by_path = os.path.dirname(program) != ""  # noqa: PTH120 - pathlib takes ./x for x
    places = [Path(program)] if by_path else [Path(folder, program) for folder in os.get_exec_path()]
    for place in places:
        if program and place.exists():
            problem = "is a directory" if place.is_dir() else "is not executable"
            raise StartError(str(place), problem, NOT_STARTABLE)
    raise StartError(program, "no such file" if by_path else "no such command on PATH", NOT_FOUND)


def given_environment() -> dict[str, str]:
    """The environment that we were given: without what the interpreter added for itself."""
    # In a C locale Python sets LC_CTYPE (PEP 538); Linux still shows what it was before.
    environment = dict(os.environ)
    with contextlib.suppress(OSError):
        before = Path("/proc/self/environ").read_bytes()
        if b"\0LC_CTYPE=" not in b"\0" + before:
            environment.pop("LC_CTYPE", None)
    return environment


def start(program: tuple[str, ...], environment: Mapping[str, str]) -> int:
    """Start a command with an environment that is all its own.

    On POSIX it takes our place: process id, signals, terminal and exit code are the command's own, and we are
    gone unless the system refused. Windows has no such thing: there it is a child that we wait for.

    Returns:
        the exit code of the child, on Windows.

    Raises:
        StartError: the system refused.
    """
    try:
        if sys.platform == "win32":
            return as_child(program, environment)
        in_our_place(program, environment)
    except OSError as error:
        status = NOT_FOUND if error.errno == errno.ENOENT else NOT_STARTABLE
        problem = f"{error.strerror}{_ADVICE.get(error.errno or 0, '')}"
        raise StartError(program[0], problem, status) from error


def in_our_place(program: tuple[str, ...], environment: Mapping[str, str]) -> NoReturn:
    """Become the command.

    Raises:
        OSError: the system refused.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    with _signals_as_programs_expect_them():
        os.execvpe(program[0], program, environment)  # noqa: S606 - which has no shell to go wrong


@contextlib.contextmanager
def _signals_as_programs_expect_them() -> Iterator[None]:
    """Undo for a command what Python ignores; handlers end with us, and what our starter ignores stays so.

    Python ignores these before any code of ours runs, so that nobody can tell whether the starter did: the
    default is what `subprocess` restores too.
    """
    ignored = [getattr(signal, name) for name in _IGNORED_BY_PYTHON if hasattr(signal, name)]
    before = {number: signal.signal(number, signal.SIG_DFL) for number in ignored}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def as_child(program: tuple[str, ...], environment: Mapping[str, str]) -> int:
    """Run the command as a child, and wait for its end; Ctrl-C, which reaches both, is the child's business.

    Raises:
        OSError: the system refused.
    """
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        return subprocess.call([shutil.which(program[0]) or program[0], *program[1:]], env=environment)
    finally:
        signal.signal(signal.SIGINT, before)
