"""A runner that prints its answer and ends, as `ollama gpu-discover` does from release 0.30 on.

What a fault does to a connection it does to stdout; one that needs a port or a status line has less to do: a
status other than 200 is an error on stderr and the exit code 1.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from fake_runner.live import LiveHost
    from fake_runner.scripts import Answer
    from fake_runner.views import Entry

KEYS = {
    "backend": "library",
    "name": "name",
    "description": "description",
    "pci_id": "device_id",
    "integration": "integrated",
    "total_memory": "total_memory",
    "free_memory": "free_memory",
    "ComputeMajor": "compute_major",
    "ComputeMinor": "compute_minor",
    "driver_major": "cuda_driver_major",
    "driver_minor": "cuda_driver_minor",
}
"""By the key of `/info`, the key that is printed. UUIDs are not, nor is why a device is unusable."""


def listing(entries: Iterable[Entry]) -> dict[str, object]:
    """The devices as they are printed; none are null, as a Go program writes a list that it never made."""
    return {"devices": [_device(entry, place) for place, entry in enumerate(entries)] or None}


def _device(entry: Entry, place: int) -> dict[str, object]:
    wire = entry.wire
    device = {KEYS[key]: value for key, value in wire.items() if key in KEYS}
    if wire.get("backend") == "ROCm":
        device = {key: value for key, value in device.items() if key not in ONLY_CUDA}
        device["gfx_target"] = _target(wire.get("ComputeMajor"), wire.get("ComputeMinor"))
    index = place if entry.position is None else entry.position
    known: dict[str, object] = {"index": index, "index_matches_backend": True, "integrated_known": True}
    return {"library": device.pop("library", "")} | known | device


ONLY_CUDA = ("compute_major", "compute_minor", "cuda_driver_major", "cuda_driver_minor")


def _target(major: object, minor: object) -> str:
    return f"gfx{major:x}{minor:02x}" if isinstance(major, int) and isinstance(minor, int) and major else ""


def perform(live: LiveHost) -> int:
    """Do what the script says, on stdout.

    Returns:
        The exit code, if it comes to that.
    """
    from fake_runner import serving
    from fake_runner.scripts import AFTER_ANSWER, MID_ANSWER, REQUEST

    script = live.script
    serving.begin(script)
    if script.death and script.death.when == REQUEST:
        serving.die(script.death)
    if script.silent:
        serving.sleep_forever()
    live.record(script.answer)
    code = write(script.answer)
    if script.death and script.death.when in (MID_ANSWER, AFTER_ANSWER):
        serving.die(script.death)
    return code


def write(answer: Answer) -> int:
    """Print an answer as far and as fast as it wants to be sent.

    Returns:
        The exit code.
    """
    from fake_runner.serving import pieces, write_stderr

    if answer.status != 200:
        write_stderr(complaint(answer))
        return 1
    body = answer.body[: answer.cut] if answer.raw is None else answer.raw
    pace = answer.body_pace
    for piece in pieces(body, pace.piece) if pace else [body]:
        pour(piece)
        time.sleep(pace.pause if pace else 0)
    while answer.endless:
        pour(body)
    return 0


def complaint(answer: Answer) -> str:
    """What is said on stderr in place of an answer that is an error."""
    return f"Error: {answer.body.decode()}\n"


def pour(data: bytes) -> None:
    """Write past Python's buffers, and wait as long as nobody reads."""
    while data:
        data = data[os.write(1, data) :]
