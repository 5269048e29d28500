"""Workers on another host: pytest-xdist over ssh, to an sshd of the test's own on loopback.

The other host is this machine with other directories: its processes see only the variables that the test's
sshd sets, and have a temporary directory, a book of leases and a simulated machine of their own.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

import pytest_gpudiscover
from pytest_gpudiscover.simulation import FakeHost
from pytest_gpudiscover.simulation.hosts import FAKE_RUNNER

PROGRAMS = {
    name: shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin") or ""
    for name in ("sshd", "ssh", "ssh-keygen")
}
HOME = Path(pytest_gpudiscover.__file__).parents[1]
"""Where the other host finds the plugin, should it not be installed."""


@dataclass(frozen=True, kw_only=True)
class OtherHost:
    """A host that ssh reaches as `elsewhere`.

    Attributes:
        ssh_config: what the client needs to reach it.
        directory: where its workers are started.
        temporary: its temporary directory.
        machine: its simulated GPUs.
    """

    ssh_config: Path
    directory: Path
    temporary: Path
    machine: FakeHost

    def workers(self, count: int) -> list[str]:
        """The options of pytest-xdist for so many workers there."""
        words = ("ssh=elsewhere", f"ssh_config={self.ssh_config}", f"python={sys.executable}")
        return ["--tx", f"{count}*{'//'.join(words)}//chdir={self.directory}"]

    def one_here_and_one_there(self) -> list[str]:
        """The options for a worker on each host, both of which run all tests."""
        return ["--tx", f"popen//chdir={self.directory}", *self.workers(1), "--dist=each"]


@pytest.fixture
def other_host(tmp_path: Path) -> Iterator[OtherHost]:
    """Serve ssh on loopback for as long as the test runs; nothing of the user's is read or changed."""
    if missing := [name for name, path in PROGRAMS.items() if not path]:
        sentence = f"no {', '.join(missing)} on this machine: apt install openssh-server openssh-client"
        if os.environ.get("GPUDISCOVER_TESTS_REQUIRE"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    directory, temporary = tmp_path / "elsewhere", tmp_path / "tmp-elsewhere"
    directory.mkdir()
    temporary.mkdir()
    machine = FakeHost.of("L4", "L4").save(tmp_path / "elsewhere.json")
    variables = {
        "GPUDISCOVER_HOST": machine.path,
        "GPUDISCOVER_LEASES": tmp_path / "leases-elsewhere",
        "PYTHONPATH": f"{HOME}:{FAKE_RUNNER.parent}",
        "TMPDIR": temporary,
    }
    server, port = _sshd(tmp_path, variables)
    with server:
        try:
            config = _client_config(tmp_path, port)
            yield OtherHost(ssh_config=config, directory=directory, temporary=temporary, machine=machine)
        finally:
            server.terminate()


def _sshd(keys: Path, variables: Mapping[str, object]) -> tuple[subprocess.Popen[str], int]:
    """Start sshd, and return when it listens."""
    for name in ("host", "user"):
        subprocess.run(
            [PROGRAMS["ssh-keygen"], "-q", "-t", "ed25519", "-N", "", "-f", keys / name], check=True
        )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # what Debian's service does before it starts one
    said = ""
    for _ in range(3):  # somebody else may take the port in between
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port: int = holder.getsockname()[1]
        (keys / "sshd_config").write_text(_server_config(keys, port, variables), encoding="utf-8")
        server = subprocess.Popen(
            [PROGRAMS["sshd"], "-D", "-e", "-f", keys / "sshd_config"], stderr=subprocess.PIPE, text=True
        )
        assert server.stderr is not None
        for line in server.stderr:
            if line.startswith("Server listening on"):
                return server, port
            said += line
        server.wait()
    pytest.fail(f"sshd did not start: {said}")


def _server_config(keys: Path, port: int, variables: Mapping[str, object]) -> str:
    settings = " ".join(f"{name}={value}" for name, value in variables.items())
    return f"""
        ListenAddress 127.0.0.1
        Port {port}
        HostKey {keys}/host
        AuthorizedKeysFile {keys}/user.pub
        AuthenticationMethods publickey
        StrictModes no
        UsePAM no
        PermitUserRC no
        PidFile none
        SetEnv {settings}
    """


def _client_config(keys: Path, port: int) -> Path:
    host_key = (keys / "host.pub").read_text(encoding="utf-8")
    (keys / "known_hosts").write_text(f"elsewhere {host_key}", encoding="utf-8")
    config = keys / "ssh_config"
    config.write_text(
        f"""
        Host elsewhere
        HostName 127.0.0.1
        HostKeyAlias elsewhere
        Port {port}
        User {getpass.getuser()}
        IdentityFile {keys}/user
        IdentitiesOnly yes
        UserKnownHostsFile {keys}/known_hosts
        GlobalKnownHostsFile /dev/null
        BatchMode yes
        LogLevel ERROR
        """,
        encoding="utf-8",
    )
    return config


def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, *options: str) -> pytest.RunResult:
    """Run the suite that lies there, by workers there, from here, where it does not lie."""
    monkeypatch.setenv("PATH", f"{Path(PROGRAMS['ssh']).parent}:{os.environ['PATH']}")
    return pytester.runpytest_subprocess(
        "--gpudiscover-runner=fake", "--dist=load", *options, "suite", timeout=120
    )


def suite(other_host: OtherHost, tests: str) -> None:
    """Write a suite there."""
    directory = other_host.directory / "suite"
    directory.mkdir()
    ini = "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
    (directory / "pytest.ini").write_text(ini, encoding="utf-8")
    (directory / "test_gpu.py").write_text(tests, encoding="utf-8")


NAMES_ITS_GPUS = """
from pytest_gpudiscover.explaining import in_one_line

def test_gpus(gpu_devices, gpu_lease):
    print(in_one_line(gpu_devices))
    assert gpu_lease.devices[0] in gpu_devices
"""

ON_TWO_L4 = """
import fcntl
import time
from pathlib import Path

import pytest

@pytest.mark.parametrize("number", range(6))
def test_devices(gpu_devices, number):
    assert [device.description for device in gpu_devices] == ["NVIDIA L4", "NVIDIA L4"]

@pytest.mark.parametrize("number", range(6))
@pytest.mark.gpu(count=2)
def test_lease(gpu_lease, number):
    # Both workers are started in the same directory.
    with Path("both").open("w") as both:
        fcntl.flock(both, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(0.1)  # a kernel
"""
"""Twelve tests for the other host, six of which must not run at the same time."""


def test_two_workers_on_another_host_discover_once_and_hold_leases_there(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, other_host: OtherHost
) -> None:
    suite(other_host, ON_TWO_L4)
    result = run(pytester, monkeypatch, *other_host.workers(2), "-v")
    result.assert_outcomes(passed=12)
    assert {"gw0", "gw1"} == set(re.findall(r"\[(gw\d)\] .*PASSED", result.stdout.str()))
    phases = Counter(call.phase for call in other_host.machine.calls)
    assert phases == Counter(probe.phase for probe in other_host.machine.discover().probes)
    assert [*other_host.temporary.glob("gpudiscover*")] == []


def test_each_host_discovers_its_own_gpus(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, other_host: OtherHost
) -> None:
    suite(other_host, NAMES_ITS_GPUS)
    here = FakeHost.of("H100").save(pytester.path / "here.json")
    monkeypatch.setenv("GPUDISCOVER_HOST", str(here.path))
    monkeypatch.setenv("GPUDISCOVER_LEASES", str(pytester.path / "leases-here"))
    result = run(pytester, monkeypatch, *other_host.one_here_and_one_there(), "-rA")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines_random(["*1 device: CUDA NVIDIA H100 *", "*2 devices: CUDA NVIDIA L4 *"])


def test_a_host_that_lacks_what_the_run_requires_fails_its_tests_and_another_does_not(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, other_host: OtherHost
) -> None:
    suite(other_host, "def test_any(): pass\n")
    here = FakeHost.of("H100").save(pytester.path / "here.json")
    monkeypatch.setenv("GPUDISCOVER_HOST", str(here.path))
    options = (*other_host.one_here_and_one_there(), "--gpudiscover-require=>=64GiB")
    result = run(pytester, monkeypatch, *options)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*NVIDIA L4*: it has 22.4*GiB*"])
