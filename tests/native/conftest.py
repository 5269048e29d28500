"""The native runner as a process, on real drivers and on stand-ins built with gcc."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psutil
import pytest

from pytest_gpudiscover import NativeInstallation, Report, discover
from pytest_gpudiscover.native.drivers import DRIVERS
from pytest_gpudiscover.probing.ports import port_for_runner
from pytest_gpudiscover.surroundings import Surroundings

NATIVE = Path(__file__).parents[2] / "src" / "pytest_gpudiscover" / "native"
PATIENCE = 60
"""Seconds after which something that should have happened will not."""
READ = (
    *("CUDA_", "GGML", "GPUDISCOVER", "HIP_", "HSA_", "LD_LIBRARY_PATH", "ROCR_", "STAND_IN", "VK_"),
    *("ZE_", "ZES_"),
)
"""Beginnings of the variables that the runner or a driver under it reads."""


def require(name: str, found: object, install_hint: str) -> None:
    """Skip a test that lacks something; fail it where GPUDISCOVER_TESTS_REQUIRE says that all is there."""
    if not found:
        sentence = f"{name} is not on this machine: {install_hint}"
        if os.environ.get("GPUDISCOVER_TESTS_REQUIRE"):
            pytest.fail(sentence)
        pytest.skip(sentence)


class NativeRunner:
    """A native runner, started by path as the engine starts it."""

    def __init__(self, port: int, options: tuple[str, ...], environment: dict[str, str]) -> None:
        self.port = port
        self.answered = False
        self.process = subprocess.Popen(
            [sys.executable, "-I", *options, str(NATIVE), "runner", "--ollama-engine", "--port", str(port)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def connect(self) -> socket.socket:
        """Connect as soon as it listens."""
        while True:
            try:
                client = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
            except ConnectionRefusedError:
                assert self.process.poll() is None, self.process.communicate()
                continue
            if client.getsockname() != client.getpeername():
                return client
            client.close()  # An ephemeral port can connect to itself.

    def get(self, path: str = "/info") -> tuple[int, str, str]:
        """Ask for a path: status, media type, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.sock = self.connect()
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            self.answered = True
            return response.status, response.getheader("Content-Type", ""), response.read().decode()

    def devices(self) -> list[dict[str, Any]]:
        """Ask for the devices, of which there must be a list."""
        status, media_type, body = self.get()
        assert (status, media_type) == (200, "application/json"), body
        devices: list[dict[str, Any]] = json.loads(body)
        return devices

    def end(self) -> tuple[int, str, str]:
        """End it as Ctrl-C does, so that a coverage measurement survives: exit code, stdout, stderr."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        stdout, stderr = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, stdout.decode(), stderr.decode()

    def end_if_it_heeds(self) -> None:
        """End it as Ctrl-C does if it has answered: then nothing hangs in a driver."""
        if self.answered and self.process.returncode is None:
            self.end()

    def kill(self) -> None:
        """End it whatever it does."""
        with self.process:
            self.process.kill()


Build = Callable[..., str]
Discover = Callable[..., Report]
Start = Callable[..., NativeRunner]
OpenedBy = Callable[[int], AbstractContextManager[None]]


@pytest.fixture
def clean_environment() -> dict[str, str]:
    """This process's variables without any that the runner or a driver reads."""
    return {name: value for name, value in os.environ.items() if not name.startswith(READ)}


@pytest.fixture
def control_c() -> Iterator[None]:
    """Let the children of this process have Ctrl-C, which a shell's background job ignores."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def start(clean_environment: dict[str, str], control_c: None) -> Iterator[Start]:
    """Start native runners for Vulkan, with options for Python and more variables; none outlives the test."""
    del control_c  # it is how they are ended
    with contextlib.ExitStack() as started:

        def start_runner(*options: str, **variables: str) -> NativeRunner:
            vulkan = {"GPUDISCOVER_DRIVER": "vulkan", "VK_LOADER_LAYERS_DISABLE": "~implicit~"}
            # Nobody else is given the port before the runner binds it, or after: what answers is the runner.
            port = started.enter_context(port_for_runner(reserve=True))
            runner = NativeRunner(port, options, clean_environment | vulkan | variables)
            started.callback(runner.kill)
            started.callback(runner.end_if_it_heeds)
            return runner

        yield start_runner


@pytest.fixture
def run_program(clean_environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the program to its end, with arguments and variables."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = clean_environment | variables
        command = [sys.executable, "-I", str(NATIVE), *arguments]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )

    return run


@pytest.fixture(scope="session")
def gcc() -> str:
    """The path of a C compiler."""
    path = shutil.which("gcc")
    require("gcc", path, "install a C compiler (Debian: gcc)")
    return str(path)


@pytest.fixture(scope="session")
def vulkan_headers() -> Path:
    """The directory that holds vulkan/vulkan.h."""
    found = [
        path
        for path in map(Path, ("/usr/include", "/usr/local/include"))
        if (path / "vulkan/vulkan.h").exists()
    ]
    require("vulkan/vulkan.h", found, "install Vulkan's headers (Debian: libvulkan-dev)")
    return found[0]


@pytest.fixture(scope="session")
def lavapipe() -> Path:
    """The driver file of lavapipe, Mesa's Vulkan driver for CPUs."""
    directories = map(Path, ("/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"))
    found = sorted(file for directory in directories for file in directory.glob("lvp_icd*.json"))
    require("lavapipe", found, "install it (Debian: libvulkan1 mesa-vulkan-drivers)")
    return found[0]


@pytest.fixture(scope="session")
def stand_in(gcc: str, vulkan_headers: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A directory with a libvulkan.so.1 whose devices an environment describes; see stand_in_vulkan.c."""
    directory = tmp_path_factory.mktemp("stand_in")
    source = Path(__file__).with_name("stand_in_vulkan.c")
    flags = ["-shared", "-fPIC", "-Wl,-soname,libvulkan.so.1", f"-I{vulkan_headers}"]
    subprocess.run([gcc, *flags, "-o", str(directory / "libvulkan.so.1"), str(source)], check=True)
    return str(directory)


@pytest.fixture(scope="session")
def build(gcc: str, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Build a library from a C file beside this one, and return the directory it lies in."""

    def build_library(source: str, name: str, *options: str) -> str:
        directory = tmp_path_factory.mktemp("stand_in")
        flags = ["-shared", "-fPIC", "-Wall", "-Werror", f"-Wl,-soname,{name}", *options]
        path = Path(__file__).with_name(source)
        subprocess.run([gcc, *flags, "-o", str(directory / name), str(path)], check=True)
        return str(directory)

    return build_library


@pytest.fixture(scope="session")
def cuda(build: Build) -> str:
    """A directory with a libcuda.so.1 that has two cards; see stand_in_cuda.c."""
    return build("stand_in_cuda.c", "libcuda.so.1")


@pytest.fixture(scope="session")
def nvml(build: Build) -> str:
    """A directory with a libnvidia-ml.so.1 that knows the same cards; see stand_in_nvml.c."""
    return build("stand_in_nvml.c", "libnvidia-ml.so.1")


@pytest.fixture(scope="session")
def hip(build: Build) -> str:
    """A directory with a libamdhip64.so.6 that has two cards; see stand_in_hip.c."""
    return build("stand_in_hip.c", "libamdhip64.so.6")


@pytest.fixture(scope="session")
def level_zero(build: Build) -> str:
    """A directory with a libze_loader.so.1 that has two cards; see stand_in_level_zero.c."""
    return build("stand_in_level_zero.c", "libze_loader.so.1")


@pytest.fixture
def discovered(clean_environment: dict[str, str]) -> Discover:
    """Discover natively, through one variant, some or all; afterwards no process may be left.

    A test of a driver that hangs shortens the phase in which it does: what must answer may take its time.
    """

    def run(
        enumerate_timeout: float = PATIENCE,
        verify_timeout: float = PATIENCE,
        variant: str | None = None,
        variants: Sequence[str] = (),
        **variables: str,
    ) -> Report:
        others = [name for name in DRIVERS if variants and name not in variants]
        environment = clean_environment | {"VK_LOADER_LAYERS_DISABLE": "~implicit~"} | variables
        report = discover(
            NativeInstallation(variant=variant, without_variants=others),
            surroundings=Surroundings(environment=environment),
            enumerate_timeout=enumerate_timeout,
            verify_timeout=verify_timeout,
        )
        assert not psutil.Process().children(recursive=True)
        return report

    return run


@pytest.fixture
def driver_file(gcc: str, tmp_path: Path) -> Callable[[str], str]:
    """Build a Vulkan driver from C, and return the file that tells the real loader of it."""

    def build(source: str) -> str:
        library, manifest = tmp_path / "libvulkan_broken.so", tmp_path / "broken_icd.json"
        command = [gcc, "-shared", "-fPIC", "-x", "c", "-o", str(library), "-"]
        subprocess.run(command, input=source, text=True, check=True)
        driver = {"library_path": str(library), "api_version": "1.1.0"}
        manifest.write_text(json.dumps({"file_format_version": "1.0.0", "ICD": driver}), encoding="utf-8")
        return str(manifest)

    return build


@pytest.fixture
def opened_by(monkeypatch: pytest.MonkeyPatch) -> OpenedBy:
    """For a block, let every node be one that a group's members may open, or where that is 0 root alone."""
    pytest.importorskip("grp", reason="only Unix has groups that may open device nodes")

    @contextlib.contextmanager
    def belonging(group: int) -> Iterator[None]:
        node = os.stat_result((stat.S_IFCHR | 0o660, 0, 0, 0, 0, group, 0, 0, 0, 0))
        with monkeypatch.context() as patch:
            patch.setattr(os, "stat", lambda _path: node)
            yield

    return belonging
