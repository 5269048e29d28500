"""Which machine a discovery looks at, where its book lies, and who we are in it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_gpudiscover.errors import BookError, HostFileError
from pytest_gpudiscover.leasing.tickets import Holder

if sys.platform != "win32":
    import pwd

if TYPE_CHECKING:
    from pytest_gpudiscover.installations import Installation

VARIABLE = "GPUDISCOVER_LEASES"
"""Names the directory of the books."""

INHERITED = "GPUDISCOVER_HELD"
"""Tells a command which tickets were left to it: their numbers, and behind a colon the book they are in."""

_NAME = "gpudiscover-leases"
_REAL = "this-machine"


def machine_of(installation: Installation) -> str:
    """Name the machine that an installation looks at, so that it is the same in every process.

    All real installations look at this one. A simulated machine is told by the path of its host file, whoever
    loaded it, or by its contents when it lies in memory only.
    """
    host = getattr(installation, "host", None)
    if host is None:
        return _REAL
    try:
        told = os.path.realpath(host.path)
    except HostFileError:
        told = json.dumps(host.document, sort_keys=True, default=str)
    return f"simulated-{hashlib.sha256(told.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"


def directory_of(given: Path | None) -> Path:
    """Where the books are: as given, else as the environment says, else in the same place for all users.

    Raises:
        BookError: the environment says another place in every working directory.
    """
    named = os.path.expanduser(given or os.environ.get(VARIABLE, ""))  # noqa: PTH111 - never raises
    if named and not given and not Path(named).is_absolute():
        raise BookError(named, f"{VARIABLE} has to be an absolute path, the same wherever a job starts")
    if named:
        # Chosen by this user, whose links may lead where he likes.
        return Path(os.path.realpath(named))
    if sys.platform == "win32":
        return Path(os.environ.get("PROGRAMDATA", r"C:\ProgramData")) / _NAME
    # Not TMPDIR: that may be another for each user, or each job.
    return Path("/tmp") / _NAME  # noqa: S108 - nobody's links are followed there, and nobody's files trusted


def handed_down(book: Path, tickets: Iterable[int]) -> dict[str, str]:
    """What tells a command that these tickets were left to it."""
    return {INHERITED: f"{','.join(map(str, sorted(tickets)))}:{book}"}


def inherited_tickets(book: Path) -> frozenset[int]:
    """The numbers of the tickets in a book that were left to the command this process belongs to."""
    numbers, _, place = os.environ.get(INHERITED, "").partition(":")
    if place != str(book) or not re.fullmatch(r"[0-9]{1,20}(,[0-9]{1,20})*", numbers, re.ASCII):
        return frozenset()
    return frozenset(map(int, numbers.split(",")))


def holder_here(purpose: str, run: str = "") -> Holder:
    """Say who this process is.

    Args:
        purpose: the test's id, or the command.
        run: the uid of the pytest run; "" for none.
    """
    return Holder(pid=os.getpid(), user=_user(), host=platform.node(), purpose=purpose, run=run)


def _user() -> str:
    if sys.platform == "win32":
        return os.environ.get("USERNAME", "")
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # in a container users need no names
        return str(os.geteuid())
