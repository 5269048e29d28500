"""Ports: one for a runner to bind, and whether what listens there is that runner."""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

LOOPBACK = "127.0.0.1"
_EPHEMERAL = range(49152, 65536)


@contextmanager
def port_for_runner(*, reserve: bool) -> Iterator[int]:
    """Choose a port, and keep the kernel from giving it to anybody else while the block lasts.

    On Linux two sockets may be bound to one port while one at most listens, provided that both ask for
    SO_REUSEADDR, as the servers of most languages do, or SO_REUSEPORT. A runner that asks for neither finds
    the port taken.

    Args:
        reserve: False for such a runner, which then races for the port with whoever else binds one.
    """
    if not (reserve and sys.platform == "linux"):
        yield free_port()
        return
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as reservation:
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            reservation.setsockopt(socket.SOL_SOCKET, option, 1)
        try:
            reservation.bind((LOOPBACK, 0))
            port = int(reservation.getsockname()[1])
        except OSError:
            port = free_port()
        yield port


def free_port() -> int:
    """A port that was free a moment ago: the kernel's choice, or a random ephemeral one if that fails."""
    try:
        with socket.create_server((LOOPBACK, 0)) as server:
            return int(server.getsockname()[1])
    except OSError:
        return random.choice(_EPHEMERAL)  # noqa: S311 - a guess, not a secret


def owns(pid: int, port: int) -> bool:
    """Whether a process, or one that it started, has a socket on a port. True when the system does not tell.

    Between choosing a port and binding it another program can take it; what that one answers is no answer.
    """
    import psutil

    try:
        runner = psutil.Process(pid)
        # Walking the process tree is slow, and a runner that listens itself is the ordinary case.
        # The last look is for one that was accepting, and closing what it listened with, during the first.
        return (
            _has_socket(runner, port)
            or any(_has_socket(child, port) for child in runner.children(recursive=True))
            or _has_socket(runner, port)
        )
    except psutil.NoSuchProcess:
        return False
    except (psutil.Error, OSError):
        return True


def _has_socket(process: psutil.Process, port: int) -> bool:
    # Reading a table costs milliseconds; a runner that takes IPv6 as well is found in the second one.
    return any(
        getattr(connection.laddr, "port", None) == port
        for kind in ("tcp4", "tcp6")
        for connection in process.net_connections(kind=kind)
    )
