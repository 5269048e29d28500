"""Ports: one for a runner to bind, and whether what listens there is that runner."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"
_EPHEMERAL = range(49152, 65536)


def free_port() -> int:
    """A port that was free a moment ago: the kernel's choice, or a random ephemeral one if that fails."""
    try:
        with socket.create_server((LOOPBACK, 0)) as server:
            return int(server.getsockname()[1])
    except OSError:
        return random.choice(_EPHEMERAL)  # noqa: S311 - a guess, not a secret


def listens(pid: int, port: int) -> bool:
    """Whether a process, or one that it started, listens on a port. True when the system does not tell.

    Between choosing a port and binding it another program can take it; what that one answers is no answer.
    """
    import psutil

    try:
        runner = psutil.Process(pid)
        # Walking the process tree is the slow part, and a runner that listens itself is the ordinary case.
        return _listens(runner, port) or any(_listens(child, port) for child in runner.children(recursive=True))
    except psutil.NoSuchProcess:
        return False
    except (psutil.Error, OSError):
        return True


def _listens(process: object, port: int) -> bool:
    import psutil

    assert isinstance(process, psutil.Process)
    connections = process.net_connections(kind="tcp")
    return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections)
