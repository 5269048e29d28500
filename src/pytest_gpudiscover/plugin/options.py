"""The options, the environment variables and the ini keys, as text.

Every run of pytest loads this module and none of those that it leads to: keep it light.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

SIGNATURE = "count=1, library=None, min_memory=None, min_compute=None, exclusive=False"
"""The arguments of the marker, as people read them."""
CARRIED = "gpudiscover_environment"
"""The key of an xdist worker's input for what the controller's environment says of the suite."""

_OPTIONS = (
    ("runner", "RUNNER", "what to discover GPUs with: native (default), ollama, fake, or a command line"),
    ("library-root", "DIR", "where the variants of the runner are; with ollama or a command line"),
    ("host", "FILE", "the machine that the runner fake simulates: a host file, TOML or JSON"),
    ("timeout", "SECONDS", "how long each enumerate and each verify probe may take"),
    ("require", "GPUS", "what must be there, else no test runs and the run fails: '2xCUDA>=16GiB,ROCm'"),
    ("lease-timeout", "SECONDS", "how long a test waits for the GPUs it leases (default 600)"),
    ("leases", "DIR", "where the runs of this machine agree on who holds which GPU"),
    (
        "workers",
        "KIND",
        "GPUs of xdist workers: share (default), count (-n auto: one each), own (and keep it)",
    ),
    ("recheck", "WHEN", "verify the GPUs of a test again when it has failed: failed (default) or never"),
    ("memory", "WHAT", "memory that a test leaves behind: off (default), report, or wait for it"),
    ("memory-timeout", "SECONDS", "how long to wait for that memory (default 10)"),
    ("report", "FILE", "write to this file, as JSON, what each test ran on"),
)
_FLAGS = (
    ("strict", "fail tests that need GPUs which are not there, instead of skipping them"),
    ("hardware", "run the hardware suite: check what is found against this machine, and its GPUs at work"),
)
_KEYS = (*(name.replace("-", "_") for name, _, _ in _OPTIONS), *(name for name, _ in _FLAGS), "marker")
_OF_THE_SUITE = (
    "strict",
    "require",
    "marker",
    "lease_timeout",
    "workers",
    "recheck",
    "memory",
    "memory_timeout",
)
"""What concerns the tests and no machine: what the controller's environment says of it holds everywhere."""


def add_options(parser: pytest.Parser) -> None:
    """Add the options, and an ini key for each."""
    group = parser.getgroup("gpudiscover", "discovery and leases of usable GPUs")
    for name, metavar, text in _OPTIONS:
        group.addoption(f"--gpudiscover-{name}", metavar=metavar, default=None, help=text)
    for name, text in _FLAGS:
        group.addoption(f"--gpudiscover-{name}", action="store_const", const="true", default=None, help=text)
    for name in (*(name for name, _, _ in _OPTIONS), *(name for name, _ in _FLAGS)):
        parser.addini(f"gpudiscover_{name.replace('-', '_')}", f"see --gpudiscover-{name}", default="")
    parser.addini(
        "gpudiscover_marker", "the name of the marker that says what a test needs (gpu)", default=""
    )


def given(config: pytest.Config) -> dict[str, str]:
    """What is set of ours, in any way, as text."""
    said = {key: value(config, key) for key in _KEYS}
    return {key: text for key, text in said.items() if text}


def marker_name(config: pytest.Config) -> str:
    """What our marker is called."""
    return value(config, "marker") or "gpu"


def value(config: pytest.Config, key: str) -> str:
    """What a setting says: the option, else the environment, else the ini file; "" when none does."""
    return outside_the_ini_file(config, key) or str(config.getini(f"gpudiscover_{key}"))


def outside_the_ini_file(config: pytest.Config, key: str) -> str:
    """What the option says, else the environment, here or where the run was started; "" when neither does."""
    option = config.getoption(f"gpudiscover_{key}", default=None)
    carried: Mapping[str, str] = getattr(config, "workerinput", {}).get(CARRIED, {})
    return option or os.environ.get(_variable(key)) or carried.get(_variable(key)) or ""


def left_empty(config: pytest.Config, key: str) -> bool:
    """Whether the option, else the environment here, is there and says nothing."""
    option = config.getoption(f"gpudiscover_{key}", default=None)
    return (os.environ.get(_variable(key)) if option is None else option) == ""


def of_the_suite() -> dict[str, str]:
    """What this process's environment says of the tests, for workers on hosts that do not inherit it."""
    names = [_variable(key) for key in _OF_THE_SUITE]
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def _variable(key: str) -> str:
    return f"GPUDISCOVER_{key.upper()}"
