"""A host file that may change while its runner lives: read at the start, and again whenever it is another."""

from __future__ import annotations

import os
import sys

from fake_runner import hosts, scripts, views
from fake_runner.tables import HostError, OtherReleaseError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fake_runner.hosts import Host
    from fake_runner.scripts import Answer, Script
    from fake_runner.triggers import Mark


UNKNOWN = {
    hosts.INFO: "this release has no runner for --ollama-engine",
    hosts.GPU_DISCOVER: f'unknown command "{hosts.GPU_DISCOVER}" for "ollama"',
}
"""What a runner says that was asked to answer as one of the other age does."""


class LiveHost:
    """One runner's host, and what the runner does on it.

    Args:
        path: the host file.
        environment: the runner's variables.
        speech: how it was asked to answer.

    Attributes:
        host: as it was last read.
        script: what the runner does; `current` brings it up to date.

    Raises:
        HostError: the host file, its memory or the environment makes no sense.
        OtherReleaseError: the host's runners do not answer so. This start does not count.
    """

    def __init__(self, path: str, environment: Mapping[str, str], speech: str = hosts.INFO) -> None:
        self._path = path
        self._environment = environment
        self._requests = 0
        self._version = version(path)
        self.host: Host = hosts.load(path)
        if self.host.speaks != speech:
            raise OtherReleaseError(UNKNOWN[speech])
        self.script: Script = self._first()

    def current(self) -> Script:
        """What the runner does by now. A new file that makes no sense is said once, and changes nothing."""
        if (found := version(self._path)) != self._version:
            self._version = found
            try:
                self._change(hosts.load(self._path))
            except HostError as error:
                line = " ".join(str(error).split())
                sys.stderr.write(f"fake-runner: the host stays as it was: {line}\n")
        return self.script

    def refuses(self) -> bool:
        """Whether the next request is one of those that are answered with a reset."""
        self._requests += 1
        return self._requests <= self.script.refusals

    def record(self, answer: Answer) -> None:
        """Record an answer, if the host says where.

        Raises:
            OSError: the record cannot be written.
        """
        if self.host.calls and answer.raw is None:
            from fake_runner import recording

            good = answer.status == 200 and answer is self.script.answer
            recording.answer(self.host.calls, answer.status, len(self.script.entries) if good else 0)

    def _first(self) -> Script:
        if not any(fault.counts for fault in self.host.faults):
            return self._decided(self.host, {}, {})
        from fake_runner.remembering import memory

        with memory(self._path) as remembered:
            script = self._decided(self.host, remembered.earlier, {})
            remembered.add(script.marks)
            return script

    def _change(self, host: Host) -> None:
        # This start has been counted: a fault that struck strikes still, one that passed it by still does.
        script = self._decided(host, self.script.earlier, self.script.marks)
        self.host, self.script = host, script

    def _decided(
        self, host: Host, earlier: Mapping[str, Sequence[Mark]], marks: Mapping[str, Mark]
    ) -> Script:
        variant = views.asked_variant(host, self._environment)
        return scripts.script(host, variant, self._environment, earlier=earlier, marks=marks)


def version(path: str) -> tuple[int, ...]:
    """What changes when a file is replaced; () for one that is not there."""
    try:
        status = os.stat(path)  # noqa: PTH116 - pathlib would cost more than the rest of the start
    except OSError:
        return ()
    return status.st_ino, status.st_mtime_ns, status.st_size
