"""What the options, the environment and the ini file say."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

CARRIED = "gpudiscover_environment"
"""The key of an xdist worker's input for what the controller's environment says of the suite."""

_OPTIONS = (
    ("runner", "RUNNER", "what to discover GPUs with: native (default), ollama, fake, or a command line"),
    ("library-root", "DIR", "where the variants of the runner are; with ollama or a command line"),
    ("host", "FILE", "the machine that the runner fake simulates: a host file, TOML or JSON"),
    ("timeout", "SECONDS", "how long each enumerate and each verify probe may take"),
    ("require", "GPUS", "what must be there, or no test runs and the run fails: 2xCUDA>=16GiB,ROCm"),
    ("lease-timeout", "SECONDS", "how long a test waits for the GPUs it leases (default 600)"),
    ("leases", "DIR", "where the runs of this machine agree on who holds which GPU"),
    ("workers", "KIND", "GPUs of xdist workers: share them (default), a worker for each, or one each to own"),
    ("recheck", "WHEN", "verify the GPUs of a test again when it failed: failed (default) or never"),
    ("memory", "WHAT", "memory that a test left behind: off (default), report it, or wait for it"),
    ("memory-timeout", "SECONDS", "how long to wait for that memory (default 10)"),
    ("report", "FILE", "write what each test ran on to this file, as JSON"),
)
_CHOICES = {
    "workers": ("share", "count", "own"),
    "recheck": ("failed", "never"),
    "memory": ("off", "report", "wait"),
}
"""The words a setting may have; the first is the default."""

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
"""What belongs to the tests and not to a machine: what the controller's environment says holds everywhere."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the options, the environment and the ini file say, in this order of precedence.

    Attributes:
        runner: `native`, `ollama`, `fake`, or a command line.
        library_root: where the variants are; None to look for them.
        host: the host file that the runner `fake` simulates; None for the built-in machine.
        timeout: seconds for each enumerate and each verify probe; None for the engine's own.
        strict: whether what cannot be met fails instead of being skipped.
        require: what the machine must have, each as `Requirement.parse` reads it.
        marker: the name of our marker.
        lease_timeout: seconds a test waits for its lease.
        leases: the directory of the machine's leases; None for the usual one.
        workers: `share`, `count` (`-n auto` is the number of devices) or `own` (and each owns one).
        recheck: `failed` or `never`: when a test's devices are verified again.
        memory: `off`, `report` or `wait`: what becomes of memory that a test left behind.
        memory_timeout: seconds to wait for it.
        report: the file to write the report to; None for none.
    """

    runner: str
    library_root: str | None
    host: str | None
    timeout: float | None
    strict: bool
    require: tuple[str, ...]
    marker: str
    lease_timeout: float
    leases: str | None
    workers: str
    recheck: str
    memory: str
    memory_timeout: float
    report: str | None

    @classmethod
    def of(cls, config: pytest.Config) -> Settings:
        """Read them, once in a run.

        Raises:
            pytest.UsageError: a value makes no sense.
        """
        if _SETTINGS not in config.stash:
            config.stash[_SETTINGS] = cls._read(config)
        return config.stash[_SETTINGS]

    @classmethod
    def _read(cls, config: pytest.Config) -> Settings:
        timeout = _value(config, "timeout")
        return cls(
            runner=_value(config, "runner") or "native",
            library_root=_path(config, "library_root"),
            host=_path(config, "host"),
            timeout=_seconds("timeout", timeout) if timeout else None,
            strict=_flag("strict", _value(config, "strict")),
            require=tuple(filter(None, map(str.strip, _value(config, "require").split(",")))),
            marker=_identifier("marker", _value(config, "marker") or "gpu"),
            lease_timeout=_seconds("lease_timeout", _value(config, "lease_timeout") or "600"),
            leases=_path(config, "leases"),
            workers=_choice(config, "workers"),
            recheck=_choice(config, "recheck"),
            memory=_choice(config, "memory"),
            memory_timeout=_seconds("memory_timeout", _value(config, "memory_timeout") or "10"),
            report=_path(config, "report"),
        )


_SETTINGS = pytest.StashKey[Settings]()


def add_options(parser: pytest.Parser) -> None:
    """Add the options, and an ini key for each."""
    group = parser.getgroup("gpudiscover", "discovery and leases of usable GPUs")
    for name, metavar, text in _OPTIONS:
        group.addoption(f"--gpudiscover-{name}", metavar=metavar, default=None, help=text)
    strict = "fail tests that need GPUs which are not there, instead of skipping them"
    group.addoption("--gpudiscover-strict", action="store_const", const="true", default=None, help=strict)
    for name in (*(name for name, _, _ in _OPTIONS), "strict"):
        parser.addini(f"gpudiscover_{name.replace('-', '_')}", f"see --gpudiscover-{name}", default="")
    parser.addini(
        "gpudiscover_marker", "the name of the marker that says what a test needs (gpu)", default=""
    )


def of_the_suite() -> dict[str, str]:
    """What this process's environment says of the tests, for workers on hosts that do not inherit it."""
    names = [_variable(key) for key in _OF_THE_SUITE]
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def _variable(key: str) -> str:
    return f"GPUDISCOVER_{key.upper()}"


def _set_outside_the_ini_file(config: pytest.Config, key: str) -> str:
    carried: Mapping[str, str] = getattr(config, "workerinput", {}).get(CARRIED, {})
    option = config.getoption(f"gpudiscover_{key}", default=None)
    return option or os.environ.get(_variable(key)) or carried.get(_variable(key)) or ""


def _value(config: pytest.Config, key: str) -> str:
    return str(_set_outside_the_ini_file(config, key) or config.getini(f"gpudiscover_{key}"))


def _path(config: pytest.Config, key: str) -> str | None:
    value = _value(config, key)
    if not value:
        return None
    from_ini = not _set_outside_the_ini_file(config, key)
    # A relative path in an ini file is beside that file, wherever pytest was started.
    beside = config.inipath.parent if from_ini and config.inipath else config.invocation_params.dir
    return str(beside / value)


def _seconds(key: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1
    if not 0 < seconds < float("inf"):
        raise pytest.UsageError(f"gpudiscover_{key}: expected seconds above 0, got {value!r}")
    return seconds


def _choice(config: pytest.Config, key: str) -> str:
    words = _CHOICES[key]
    value = _value(config, key).lower() or words[0]
    if value not in words:
        raise pytest.UsageError(f"gpudiscover_{key}: expected one of {', '.join(words)}, got {value!r}")
    return value


def _identifier(key: str, value: str) -> str:
    if not value.isidentifier():
        raise pytest.UsageError(f"gpudiscover_{key}: expected a name as in @pytest.mark.NAME, got {value!r}")
    return value


def _flag(key: str, value: str) -> bool:
    words = {"": False, "0": False, "false": False, "no": False, "off": False} | dict.fromkeys(
        ("1", "true", "yes", "on"), True
    )
    if value.lower() not in words:
        raise pytest.UsageError(f"gpudiscover_{key}: expected true or false, got {value!r}")
    return words[value.lower()]
