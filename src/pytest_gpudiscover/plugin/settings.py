"""What the options, the environment and the ini file say."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the options, the environment and the ini file say, in this order of precedence.

    Attributes:
        runner: `native`, `ollama`, `fake`, or a command line.
        library_root: where the variants are; None to look for them.
        host: the host file that the runner `fake` simulates; None for the built-in machine.
        timeout: seconds for each enumerate and each verify probe; None for the engine's own.
        strict: whether what cannot be met fails instead of being skipped.
    """

    runner: str
    library_root: str | None
    host: str | None
    timeout: float | None
    strict: bool

    @classmethod
    def of(cls, config: pytest.Config) -> Settings:
        """Read them.

        Raises:
            pytest.UsageError: a value makes no sense.
        """
        return cls(
            runner=_value(config, "runner") or "native",
            library_root=_path(config, "library_root"),
            host=_path(config, "host"),
            timeout=_seconds(_value(config, "timeout")),
            strict=_flag(_value(config, "strict")),
        )


def add_options(parser: pytest.Parser) -> None:
    """Add the options, and an ini key for each."""
    group = parser.getgroup("gpudiscover", "discovery of usable GPUs")
    for name, metavar, text in (
        ("runner", "RUNNER", "what to discover GPUs with: native (default), ollama, fake, or a command line"),
        ("library-root", "DIR", "where the variants of the runner are; with ollama or a command line"),
        ("host", "FILE", "the machine that the runner fake simulates: a host file, TOML or JSON"),
        ("timeout", "SECONDS", "how long each enumerate and each verify probe may take"),
    ):
        group.addoption(f"--gpudiscover-{name}", metavar=metavar, default=None, help=text)
    strict = "fail tests that need a GPU, instead of skipping them, when there is none"
    group.addoption("--gpudiscover-strict", action="store_const", const="true", default=None, help=strict)
    for key in ("runner", "library_root", "host", "timeout", "strict"):
        parser.addini(f"gpudiscover_{key}", f"see --gpudiscover-{key.replace('_', '-')}", default="")


def _value(config: pytest.Config, key: str) -> str:
    option = config.getoption(f"gpudiscover_{key}", default=None)
    found = option or os.environ.get(f"GPUDISCOVER_{key.upper()}") or config.getini(f"gpudiscover_{key}")
    return str(found)


def _path(config: pytest.Config, key: str) -> str | None:
    value = _value(config, key)
    if not value:
        return None
    variable = f"GPUDISCOVER_{key.upper()}"
    from_ini = not (config.getoption(f"gpudiscover_{key}", default=None) or os.environ.get(variable))
    # A relative path in an ini file is beside that file, wherever pytest was started.
    beside = config.inipath.parent if from_ini and config.inipath else config.invocation_params.dir
    return str(beside / value)


def _seconds(value: str) -> float | None:
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1
    if not 0 < seconds < float("inf"):
        raise pytest.UsageError(f"gpudiscover_timeout: expected seconds above 0, got {value!r}")
    return seconds


def _flag(value: str) -> bool:
    words = {"": False, "0": False, "false": False, "no": False, "off": False} | dict.fromkeys(
        ("1", "true", "yes", "on"), True
    )
    if value.lower() not in words:
        raise pytest.UsageError(f"gpudiscover_strict: expected true or false, got {value!r}")
    return words[value.lower()]
