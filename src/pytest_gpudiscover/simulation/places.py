"""Where a simulated machine lies, so that it can change while somebody looks at it."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fake_runner import hosts as host_files
from fake_runner.live import version
from fake_runner.tables import HostError
from pytest_gpudiscover.errors import HostFileError
from pytest_gpudiscover.simulation.calls import Call, Started, recorded

if TYPE_CHECKING:
    from fake_runner.triggers import Mark


def understood(document: Mapping[str, Any]) -> host_files.Host:
    """A document as the fake runner understands it.

    Raises:
        HostFileError: it does not.
    """
    try:
        return host_files.parse(dict(document))
    except HostError as error:
        raise HostFileError(str(error)) from error


class Place:
    """The present state of a machine, in a file or in memory, and what was started for it.

    Attributes:
        path: the host file; None while there is none.
        starts: what was started in memory.
        marks: what faults that count remember of the starts in memory; processes have a file for it.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.path: Path | None = None
        self.starts: list[Started] = []
        self.marks: dict[str, list[Mark]] = {}
        self._document = document
        self._ours = True
        self._host: host_files.Host | None = None
        self._version: tuple[int, ...] = ()

    @classmethod
    def found(cls, path: Path) -> Place:
        """The place of a host file that somebody else wrote: it is read, and never changed."""
        place = cls({})
        place.path, place._ours = path, False
        return place

    def moved(self, path: Path) -> Place:
        """A place of the same machine in a file of ours, which is still to be written."""
        place = Place({})
        place.path, place.starts, place.marks = path, [*self.starts], {**self.marks}
        return place

    def copied(self) -> tuple[Place, Mapping[str, Any]]:
        """A place of the same machine in memory, where nothing was started yet, and what lies there.

        Raises:
            HostFileError: the file cannot be read any more, or makes no sense.
        """
        if self.path is not None:
            document = self.document()
            return Place(document), document
        place = Place(self._document)
        place._host = self.host()  # nobody changes it: nothing is understood twice
        return place, self._document

    def document(self) -> dict[str, Any]:
        """What lies here now.

        Raises:
            HostFileError: the file cannot be read any more, or makes no sense.
        """
        if self.path is None:
            return copy.deepcopy(dict(self._document))
        try:
            host_files.load(str(self.path))
            document = host_files.decoded(self.path.read_text(encoding="utf-8"))
        except HostError as error:
            raise HostFileError(str(error)) from error
        assert isinstance(document, dict)
        if document.get("calls") == _record_beside(self.path):
            del document["calls"]
        return document

    def host(self) -> host_files.Host:
        """What lies here now, as the fake runner understands it: the same object until it changes.

        Raises:
            HostFileError: the file cannot be read any more, or makes no sense.
        """
        found = version(str(self.path)) if self.path else ()
        if self._host is None or found != self._version:
            self._host, self._version = self._understood(), found
        return self._host

    def _understood(self) -> host_files.Host:
        if self.path is None:
            return understood(self._document)
        try:
            return host_files.load(str(self.path))
        except HostError as error:
            raise HostFileError(str(error)) from error

    def change(self, document: Mapping[str, Any]) -> None:
        """Put another document here, which makes sense, in one step: whoever reads sees the one or the other.

        Raises:
            HostFileError: the file was written by somebody else.
            OSError: it cannot be written.
        """
        self._host = None
        if self.path is None:
            self._document = document
            return
        if not self._ours:
            problem = "this file was loaded and is left as it is: save(path) a copy, and update that"
            raise HostFileError(f"{self.path}: {problem}")
        text = json.dumps({"calls": _record_beside(self.path), **document}, indent=2)
        unfinished = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        try:
            unfinished.write_text(text, encoding="utf-8")
            unfinished.replace(self.path)
        finally:
            unfinished.unlink(missing_ok=True)

    def everything_started(self) -> tuple[Call, ...]:
        """Every runner that was started for this machine, as a process or in memory, in order."""
        in_memory = [start.call for start in self.starts]
        return tuple(sorted([*in_memory, *self._recorded()], key=lambda call: call.started))

    def _recorded(self) -> list[Call]:
        record = Path(self.host().calls) if self.path and self.host().calls else None
        if record is None or not record.exists():
            return []
        # The last line may be half written while a runner starts.
        lines = record.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
        return recorded(json.loads(line) for line in lines)


def _record_beside(path: Path) -> str:
    return f"{path.name}.calls.jsonl"
