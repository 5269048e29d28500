"""A simulated machine as a value, and the control of the machine that it lies on."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fake_runner
from fake_runner import hosts as host_files
from pytest_gpudiscover.errors import HostFileError
from pytest_gpudiscover.simulation import calls, editing
from pytest_gpudiscover.simulation.calls import Call, Started
from pytest_gpudiscover.simulation.places import Place, understood
from pytest_gpudiscover.simulation.profiles import document_of

if TYPE_CHECKING:
    import os

    from fake_runner.triggers import Mark
    from pytest_gpudiscover.reports import Report
    from pytest_gpudiscover.simulation.in_memory import InMemoryInstallation
    from pytest_gpudiscover.simulation.installation import FakeInstallation

FAKE_RUNNER = Path(fake_runner.__file__).parent
"""The fake runner's program: started by path."""
HOST_VARIABLE = "FAKE_RUNNER_HOST"
"""All that the fake runner needs to know: the path of its host file."""


@dataclass(frozen=True)
class FakeHost:
    """A simulated machine: what its host file says (docs/fake-runner.md), as a value.

    Two hosts are equal when their documents are. A host also lies somewhere, in a file or in memory. What
    lies there can be changed while it is looked at (`update` and its shorthands): each change begins with
    what lies there `now`, and returns it as a new value. The values before stay what they were and lie in
    the same place; a discovery of any of them sees what lies there.

    Attributes:
        document: the host file's contents, with the keys `gpu`, `variant` and `fault`.

    Raises:
        HostFileError: the document makes no sense.
    """

    document: Mapping[str, Any]
    _place: Place = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what no runner could act out, and keep a copy that nobody else changes."""
        document = copy.deepcopy(dict(self.document))
        understood(document)
        object.__setattr__(self, "document", document)
        object.__setattr__(self, "_place", Place(document))

    def __hash__(self) -> int:
        """Equal documents have equal hashes, whatever the order of their keys."""
        return hash(_hashable(self.document))

    def __str__(self) -> str:
        """In a few words: `2x NVIDIA L4, crash_deep`."""
        shown = [gpu.get("description", gpu["name"]) for gpu in self.document.get("gpu", ())]
        return ", ".join(
            [
                in_words(shown) or "no GPU",
                *dict.fromkeys(fault["name"] for fault in self.document.get("fault", ())),
            ]
        )

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
        """Read a host file, TOML or JSON. `update` leaves it alone: to change it, `save` a copy.

        Raises:
            HostFileError: it cannot be read, or makes no sense.
        """
        place = Place.found(Path(path).absolute())
        return _placed(cls(place.document()), place)

    def save(self, path: str | os.PathLike[str]) -> FakeHost:
        """Write the host file, as JSON, which needs no particular suffix, and lie there from now on.

        It is written in one step: runners see the old file or the new one. Every start of a runner is then
        recorded beside it, unless the document names another place, and `calls` reads that.

        Returns:
            this host.

        Raises:
            OSError: it cannot be written.
        """
        place = self._place.moved(Path(path).absolute())
        place.change(self.document)
        return _placed(self, place)

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
    def now(self) -> FakeHost:
        """What lies in this host's place by now, after every update.

        Raises:
            HostFileError: the file was changed by somebody else, and makes no sense any more.
        """
        return _placed(FakeHost(self._place.document()), self._place)

    def checked(self) -> host_files.Host:
        """What lies in this host's place by now, as the fake runner understands it.

        It is the same object for as long as it does not change.

        Raises:
            HostFileError: the file was changed by somebody else, and makes no sense any more.
        """
        return self._place.host()

    def with_fault(self, name: str, **details: Any) -> FakeHost:
        """The same machine with one more fault, elsewhere: `with_fault("crash_deep", device="gpu0")`.

        Args:
            name: of the vocabulary (`fake-runner faults`).
            details: its trigger (`variant`, `device`, `phase` and more) and its own arguments.

        Raises:
            HostFileError: there is no such fault, or it makes no sense on this host.
        """
        return FakeHost(editing.with_fault(self.document, name, **details))

    def update(self, machine: FakeHost | Mapping[str, Any]) -> FakeHost:
        """Turn the machine into another one, while it is looked at, in one step.

        Args:
            machine: what it becomes, as a host or as a document. An earlier value brings that back.

        Returns:
            the new value, in the same place.

        Raises:
            HostFileError: it makes no sense, or the file was loaded and not saved; nothing has changed.
            OSError: the file cannot be written; nothing has changed.
        """
        changed = FakeHost(machine.document if isinstance(machine, FakeHost) else machine)
        self._place.change(changed.document)
        return _placed(changed, self._place)

    def fill(self, gpu: str, size: int | str) -> FakeHost:
        """Take up free memory of a GPU. A variant with a figure of its own goes on showing that.

        Args:
            gpu: its name in the document (`gpu0`).
            size: how much is taken, in bytes or as `"20 GiB"`.

        Raises:
            HostFileError: there is no such GPU, or less is free; nothing has changed.
        """
        free, _ = editing.memory_of(self.checked(), gpu)
        taken = editing.size_of(size, "size")
        if taken > free:
            raise HostFileError(f"{gpu}: expected at most the {free} bytes that are free, got {size!r}")
        return self.update(editing.with_figures(self.now.document, gpu, free_memory=free - taken))

    def set_free_memory(self, gpu: str, size: int | str) -> FakeHost:
        """Set how much memory of a GPU is free. A variant with a figure of its own goes on showing that.

        Args:
            gpu: its name in the document (`gpu0`).
            size: how much is free then, in bytes or as `"20 GiB"`.

        Raises:
            HostFileError: there is no such GPU, or it has less in all; nothing has changed.
        """
        _, total = editing.memory_of(self.checked(), gpu)
        free = editing.size_of(size, "size")
        if free > total:
            raise HostFileError(f"{gpu}: expected at most the {total} bytes that it has, got {size!r}")
        return self.update(editing.with_figures(self.now.document, gpu, free_memory=free))

    def unplug(self, gpu: str) -> FakeHost:
        """Let a GPU fall off the bus: nothing lists it, and those behind it move up.

        Args:
            gpu: its name in the document (`gpu0`).

        Raises:
            HostFileError: there is no such GPU; nothing has changed.
        """
        return self.update(editing.without_gpu(self.now.document, gpu))

    def plug(self, card: str, **figures: Any) -> FakeHost:
        """Put one more card in, behind the others, with the variants that list such cards.

        Args:
            card: a name of `PROFILES`.
            figures: of its table in the document, such as `name`, `free_memory` or `pci_id`; by default its
                name is the next of `gpu0`, `gpu1` and so on, and its slot the first free one.

        Raises:
            HostFileError: there is no such card, or it makes no sense; nothing has changed.
        """
        return self.update(editing.with_card(self.now.document, card, **figures))

    def inject(self, name: str, **details: Any) -> FakeHost:
        """Let something go wrong from now on: `inject("crash_deep", device="gpu0")`.

        Args:
            name: of the vocabulary (`fake-runner faults`).
            details: its trigger (`variant`, `device`, `phase` and more) and its own arguments.

        Raises:
            HostFileError: there is no such fault, or it makes no sense on this host; nothing has changed.
        """
        return self.update(editing.with_fault(self.now.document, name, **details))

    def heal(self, name: str | None = None, **details: Any) -> FakeHost:
        """Take faults away: those of this name and with these details; all of them when nothing is given.

        All of them are all: also those by which a profile says that a variant has no code for a card.

        Raises:
            HostFileError: no fault is like that; nothing has changed.
        """
        wanted = details if name is None else {"name": name, **details}
        return self.update(editing.without_faults(self.now.document, **wanted))

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every runner that was started for this host, as a process or in memory, in order."""
        return self._place.everything_started()

    def most_at_once(self) -> int:
        """How many runners were at work at the same time, at the most (`calls.most_at_once`)."""
        return calls.most_at_once(self.calls)

    def note(self, start: Started) -> None:
        """Add a start in memory to `calls`."""
        self._place.starts.append(start)

    @property
    def marks(self) -> dict[str, list[Mark]]:
        """What faults that count remember of the starts in memory; processes have a file for it."""
        return self._place.marks

    def installation(
        self, *, variant: str | None = None, without_variants: Sequence[str] = ()
    ) -> FakeInstallation:
        """Discover this host through real processes of the fake runner; it needs a file (`save`).

        Args:
            variant: ask this variant only.
            without_variants: leave these out.
        """
        from pytest_gpudiscover.simulation.installation import FakeInstallation

        return FakeInstallation(self, variant=variant, without_variants=without_variants)

    def in_memory(
        self, *, variant: str | None = None, without_variants: Sequence[str] = ()
    ) -> InMemoryInstallation:
        """Discover this host without any process; the verdicts are the same.

        Args:
            variant: ask this variant only.
            without_variants: leave these out.
        """
        from pytest_gpudiscover.simulation.in_memory import InMemoryInstallation

        return InMemoryInstallation(self, variant=variant, without_variants=without_variants)

    def discover(self, **options: Any) -> Report:
        """Discover this host through real processes, and wait for it.

        Args:
            options: those of `Discovery`.
        """
        from pytest_gpudiscover.blocking import discover

        return discover(self.installation(), **options)


def _hashable(value: Any) -> Any:
    # No JSON: that would tell 1 from 1.0, which are equal.
    if isinstance(value, Mapping):
        return frozenset((key, _hashable(held)) for key, held in value.items())
    return tuple(_hashable(held) for held in value) if isinstance(value, list | tuple) else value


def apart(host: FakeHost) -> FakeHost:
    """The same machine as it is now, in memory, in a place of its own."""
    place, document = host._place.copied()  # noqa: SLF001 - it is of this module
    copied = object.__new__(FakeHost)  # the document was checked when it came to lie there
    object.__setattr__(copied, "document", document)
    return _placed(copied, place)


def _placed(host: FakeHost, place: Place) -> FakeHost:
    object.__setattr__(host, "_place", place)
    return host


def showcase() -> FakeHost:
    """The built-in machine that `gpudiscover list --runner fake` shows."""
    return FakeHost.load(FAKE_RUNNER / "showcase.toml")


def in_words(cards: Sequence[str]) -> str:
    """Cards as a short text, each kind once: `8x H100, L4`."""
    return ", ".join(f"{count}x {card}" if count > 1 else card for card, count in Counter(cards).items())
