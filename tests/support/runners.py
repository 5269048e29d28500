"""Small runner programs, for what the fake runner has no word for."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

DEVICE: dict[str, Any] = {
    "id": "GPU-a",
    "backend": "CUDA",
    "name": "CUDA0",
    "description": "Card",
    "pci_id": "0000:01:00.0",
    "total_memory": 8 << 30,
    "free_memory": 7 << 30,
    "ComputeMajor": 8,
    "ComputeMinor": 9,
    "LibraryPath": [],
}
"""One device as a runner sends it."""

_SCRIPT = """
import os, socket, sys
port = int(sys.argv[sys.argv.index("--port") + 1])
BODY = {body!r}
OK = b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\nConnection: close\\r\\n\\r\\n" % len(BODY) + BODY
def status(code):
    return b"HTTP/1.1 %d Whatever\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n" % code
def listen():
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", port))
    server.listen()
    return server
def serve(*answers):
    server = listen()
    for answer in [*answers, *[answers[-1]] * 100]:
        connection = server.accept()[0]
        connection.recv(65536)
        connection.sendall(answer)
        connection.close()
"""


def write_runner(directory: Path, conduct: str, devices: list[dict[str, Any]] | None = None) -> list[str]:
    """Write a runner that does as `conduct` says, in Python, with what the script above defines.

    Returns:
        the command that starts it.
    """
    body = json.dumps([DEVICE] if devices is None else devices).encode()
    script = directory / "runner.py"
    script.write_text(_SCRIPT.format(body=body) + conduct + "\n", encoding="utf-8")
    return [sys.executable, "-I", "-S", str(script)]


def library_tree(root: Path, *variants: str) -> Path:
    """Make a library root with these variants."""
    for variant in variants:
        (root / variant).mkdir(parents=True)
        (root / variant / "libggml-gpu.so").touch()
    return root
