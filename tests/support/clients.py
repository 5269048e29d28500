"""What a client sees of a server, down to how its connection ends, and of the processes behind it."""

from __future__ import annotations

import contextlib
import socket

import psutil


def received(connection: socket.socket) -> bytes:
    """Everything until the end of the connection, or until it is reset."""
    parts: list[bytes] = []
    with connection, contextlib.suppress(ConnectionResetError):
        received_in_order(connection, parts)
    return b"".join(parts)


def received_in_order(connection: socket.socket, parts: list[bytes] | None = None) -> None:
    """Receive until the connection is closed in an orderly way; a reset is an error."""
    while part := connection.recv(65536):
        if parts is not None:
            parts.append(part)


def processes_of(port: int) -> list[psutil.Process]:
    """Every process that was started for a port, whoever its parent is by now."""
    every = psutil.process_iter(["cmdline"])
    return [process for process in every if str(port) in (process.info["cmdline"] or [])]
