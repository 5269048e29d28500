"""What the options, the environment and the ini file mean. Loaded when one says something, or a test asks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_gpudiscover.plugin.options import left_empty, outside_the_ini_file, value

if TYPE_CHECKING:
    from pytest_gpudiscover.requirements import Requirement

_CHOICES = {
    "workers": ("share", "count", "own"),
    "recheck": ("failed", "never"),
    "memory": ("off", "report", "wait"),
}
"""The words a setting may have; the first is the default."""

_FLAGS = {
    **dict.fromkeys(("", "0", "false", "no", "off"), False),
    **dict.fromkeys(("1", "true", "yes", "on"), True),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the options, the environment and the ini file say, in this order of precedence.

    Attributes:
        runner: `native`, `ollama`, `fake`, or a command line.
        library_root: where the variants are; None to look for them.
        host: the host file that the runner `fake` simulates; None for the built-in machine.
        timeout: seconds for each enumerate and each verify probe; None for the engine's own.
        strict: whether what cannot be met fails instead of being skipped.
        hardware: whether the hardware suite is run.
        require: what the machine must have, together.
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
    hardware: bool
    require: tuple[Requirement, ...]
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
        return cls(
            runner=value(config, "runner") or "native",
            library_root=_path(config, "library_root"),
            host=_path(config, "host"),
            timeout=_seconds(config, "timeout") if value(config, "timeout") else None,
            strict=_flag(config, "strict"),
            hardware=_flag(config, "hardware"),
            require=_requirements(config, "require"),
            marker=_identifier(config, "marker", default="gpu"),
            lease_timeout=_seconds(config, "lease_timeout", default=600),
            leases=_leases(config),
            workers=_choice(config, "workers"),
            recheck=_choice(config, "recheck"),
            memory=_choice(config, "memory"),
            memory_timeout=_seconds(config, "memory_timeout", default=10),
            report=_path(config, "report"),
        )


_SETTINGS = pytest.StashKey[Settings]()


def check(config: pytest.Config) -> None:
    """Refuse settings that make no sense, each alone or together.

    Raises:
        pytest.UsageError: there is one.
    """
    settings = Settings.of(config)
    if settings.runner == "fake" or settings.library_root is not None or settings.host is not None:
        from pytest_gpudiscover.plugin.discovering import chosen

        chosen(settings)
    if settings.report is not None and not hasattr(config, "workerinput"):
        from pytest_gpudiscover.plugin.report_file import refuse_unwritable
        from pytest_gpudiscover.plugin.reporting import reporting

        refuse_unwritable(Path(settings.report))
        reporting(config)  # it writes the file, whether or not a test needs a GPU


def _path(config: pytest.Config, key: str) -> str | None:
    path = _at_home(value(config, key))
    if not path:
        return None
    from_ini = not outside_the_ini_file(config, key)
    # A relative path in an ini file is beside that file, wherever pytest was started.
    beside = config.inipath.parent if from_ini and config.inipath else config.invocation_params.dir
    return str(beside / path)


def _at_home(path: str) -> str:
    return os.path.expanduser(path)  # noqa: PTH111 - never raises, though nobody may be at home


def _leases(config: pytest.Config) -> str | None:
    path = outside_the_ini_file(config, "leases")
    from_environment = path and not config.getoption("gpudiscover_leases", default=None)
    if from_environment and not Path(_at_home(path)).is_absolute():
        # Runs inherit it that start in many directories: they would not meet in one.
        raise _senseless("leases", "an absolute path in GPUDISCOVER_LEASES", path)
    return _path(config, "leases")


def _requirements(config: pytest.Config, key: str) -> tuple[Requirement, ...]:
    if left_empty(config, key):
        # Often a variable of a CI system that is not set: nobody means a green run on any machine by that.
        raise _senseless(key, "what is required, or no such option and no such variable", "")
    if not (text := value(config, key)):
        return ()
    from pytest_gpudiscover.errors import RequirementError
    from pytest_gpudiscover.requirements import Requirement

    try:
        return Requirement.parse_all(text)
    except RequirementError as error:
        raise pytest.UsageError(f"gpudiscover_{key}: {error}") from error


def _seconds(config: pytest.Config, key: str, default: float = 0) -> float:
    text = value(config, key) or str(default)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 < seconds < float("inf"):
        raise _senseless(key, "seconds above 0", text)
    return seconds


def _choice(config: pytest.Config, key: str) -> str:
    words = _CHOICES[key]
    word = value(config, key).lower() or words[0]
    if word not in words:
        raise _senseless(key, f"one of {', '.join(words)}", word)
    return word


def _identifier(config: pytest.Config, key: str, default: str) -> str:
    name = value(config, key) or default
    if not name.isidentifier():
        raise _senseless(key, "a name as in @pytest.mark.NAME", name)
    return name


def _flag(config: pytest.Config, key: str) -> bool:
    word = value(config, key)
    if word.lower() not in _FLAGS:
        raise _senseless(key, "true or false", word)
    return _FLAGS[word.lower()]


def _senseless(key: str, expected: str, found: str) -> pytest.UsageError:
    return pytest.UsageError(f"gpudiscover_{key}: expected {expected}, got {found!r}")
