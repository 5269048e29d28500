"""How long a fake runner takes from its start to its answer, as ratios to what Python itself needs.

Runs of all candidates are interleaved, so that a busy machine slows all of them. Read the ratios, not the
milliseconds: `python benchmarks/fake_runner_start.py [ROUNDS]`.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHON = (sys.executable, "-I", "-S")
BARE, IMPORTS = "bare interpreter", "import json, socket"
TOML = (ROOT / "fake_runner" / "showcase.toml").read_text(encoding="utf-8").partition("[[fault]]")[0]
"""A host of ordinary size: five GPUs, four variants, no fault."""


def until_ended(code: str) -> float:
    """Seconds that an interpreter takes for some code."""
    began = time.perf_counter()
    subprocess.run([*PYTHON, "-c", code], check=True)
    return time.perf_counter() - began


def until_answered(command: list[str], port: int, environment: Mapping[str, str]) -> float:
    """Seconds from the start of a server to the end of its answer."""
    began = time.perf_counter()
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            ask(port)
            return time.perf_counter() - began
        finally:
            process.kill()


def ask(port: int) -> None:
    """Connect as soon as anybody listens, and read one answer."""
    while True:
        with socket.socket() as connection:
            if connection.connect_ex(("127.0.0.1", port)) == 0:
                connection.sendall(b"GET /info HTTP/1.0\r\n\r\n")
                while connection.recv(65536):
                    pass
                return
        time.sleep(0.0002)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def fake_runner(host_file: Path) -> float:
    """One start of the fake runner."""
    port = free_port()
    command = [
        *PYTHON,
        str(ROOT / "fake_runner" / "__main__.py"),
        "runner",
        "--ollama-engine",
        "--port",
        str(port),
    ]
    return until_answered(command, port, {**os.environ, "FAKE_RUNNER_HOST": str(host_file)})


def http_server(directory: Path) -> float:
    """One start of Python's own server."""
    port = free_port()
    command = [*PYTHON, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(directory), str(port)]
    return until_answered(command, port, os.environ)


def candidates(directory: Path) -> dict[str, Callable[[], float]]:
    """What is measured, by its name in the table."""
    import json
    import tomllib

    as_toml, as_json = directory / "host.toml", directory / "host.json"
    as_toml.write_text(TOML, encoding="utf-8")
    as_json.write_text(json.dumps(tomllib.loads(TOML)), encoding="utf-8")
    return {
        BARE: lambda: until_ended("pass"),
        IMPORTS: lambda: until_ended(IMPORTS),
        "fake runner, JSON host": lambda: fake_runner(as_json),
        "fake runner, TOML host": lambda: fake_runner(as_toml),
        "http.server": lambda: http_server(directory),
    }


def main(rounds: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as directory:
        measured = candidates(Path(directory))
        times: dict[str, list[float]] = {name: [] for name in measured}
        for _ in range(rounds):
            for name, measure in measured.items():
                times[name].append(measure())
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    print(f"{'medians of ' + str(rounds) + ' runs':24} {'ms':>6}  {'to bare':>8}  to json, socket")
    for name, median in medians.items():
        to_bare, to_imports = median / medians[BARE], median / medians[IMPORTS]
        print(f"{name:24} {median * 1000:6.1f}  {to_bare:8.2f}  {to_imports:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
