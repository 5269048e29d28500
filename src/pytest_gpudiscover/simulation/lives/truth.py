"""What is true of a machine, from its document alone: whom an engine should find there, and how.

No rule of the engine is used here. Each fault stands in one table, with what it costs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fake_runner.faults import VOCABULARY
from fake_runner.hosts import derived_uuid
from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.simulation.hosts import FakeHost, apart
from pytest_gpudiscover.simulation.simulating import AVAILABLE_MEMORY

QUICKLY_FATAL = (
    *("exit_early", "signal", "die_mid_response", "answer_then_crash", "port_taken"),
    *("bad_json", "random_bytes", "short_body", "empty_reply", "redirect", "status"),
)
"""Faults that cost a probe its answer at once."""
HANGING = ("never_bind", "accept_silent", "stop_self")
"""Faults that cost a probe its answer at its deadline."""
FATAL = (*QUICKLY_FATAL, *HANGING)
OF_DEVICE = ("crash_deep", "hang_deep", "refuse_deep", "vanish", "crash_enumerate")
"""Faults that cost one device, or all that are listed with it."""
HARMLESS = ("slow_start", "slice", "reorder", "refuse_then_accept", "ignore_sigterm", "grandchild_holds_pipe")
"""Faults that cost nothing."""
FAULTS = (*FATAL, *OF_DEVICE, *HARMLESS)
"""The faults whose cost is known here."""

TRUSTED = "Metal"
PREFERRED = ("CUDA", "ROCm")


@dataclass(frozen=True)
class Truth:
    """A machine at one moment.

    Attributes:
        document: its host file.
        listings: what each variant lists, by the names of the GPUs, in order.
        libraries: the library of each variant.
    """

    document: Mapping[str, Any]
    listings: Mapping[str, tuple[str, ...]]
    libraries: Mapping[str, str]

    @classmethod
    def of(cls, host: FakeHost) -> Truth:
        """The truth about a machine as it is now."""
        document = apart(host).document
        variants = document.get("variant", {})
        return cls(
            document,
            {name: tuple(map(_gpu, table.get("devices", ()))) for name, table in variants.items()},
            {name: table["library"] for name, table in variants.items()},
        )

    def gpu(self, name: str) -> Mapping[str, Any]:
        """The figures of a GPU.

        Raises:
            KeyError: there is none of that name.
        """
        figures: Mapping[str, Any] = {table["name"]: table for table in self.document["gpu"]}[name]
        return figures

    def has(self, name: str) -> bool:
        """Whether there is a GPU of this name."""
        return any(table["name"] == name for table in self.document["gpu"])

    def at(self, device: DeviceInfo) -> str | None:
        """The GPU behind a device that was found on this machine; None when there is none.

        The library's own name for it (`CUDA0`), which no rule looks at, ends with its place.
        """
        listed = self.listings.get(device.variant, ())
        place = device.name.removeprefix(device.library)
        return listed[int(place)] if place.isdigit() and int(place) < len(listed) else None

    def known_by(self, id: str, pci_id: str) -> str | None:  # noqa: A002 - it is one
        """The GPU with this PCI id, or where that is missing, with this UUID."""
        for table in self.document["gpu"]:
            uuid = not id.isdigit() and derived_uuid(table["name"]).endswith(id)
            if table["pci_id"] == pci_id and (pci_id or uuid):
                return str(table["name"])
        return None

    def strikes(self, name: str, phase: str, variant: str, gpu: str | None = None) -> bool:
        """Whether a fault of this name strikes the probes of a variant in a phase.

        Args:
            name: the fault.
            phase: of the probe.
            variant: of the probe.
            gpu: the one that the fault has to be about; None: it is about none in particular.
        """
        return any(
            fault["name"] == name
            and phase in _several(fault.get("phase", VOCABULARY[name].phases))
            and variant in _several(fault.get("variant", tuple(self.listings)))
            and fault.get("device") == gpu
            for fault in self.document.get("fault", ())
        )

    def answers(self, phase: str, variant: str) -> bool:
        """Whether a probe of a variant gets an answer, whatever is in it."""
        return not any(self.strikes(name, phase, variant) for name in FATAL)

    def hangs(self, phase: str) -> bool:
        """Whether some probe of a phase runs into its deadline."""
        return any(self.strikes(name, phase, variant) for name in HANGING for variant in self.listings)

    def lists(self, variant: str) -> tuple[str, ...]:
        """The GPUs that a variant's enumeration brings."""
        listed = self.listings[variant]
        down = any(self.strikes("crash_enumerate", "enumerate", variant, gpu) for gpu in listed)
        return listed if self.answers("enumerate", variant) and not down else ()

    def passes(self, variant: str, gpu: str) -> bool:
        """Whether a listed GPU passes its verification."""
        if self.libraries[variant] == TRUSTED:
            return True
        spoilt = ("crash_deep", "hang_deep", "refuse_deep", "vanish")
        return self.answers("verify", variant) and not any(
            self.strikes(name, "verify", variant, gpu) for name in spoilt
        )

    def usable(self) -> Iterator[tuple[str, str, str]]:
        """Each GPU, library and variant that work together."""
        for variant in self.listings:
            for gpu in self.lists(variant):
                if self.passes(variant, gpu):
                    yield gpu, self.libraries[variant], variant

    def expected(self) -> Counter[tuple[str, str]]:
        """The GPUs that an engine should find, each with its library, and how often.

        Once each. Without a PCI id nobody can tell that two libraries mean the same GPU; with one, CUDA and
        ROCm come before the rest.
        """
        working: dict[str, list[str]] = {}
        for gpu, library, _ in self.usable():
            libraries = working.setdefault(gpu, [])
            if library not in libraries:
                libraries.append(library)
        return Counter(
            (gpu, library)
            for gpu, libraries in working.items()
            for library in (libraries if not self.gpu(gpu)["pci_id"] else [_best(libraries)])
        )

    def free_memory(self, gpu: str, library: str) -> int:
        """The bytes that are free on a GPU, as a library should say it after a discovery."""
        figures = self.gpu(gpu)
        shared = figures["integrated"] and library == "CUDA"
        return AVAILABLE_MEMORY if shared else int(figures["free_memory"])


def _best(libraries: list[str]) -> str:
    return next((library for library in libraries if library in PREFERRED), libraries[-1])


def _gpu(listed: str | Mapping[str, Any]) -> str:
    return listed if isinstance(listed, str) else listed["gpu"]


def _several(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
