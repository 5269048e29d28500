"""How long the native runner takes on lavapipe, as a ratio to `vulkaninfo --summary`, which lists as much.

Measured against it, one after another in each round so that a busy machine slows all alike: one runner that
lists, as one probe does; Python importing the package; a first discovery (a runner that lists and one that
puts the device to work); and a refresh of the same discovery (one runner).

Read the ratios, not the milliseconds. Elapsed times suffer on a busy machine; CPU times hardly. Those of a
discovery are counted by perf, as its runners are not this process's to wait for, and left out without perf.
Needs vulkaninfo (Debian: vulkan-tools) and lavapipe (mesa-vulkan-drivers):
`python benchmarks/native_vulkan.py [ROUNDS]`.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

RUNNER = Path(__file__).parents[1] / "src" / "pytest_gpudiscover" / "native"
DRIVER_FILES = sorted(Path("/usr/share/vulkan/icd.d").glob("lvp_icd*.json"))
CALLS = """
import asyncio, json, logging, sys, time
from pytest_gpudiscover import Discovery, NativeInstallation

async def main(calls):
    discovery = Discovery(NativeInstallation(variant="vulkan"))
    for _ in range(calls):
        start = time.perf_counter()
        assert len(await discovery.devices()) == 1
        yield time.perf_counter() - start

async def timed(calls):
    return [seconds async for seconds in main(calls)]

logging.disable()
print(json.dumps(asyncio.run(timed(int(sys.argv[1])))))
"""
"""A program that discovers, refreshes as often as it is told, and prints the seconds of each call."""

Times = dict[str, tuple[float, float]]
"""Seconds by what was done: elapsed, and of CPU; NaN where that is not known."""


def environment() -> dict[str, str]:
    """This process's variables, and lavapipe alone, admitted."""
    chosen = {"VK_DRIVER_FILES": str(DRIVER_FILES[0]), "VK_LOADER_LAYERS_DISABLE": "~implicit~"}
    return os.environ | chosen | {"GGML_VK_VISIBLE_DEVICES": "0", "GPUDISCOVER_DRIVER": "vulkan"}


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """How long it takes, and how much CPU time of this process's children."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    work()
    elapsed, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return elapsed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def vulkaninfo() -> None:
    """Run vulkaninfo to its end."""
    program = shutil.which("vulkaninfo") or sys.exit("vulkaninfo is missing: install vulkan-tools")
    subprocess.run((program, "--summary"), env=environment(), check=True, capture_output=True)


def list_once() -> None:
    """Start a runner, ask it, and end it."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
    command = [sys.executable, "-I", "-S", str(RUNNER), "runner", "--ollama-engine", "--port", str(port)]
    with subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL) as runner:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while connection.sock is None:
            try:
                connection.connect()
            except ConnectionRefusedError:
                time.sleep(0.001)
        connection.request("GET", "/info")
        assert connection.getresponse().status == 200
        connection.close()
        runner.kill()


def calls(number: int) -> tuple[list[float], float]:
    """The seconds of so many calls in one process, and the CPU seconds of all its processes together."""
    counting = ["perf", "stat", "-x", ";", "-e", "task-clock"] if shutil.which("perf") else []
    command = [*counting, sys.executable, "-c", CALLS, str(number)]
    done = subprocess.run(command, env=environment(), check=True, capture_output=True, text=True)
    counted = re.search(r"^([0-9.]+);msec;task-clock", done.stderr, re.MULTILINE)
    return json.loads(done.stdout), float(counted[1]) / 1000 if counted else float("nan")


def one_round() -> Times:
    """Everything once."""
    measured = {"vulkaninfo --summary": timed(vulkaninfo), "one runner lists": timed(list_once)}
    start = time.perf_counter()
    _, imports = calls(0)
    measured["Python and imports"] = time.perf_counter() - start, imports
    (first,), first_cpu = calls(1)
    measured["first discovery"] = first, first_cpu - imports
    (_, refresh), both_cpu = calls(2)
    return measured | {"refresh": (refresh, both_cpu - first_cpu)}


def main(rounds: int) -> None:
    """Measure, and print a table."""
    one_round()  # warms up
    measured = [one_round() for _ in range(rounds)]
    print(f"{'':22}{'ms':>7}{'ratio':>7}{'CPU ms':>9}{'ratio':>7}   medians of {rounds} rounds")
    base = next(iter(measured[0]))
    for name in measured[0]:
        cells = []
        for which in (0, 1):
            cells.append(1000 * statistics.median(times[name][which] for times in measured))
            cells.append(statistics.median(times[name][which] / times[base][which] for times in measured))
        print("{:22}{:7.0f}{:7.2f}{:9.0f}{:7.2f}".format(name, *cells))


if __name__ == "__main__":
    if not DRIVER_FILES:
        sys.exit("expected lavapipe's driver file in /usr/share/vulkan/icd.d: install mesa-vulkan-drivers")
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
