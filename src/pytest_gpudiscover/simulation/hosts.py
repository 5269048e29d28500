"""A simulated machine as a value."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fake_runner
from fake_runner import hosts as host_files
from fake_runner.tables import HostError
from fake_runner.triggers import Mark
from pytest_gpudiscover.errors import HostFileError
from pytest_gpudiscover.simulation.profiles import document_of

if TYPE_CHECKING:
    import os

    from pytest_gpudiscover.reports import Report
    from pytest_gpudiscover.simulation.in_memory import InMemoryInstallation
    from pytest_gpudiscover.simulation.installation import FakeInstallation

FAKE_RUNNER = Path(fake_runner.__file__).parent
"""The fake runner's program: started by path."""
HOST_VARIABLE = "FAKE_RUNNER_HOST"
"""All that the fake runner needs to know: the path of its host file."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One start of a fake runner.

    Attributes:
        pid: its process id; 0 in memory.
        argv: its command line.
        variant: the variant it was pointed at.
        phase: `enumerate`, `verify` or `refresh`.
        deep: whether it was asked for deep initialisation.
        masks: the masks in its environment.
        started: seconds, on a monotonic clock.
    """

    pid: int
    argv: tuple[str, ...]
    variant: str
    phase: str
    deep: bool
    masks: Mapping[str, str]
    started: float


@dataclass(frozen=True)
class FakeHost:
    """A simulated machine: what its host file says (docs/fake-runner.md), as a value.

    Two hosts are equal when their documents are.

    Attributes:
        document: the host file's contents, with the keys `gpu`, `variant` and `fault`.

    Raises:
        HostFileError: the document makes no sense.
    """

    document: Mapping[str, Any]
    _place: _Place = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what no runner could act out, and keep a copy that nobody else changes."""
        object.__setattr__(self, "document", copy.deepcopy(dict(self.document)))
        object.__setattr__(self, "_place", _Place())
        self.checked()

    @classmethod
    def of(cls, *names: str) -> FakeHost:
        """A machine with these cards, by the names of `PROFILES`: `FakeHost.of("RTX 4090", "Radeon 780M")`.

        Which variants list a card, and which of those fail on it, follows from its compute capability.

        Raises:
            HostFileError: there is no profile of that name.
        """
        return cls(document_of(names))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FakeHost:
        """Read a host file, TOML or JSON.

        Raises:
            HostFileError: it cannot be read, or makes no sense.
        """
        try:
            host_files.load(str(path))
            document = host_files.decoded(Path(path).read_text(encoding="utf-8"))
        except HostError as error:
            raise HostFileError(str(error)) from error
        assert isinstance(document, dict)
        host = cls(document)
        host._place.path = Path(path).absolute()
        return host

    def save(self, path: str | os.PathLike[str]) -> FakeHost:
        """Write the host file, as JSON, which needs no particular suffix.

        Every start of a runner is then recorded beside it, unless the document names another place, and
        `calls` reads that.

        Returns:
            this host.

        Raises:
            OSError: it cannot be written.
        """
        target = Path(path).absolute()
        document = {"calls": f"{target.name}.calls.jsonl", **self.document}
        target.write_text(json.dumps(document, indent=2), encoding="utf-8")
        self._place.path = target
        return self

    @property
    def path(self) -> Path:
        """The host file.

        Raises:
            HostFileError: this host was neither saved nor loaded.
        """
        if self._place.path is None:
            raise HostFileError(
                "this host has no file yet: save(path) it before real processes are to read it"
            )
        return self._place.path

    @property
    def environment(self) -> dict[str, str]:
        """What makes the fake runner simulate this host, whoever starts it."""
        return {HOST_VARIABLE: str(self.path)}

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every runner that was started for this host, as a process or in memory, in order."""
        return tuple(sorted([*self._place.calls, *self._recorded()], key=lambda call: call.started))

    def _recorded(self) -> list[Call]:
        if self._place.path is None:
            return []
        record = host_files.load(str(self._place.path)).calls
        if not record or not Path(record).exists():
            return []
        lines = Path(record).read_text(encoding="utf-8").splitlines()
        return [_call(line) for line in map(json.loads, lines) if line["event"] == "start"]

    def note(self, call: Call) -> None:
        """Add a start in memory to `calls`."""
        self._place.calls.append(call)

    @property
    def marks(self) -> dict[str, list[Mark]]:
        """What faults that count remember of the starts in memory; processes have a file for it."""
        return self._place.marks

    def with_fault(self, name: str, **details: Any) -> FakeHost:
        """The same machine with one more fault, as `with_fault("crash_deep", device="gpu0")`.

        Args:
            name: of the vocabulary (`fake-runner faults`).
            details: its trigger (`variant`, `device`, `phase`) and its own arguments.

        Raises:
            HostFileError: there is no such fault, or it makes no sense on this host.
        """
        faults = [*self.document.get("fault", ()), {"name": name, **details}]
        return FakeHost({**self.document, "fault": faults})

    def checked(self) -> host_files.Host:
        """The document as the fake runner understands it.

        Raises:
            HostFileError: it does not.
        """
        try:
            return host_files.parse(dict(self.document))
        except HostError as error:
            raise HostFileError(str(error)) from error

    def installation(
        self, *, variant: str | None = None, without_variants: Sequence[str] = ()
    ) -> FakeInstallation:
        """Discover this host through real processes of the fake runner; it needs a file (`save`).

        Args:
            variant: ask this variant only.
            without_variants: leave these out.
        """
        from pytest_gpudiscover.simulation.installation import FakeInstallation

        return FakeInstallation(self, variant=variant, without_variants=tuple(without_variants))

    def in_memory(
        self, *, variant: str | None = None, without_variants: Sequence[str] = ()
    ) -> InMemoryInstallation:
        """Discover this host without any process; the verdicts are the same.

        Args:
            variant: ask this variant only.
            without_variants: leave these out.
        """
        from pytest_gpudiscover.simulation.in_memory import InMemoryInstallation

        return InMemoryInstallation(self, variant=variant, without_variants=tuple(without_variants))

    def discover(self, **options: Any) -> Report:
        """Discover this host through real processes, and wait for it.

        Args:
            options: those of `Discovery`.
        """
        from pytest_gpudiscover.blocking import discover

        return discover(self.installation(), **options)


@dataclass
class _Place:
    """Where a host lies and what was started for it; no part of its value."""

    path: Path | None = None
    calls: list[Call] = field(default_factory=list)
    marks: dict[str, list[Mark]] = field(default_factory=dict)


def showcase() -> FakeHost:
    """The built-in machine that `gpudiscover list --runner fake` shows."""
    return FakeHost.load(FAKE_RUNNER / "showcase.toml")


def _call(values: Mapping[str, Any]) -> Call:
    known = {each.name: values[each.name] for each in fields(Call)}
    return Call(**{**known, "argv": tuple(values["argv"])})
