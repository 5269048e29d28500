"""The command as a process, and machines for it to look at."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fake_runner
import pytest_gpudiscover
from pytest_gpudiscover.simulation import FakeHost

_SOURCES = [Path(pytest_gpudiscover.__file__).parent.parent, Path(fake_runner.__file__).parent.parent]
_FOREIGN = (
    "COLUMNS",
    "NO_COLOR",
    "FORCE_COLOR",
    "TTY_COMPATIBLE",
    "TERM",
    "CI",
    "PYTHONIOENCODING",
    "LC_ALL",
)
COMMAND = (sys.executable, "-m", "pytest_gpudiscover.cli")
_MASKS = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "GGML_VK_VISIBLE_DEVICES")


@pytest.fixture
def leases(tmp_path: Path) -> Path:
    """The directory of the leases: nobody else's."""
    return tmp_path / "leases"


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, leases: Path) -> dict[str, str]:
    """What the command is started with: nothing of the machine that runs the tests changes what it prints."""
    for name in (*_FOREIGN, *_MASKS):
        monkeypatch.delenv(name, raising=False)
    sources = os.pathsep.join(str(source) for source in _SOURCES)
    ours = {"PYTHONPATH": sources, "TERM": "xterm-256color", "GPUDISCOVER_LEASES": str(leases)}
    return dict(os.environ) | ours


@pytest.fixture
def gpudiscover(clean_environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `gpudiscover` to its end; keyword arguments are variables of its environment."""

    def run(*arguments: str, stdin: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            env=clean_environment | variables,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def library_root(tmp_path: Path) -> Path:
    """A library root with one variant, `cuda_v13`."""
    variant = tmp_path / "lib" / "ollama" / "cuda_v13"
    variant.mkdir(parents=True)
    (variant / "libggml-cuda.so").touch()
    return variant.parent


@pytest.fixture
def acting_out(
    clean_environment: dict[str, str], library_root: Path, tmp_path: Path
) -> Callable[[dict[str, Any]], list[str]]:
    """Make the fake runner act out a host; returns the options that discover it."""

    def act_out(document: dict[str, Any]) -> list[str]:
        host = FakeHost(document).save(tmp_path / "host.json")
        clean_environment["FAKE_RUNNER_HOST"] = str(host.path)
        runner = shlex.join([sys.executable, "-I", str(Path(fake_runner.__file__).parent)])
        return ["--runner", runner, "--library-root", str(library_root)]

    return act_out
