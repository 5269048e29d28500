"""The native runner's command line, and what it costs to start."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from pytest_gpudiscover.native.drivers import CUDA, DRIVERS, Driver
from pytest_gpudiscover.native.drivers.interface import DeviceError, DriverError
from pytest_gpudiscover.native.program import answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from subprocess import CompletedProcess

    from tests.native.conftest import Start

    Run = Callable[..., CompletedProcess[str]]

ARGUMENTS = ("runner", "--ollama-engine", "--port")
HEAVY = {"asyncio", "dataclasses", "httpx", "inspect", "logging", "pathlib", "pytest", "subprocess", "typing"}


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("runner",),
        ("--port", "1"),
        ("runner", "--port", "1", "--ollama-engine"),
        (*ARGUMENTS,),
        (*ARGUMENTS, ""),
        (*ARGUMENTS, "0"),
        (*ARGUMENTS, "65536"),
        (*ARGUMENTS, "-1"),
        (*ARGUMENTS, "x"),
        (*ARGUMENTS, "9" * 5000),
        (*ARGUMENTS, "1", "more"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(run_program: Run, arguments: tuple[str, ...]) -> None:
    done = run_program(*arguments, GPUDISCOVER_DRIVER="vulkan")
    assert done.returncode == 2
    assert "expected" in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("variables", "came"), [({}, "it is not set"), ({"GPUDISCOVER_DRIVER": "x"}, "got 'x'")]
)
def test_a_driver_that_is_not_known_is_bad_usage(
    run_program: Run, variables: dict[str, str], came: str
) -> None:
    done = run_program(*ARGUMENTS, "1", **variables)
    assert done.returncode == 2
    assert f"expected GPUDISCOVER_DRIVER to be one of: {', '.join(DRIVERS)}; {came}\n" in done.stderr


def test_a_taken_port_is_said_to_be_in_use(run_program: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
        done = run_program(*ARGUMENTS, port, GPUDISCOVER_DRIVER="vulkan")
    assert done.returncode == 98
    assert done.stderr == f"native runner: cannot listen on 127.0.0.1:{port}: address already in use\n"


@pytest.mark.parametrize(
    ("driver", "library"),
    [("vulkan", "stand_in"), ("cuda", "cuda"), ("rocm", "hip"), ("level_zero", "level_zero")],
)
def test_the_program_imports_nothing_heavy_and_not_the_engine(
    start: Start, driver: str, library: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    machine = {"LD_LIBRARY_PATH": request.getfixturevalue(library), "STAND_IN_DEVICES": "discrete"}
    # Under WSL the kernel shows no GPU, and HIP is asked.
    machine["GPUDISCOVER_ROOT"] = str(tmp_path)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/dxg").touch()
    # Without site, whose .pth files may import anything.
    runner = start("-S", "-X", "importtime", GPUDISCOVER_DRIVER=driver, **machine)
    assert runner.devices()
    _, _, stderr = runner.end()
    loaded = {
        line.rpartition("|")[2].strip() for line in stderr.splitlines() if line.startswith("import time:")
    }
    ours = {name for name in loaded if name.startswith("pytest_gpudiscover")}
    assert f"pytest_gpudiscover.native.drivers.{driver}_deep" in ours
    assert all(name.startswith("pytest_gpudiscover.native") for name in ours)
    assert not loaded & HEAVY


def test_the_program_starts_from_any_directory_whatever_lies_there(
    start: Start, stand_in: str, tmp_path: Path
) -> None:
    (tmp_path / "socket.py").write_text("raise SystemExit(7)")
    runner = start(PYTHONPATH=str(tmp_path), LD_LIBRARY_PATH=stand_in, STAND_IN_DEVICES="discrete")
    assert len(runner.devices()) == 1


@pytest.mark.parametrize(
    ("refusal", "body"),
    [
        (DriverError("it is too old"), "CUDA: it is too old\n"),
        (DeviceError("a call failed"), "CUDA: a call failed\n"),
        (PermissionError(13, "Permission denied", "/dev"), "got [Errno 13] Permission denied: '/dev': check"),
    ],
)
def test_whatever_refuses_is_an_answer_in_words(
    monkeypatch: pytest.MonkeyPatch, refusal: Exception, body: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise refusal

    monkeypatch.setattr(Driver, "list_devices", refuse)
    answered = answer(CUDA, {})
    assert answered.status == 500
    assert answered.body.startswith("CUDA: ")
    assert body in answered.body


def test_control_c_ends_it_without_a_traceback(start: Start) -> None:
    runner = start()
    assert runner.get("/else")[0] == 404
    assert runner.end() == (130, "", "")
