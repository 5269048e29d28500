"""The record of calls: one JSON line for each start and for each answer, in a file that tests read.

A line is one write to a file opened for appending, so that runners side by side do not mix theirs.
"""

from __future__ import annotations

import os
import sys
import time

from fake_runner import masks, plain_json
from fake_runner.tables import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from fake_runner.scripts import Script

RECORDED = ("OLLAMA_LIBRARY_PATH", "LD_LIBRARY_PATH", *masks.VARIABLES)
RECORDED_PREFIXES = ("GGML_", "GPUDISCOVER_")


def that_matter(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that decide what a runner shows. The others are nobody's business."""
    return {
        name: value
        for name, value in environment.items()
        if name in RECORDED or name.startswith(RECORDED_PREFIXES)
    }


def start(path: str, script: Script) -> None:
    """Record a start, and which faults struck at it.

    Raises:
        HostError: the record cannot be written.
    """
    probe = script.probe
    call = {
        "event": "start",
        "pid": os.getpid(),
        "argv": sys.argv,
        "variant": probe.variant,
        "phase": probe.phase,
        "deep": probe.deep,
        "masks": masks.in_force(probe.environment),
        "environment": that_matter(probe.environment),
        "faults": script.struck,
        "started": time.monotonic(),
    }
    try:
        append(path, call)
    except OSError as error:
        raise HostError("calls", f"{path} cannot be appended to: {error.strerror}") from error


def answer(path: str, status: int, devices: int) -> None:
    """Record an answer, which is about to be sent.

    Raises:
        OSError: the record cannot be written.
    """
    line = {"event": "answer", "pid": os.getpid(), "status": status, "devices": devices}
    append(path, line | {"answered": time.monotonic()})


def append(path: str, line: Mapping[str, object]) -> None:
    """Add one line to a file of JSON lines.

    Raises:
        OSError: it cannot be written.
    """
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(file, plain_json.dumps(line) + b"\n")
    finally:
        os.close(file)
