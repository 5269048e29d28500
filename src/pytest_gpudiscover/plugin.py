"""The pytest plugin. Every run of pytest loads it: nothing here may cost anything until it is asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_gpudiscover.devices import DeviceInfo
    from pytest_gpudiscover.engine import Discovery
    from pytest_gpudiscover.installations import Installation
    from pytest_gpudiscover.reports import Report
    from pytest_gpudiscover.simulation import FakeHost

_DISCOVERING_FIXTURES = frozenset({"gpu_devices", "gpu_discovery"})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the options, the environment and the ini file say, in this order of precedence.

    Attributes:
        runner: `native`, `ollama`, `fake`, or a command line.
        library_root: where the variants are; None to look for them.
        timeout: seconds for each enumerate and each verify probe; None for the engine's own.
        strict: whether what cannot be met fails instead of being skipped.
    """

    runner: str
    library_root: str | None
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
            library_root=_library_root(config),
            timeout=_seconds(_value(config, "timeout")),
            strict=_flag(_value(config, "strict")),
        )


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, and an ini key for each."""
    group = parser.getgroup("gpudiscover", "discovery of usable GPUs")
    for name, metavar, text in (
        ("runner", "RUNNER", "what to discover GPUs with: native (default), ollama, fake, or a command line"),
        ("library-root", "DIR", "where the variants of the runner are; with ollama or a command line"),
        ("timeout", "SECONDS", "how long each enumerate and each verify probe may take"),
    ):
        group.addoption(f"--gpudiscover-{name}", metavar=metavar, default=None, help=text)
    strict = "fail tests that need a GPU, instead of skipping them, when there is none"
    group.addoption("--gpudiscover-strict", action="store_const", const="true", default=None, help=strict)
    for key in ("runner", "library_root", "timeout", "strict"):
        parser.addini(f"gpudiscover_{key}", f"see --gpudiscover-{key.replace('_', '-')}", default="")


def _value(config: pytest.Config, key: str) -> str:
    option = config.getoption(f"gpudiscover_{key}", default=None)
    found = option or os.environ.get(f"GPUDISCOVER_{key.upper()}") or config.getini(f"gpudiscover_{key}")
    return str(found)


def _library_root(config: pytest.Config) -> str | None:
    value = _value(config, "library_root")
    if not value:
        return None
    from_ini = not (
        config.getoption("gpudiscover_library_root") or os.environ.get("GPUDISCOVER_LIBRARY_ROOT")
    )
    # A relative directory in an ini file is beside that file, wherever pytest was started.
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


class _SessionDiscovery:
    """The session's one engine, and its first report."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.engine = _engine(settings)
        self._outcome: Report | Exception | None = None

    def report(self) -> Report:
        """Discover on the first call; what came of that, also an error, is remembered.

        Raises:
            InstallationError: discovery cannot run.
        """
        if self._outcome is None:
            self._outcome = self._discover()
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    def _discover(self) -> Report | Exception:
        from pytest_gpudiscover.blocking import run_in_thread
        from pytest_gpudiscover.errors import GpuDiscoverError

        try:
            # Anew, should an asynchronous test have used the engine before: a refresh tells no rejections.
            run_in_thread(lambda: self.engine.devices(rescan=True))
        except GpuDiscoverError as error:
            return error
        return self.engine.report


_DISCOVERY = pytest.StashKey[_SessionDiscovery]()


def _installation(settings: Settings) -> Installation:
    from pytest_gpudiscover.choosing import chosen_installation
    from pytest_gpudiscover.errors import UsageError

    try:
        return chosen_installation(settings.runner, library_root=settings.library_root)
    except UsageError as error:
        raise pytest.UsageError(f"gpudiscover: {error}") from error


def _engine(settings: Settings) -> Discovery:
    from pytest_gpudiscover.engine import Discovery

    installation = _installation(settings)
    if settings.timeout is None:
        return Discovery(installation)
    return Discovery(installation, enumerate_timeout=settings.timeout, verify_timeout=settings.timeout)


def _session_discovery(config: pytest.Config) -> _SessionDiscovery:
    if _DISCOVERY not in config.stash:
        config.stash[_DISCOVERY] = _SessionDiscovery(Settings.of(config))
    return config.stash[_DISCOVERY]


def pytest_configure(config: pytest.Config) -> None:
    """Refuse settings that make no sense before anything runs."""
    settings = Settings.of(config)
    if settings.library_root is not None:
        _installation(settings)


def pytest_report_collectionfinish(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    """Name the devices before the first test, if any test of this run asks for them."""
    if config.option.collectonly or config.get_verbosity() < 0:
        return []
    if not any(_DISCOVERING_FIXTURES.intersection(getattr(item, "fixturenames", ())) for item in items):
        return []
    from pytest_gpudiscover.errors import GpuDiscoverError
    from pytest_gpudiscover.explaining import in_one_line

    try:
        devices = _session_discovery(config).report().devices
    except GpuDiscoverError:
        return []  # the tests that ask will say it, each with its own name
    return [f"gpudiscover: {in_one_line(devices)}"] if devices else []


@pytest.fixture(scope="session")
def gpu_engine(pytestconfig: pytest.Config) -> Discovery:
    """The session's `Discovery`, for asynchronous tests: `await gpu_engine.devices()`.

    Nothing is discovered until then. Its first call discovers, later ones refresh the free memory.
    """
    return _session_discovery(pytestconfig).engine


@pytest.fixture(scope="session")
def gpu_discovery(pytestconfig: pytest.Config) -> Report:
    """What the discovery found, whatever it says: devices, rejections with reasons, probes."""
    from pytest_gpudiscover.errors import GpuDiscoverError

    try:
        return _session_discovery(pytestconfig).report()
    except GpuDiscoverError as error:
        problem = f"GPU discovery cannot run: {error}"
    pytest.fail(problem, pytrace=False)


@pytest.fixture(scope="session")
def gpu_devices(gpu_discovery: Report, pytestconfig: pytest.Config) -> tuple[DeviceInfo, ...]:
    """The usable devices, one or more.

    Without any the test is skipped, with the reasons; under `--gpudiscover-strict` it fails.
    """
    if gpu_discovery.devices:
        return gpu_discovery.devices
    from pytest_gpudiscover.explaining import why_none

    reason = why_none(gpu_discovery)
    if _session_discovery(pytestconfig).settings.strict:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


class FakeGpuHosts:
    """Builds simulated hosts below one directory: what the fixture `fake_gpu_host` gives."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._built = 0

    def __call__(self, *cards: str | FakeHost | Mapping[str, Any]) -> FakeHost:
        """Build a host, and write its file.

        Args:
            cards: names of cards (`PROFILES`), or one host, or one host file's contents.

        Raises:
            HostFileError: it makes no sense.
        """
        host = _host(cards).save(self._directory / f"gpu-host-{self._built}.json")
        self._built += 1
        return host


def _host(cards: Sequence[str | FakeHost | Mapping[str, Any]]) -> FakeHost:
    from pytest_gpudiscover.errors import HostFileError
    from pytest_gpudiscover.simulation import FakeHost

    names = [card for card in cards if isinstance(card, str)]
    if len(names) == len(cards):
        return FakeHost.of(*names)
    if len(cards) != 1:
        raise HostFileError("expected names of cards, or one host alone")
    document = cards[0].document if isinstance(cards[0], FakeHost) else cards[0]
    assert not isinstance(document, str)
    return FakeHost(document)


@pytest.fixture
def fake_gpu_host(tmp_path: Path) -> FakeGpuHosts:
    """A function that builds simulated hosts.

    `host = fake_gpu_host("RTX 4090", "Radeon 780M")`, and then for instance `host.discover()`.
    """
    return FakeGpuHosts(tmp_path)
