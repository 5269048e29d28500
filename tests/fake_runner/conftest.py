"""Starting the fake runner as anybody would: a program, two variables, and a client of our own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_gpudiscover.probing.ports import port_for_runner

FAKE_RUNNER = Path(__file__).parents[2] / "fake_runner"
PATIENCE = 20
"""Seconds after which something that should have happened will not."""
OURS = ("FAKE_RUNNER", "GPUDISCOVER", "OLLAMA", "GGML", "CUDA", "ROCR", "HIP")


def environment(**variables: str) -> dict[str, str]:
    """This process's variables without any that a runner reads, and some more."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
    return inherited | variables


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the fake runner that ends by itself."""
    command = [sys.executable, "-I", "-S", str(FAKE_RUNNER), *arguments]
    return subprocess.run(
        command, env=environment(**variables), capture_output=True, text=True, timeout=PATIENCE, check=False
    )


class Runner:
    """A started fake runner."""

    def __init__(self, host_file: Path, port: int, variables: Mapping[str, str]) -> None:
        self.port = port
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", FAKE_RUNNER, "runner", "--ollama-engine", "--port", str(port)],
            env=environment(FAKE_RUNNER_HOST=str(host_file), **variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def connect(self) -> socket.socket:
        """A connection, as soon as the port is bound."""
        while self.process.poll() is None:
            if (connection := self.try_to_connect()) is not None:
                return connection
            self.lives_on(0.005)
        pytest.fail(f"the runner ended with {self.process.returncode} before it bound its port")

    def try_to_connect(self) -> socket.socket | None:
        """A connection, or None when nobody listens."""
        connection = socket.socket()
        connection.settimeout(PATIENCE)
        try:
            connection.connect(("127.0.0.1", self.port))
        except ConnectionRefusedError:
            connection.close()
            return None
        if connection.getsockname() == connection.getpeername():
            # A client on an ephemeral port can reach itself.
            connection.close()
            return None
        return connection

    def ask(self, request: bytes = b"GET /info HTTP/1.1\r\nHost: localhost\r\n\r\n") -> socket.socket:
        """A connection on which a request was sent."""
        connection = self.connect()
        connection.sendall(request)
        return connection

    def get(self, path: str = "/info") -> tuple[http.client.HTTPResponse, bytes]:
        """A whole answer, as Python's own client reads it."""
        with self.ask(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()) as connection:
            response = http.client.HTTPResponse(connection)
            response.begin()
            return response, response.read()

    def entries(self) -> list[dict[str, Any]]:
        """The devices of a good answer."""
        response, body = self.get()
        assert response.status == 200, body
        entries: list[dict[str, Any]] = json.loads(body)
        return entries

    def listed(self, key: str = "description") -> list[Any]:
        """One figure of each device."""
        return [entry[key] for entry in self.entries()]

    def lives_on(self, seconds: float) -> bool:
        """Whether it is still alive after so many seconds; returns at once when it is not."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def never_answers(self) -> bool:
        """Whether it takes a request, says nothing for longer than any answer takes, and lives on."""
        with self.ask() as connection:
            connection.settimeout(0.3)
            with pytest.raises(TimeoutError):
                connection.recv(1)
        return self.lives_on(0)

    def exit_code(self) -> int:
        """Wait for its end; a signal is a negative number, as in `subprocess`."""
        return self.process.wait(PATIENCE)

    def stderr(self) -> str:
        """Everything on its stderr, until the last process that holds it is gone."""
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def end(self) -> None:
        """Kill it and whoever is left in its session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()


Start = Callable[..., Runner]
Replace = Callable[[object], None]


def put(host_file: Path, host: object) -> None:
    """Write a host file, a dict or TOML, in one step: runners that serve already read it again."""
    new = host_file.with_suffix(".new")
    new.write_text(host if isinstance(host, str) else json.dumps(host))
    new.replace(host_file)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start runners: `start(host, variant="", deep=False, NAME="value", ...)`; the host is a dict or TOML."""
    with contextlib.ExitStack() as started:

        def start_one(
            host: object, variant: str = "", *, deep: bool = False, port: int = 0, **variables: str
        ) -> Runner:
            host_file = tmp_path / "host"
            put(host_file, host)
            if variant:
                variables["OLLAMA_LIBRARY_PATH"] = os.pathsep.join(
                    ["/opt/lib/ollama", f"/opt/lib/ollama/{variant}"]
                )
            if deep:
                variables["GGML_CUDA_INIT"] = "1"
            # Nobody else is given the port before the runner binds it, or after: what answers is the runner.
            runner = Runner(
                host_file, port or started.enter_context(port_for_runner(reserve=True)), variables
            )
            started.callback(runner.end)
            return runner

        yield start_one


@pytest.fixture
def replace(tmp_path: Path) -> Replace:
    """Put another host file in the place of the one that a runner was started with."""
    return lambda host: put(tmp_path / "host", host)


@pytest.fixture
def fake_runner() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `faults`, `check` and everything else that ends by itself."""
    return run


def gpu(name: str, **figures: object) -> dict[str, object]:
    """A GPU of a host file."""
    return {"name": name, "total_memory": "8 GiB"} | figures


@pytest.fixture
def host() -> dict[str, Any]:
    """Three GPUs, each seen by CUDA, ROCm and Vulkan."""
    names = ["a", "b", "c"]
    uuids = {"a": "GPU-aa11", "b": "GPU-aa22", "c": "GPU-cc33"}
    libraries = {"cuda_v13": "CUDA", "rocm": "ROCm", "vulkan": "Vulkan", "metal": "Metal"}
    return {
        "gpu": [gpu(name, uuid=uuids[name], pci_id=f"0000:0{name}:00.0") for name in names],
        "variant": {
            name: {"library": library, "devices": list(names)} for name, library in libraries.items()
        },
    }


@pytest.fixture
def faulty(start: Start, host: dict[str, Any]) -> Start:
    """Start the three-GPU host with one fault: `faulty(name, variant, deep=..., argument=...)`."""

    def start_one(name: str, variant: str = "cuda_v13", /, *, deep: bool = False, **keys: object) -> Runner:
        variables = {key: value for key, value in keys.items() if key.isupper()}
        arguments = {key: value for key, value in keys.items() if not key.isupper()}
        return start(host | {"fault": [{"name": name} | arguments]}, variant, deep=deep, **variables)

    return start_one
