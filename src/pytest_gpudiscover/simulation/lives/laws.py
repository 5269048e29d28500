"""What must hold of whatever an engine says, held against the truth about the machine.

Each law is a generator of the ways in which it is broken, in words. None uses a rule of the engine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_gpudiscover.devices import DeviceID, DeviceInfo
from pytest_gpudiscover.reports import Rejection, Report
from pytest_gpudiscover.simulation.lives.truth import TRUSTED, Truth


class BrokenLawError(AssertionError):
    """An engine said what is not so, or left something behind.

    Attributes:
        offence: what, in words.
    """

    def __init__(self, offence: str) -> None:
        super().__init__(offence)
        self.offence = offence


@dataclass(kw_only=True)
class Asked:
    """What is asked of an engine, and what becomes of the machine meanwhile.

    Attributes:
        truths: what is true of the machine, at first and after each change.
        kills: how many runners are killed.
    """

    truths: list[Truth]
    kills: int = 0

    @property
    def undisturbed(self) -> bool:
        """Whether the machine has stayed what it was."""
        return len(self.truths) == 1

    @property
    def now(self) -> Truth:
        """What is true."""
        return self.truths[-1]

    def behind(self, device: DeviceInfo) -> str | None:
        """The GPU behind a device that was found; None where nobody can say."""
        if self.undisturbed:
            return self.now.at(device)
        known = (truth.known_by(device.id, device.pci_id) for truth in self.truths)
        return next((gpu for gpu in known if gpu), None)


@dataclass(frozen=True, kw_only=True)
class Known:
    """What an engine knows from its last bootstrap.

    Attributes:
        bootstrapped: the devices as the bootstrap has found them.
        devices: the same with what refreshes have found since.
        gpus: the GPU behind each, by name; one is missing where nobody can say.
        truth: what was true of the machine then; None when it was changed meanwhile.
    """

    bootstrapped: tuple[DeviceInfo, ...]
    devices: tuple[DeviceInfo, ...]
    gpus: Mapping[DeviceID, str]
    truth: Truth | None

    def moved(self, variant: str, truth: Truth) -> bool:
        """Whether a variant may list other GPUs than then, so that positions mean others."""
        return self.truth is None or truth.listings.get(variant) != self.truth.listings.get(variant)


def well_formed(report: Report) -> Iterator[str]:
    """No two devices share an id, no figure is impossible, and time only goes on."""
    names = Counter(device.device_id for device in report.devices)
    yield from (f"{name} names {n} devices" for name, n in names.items() if n > 1)
    for device in report.devices:
        if not 0 <= device.free_memory <= device.total_memory:
            yield f"{device.id} has {device.free_memory} of {device.total_memory} bytes free"
    for probe in report.probes:
        moments = [0.0, probe.started, probe.ready, probe.ended, report.duration]
        passed = [moment for moment in moments if moment is not None]
        if passed != sorted(passed):
            yield f"the {probe.phase} probe of {probe.variant!r} ran against time: {passed}"
    for rejection in report.rejected:
        if not rejection.detail:
            yield f"no word on why {rejection.variant!r} {rejection.id} was rejected"


def of_bootstrap(asked: Asked, report: Report) -> Iterator[str]:
    """Each GPU that works is found, once, through the right library; nothing else is; figures are true.

    Where the machine was changed meanwhile, whatever is found was there. Where a runner was killed, what is
    found works, and what works may be missing.
    """
    truth, working = asked.now, set(asked.now.usable())
    found = [(asked.behind(device), device) for device in report.devices]
    for gpu, device in found:
        if gpu is None:
            if asked.undisturbed or device.pci_id:
                yield f"{device.library} {device.id} was found and was never there"
        elif asked.undisturbed and (gpu, device.library, device.variant) not in working:
            yield f"{device.library} {device.id} does not work with {device.variant!r}, and was found"
        elif asked.undisturbed and device.free_memory != truth.free_memory(gpu, device.library):
            yield f"{device.library} {device.id} has not {device.free_memory} bytes free"
    expected, counted = truth.expected(), Counter((gpu, device.library) for gpu, device in found)
    if asked.kills or not asked.undisturbed:
        yield from (
            f"{gpu} was found {n} times by {lib}" for (gpu, lib), n in counted.items() if gpu and n > 1
        )
    elif expected != counted:
        yield f"expected {_in_words(expected)}; found {_in_words(counted)}"
    else:
        yield from _accounted_for(truth, report)


def _accounted_for(truth: Truth, report: Report) -> Iterator[str]:
    """Whatever is listed is kept or rejected."""
    listed = sum(len(truth.lists(variant)) for variant in truth.listings)
    rejected = sum(rejection.device is not None for rejection in report.rejected)
    if listed != len(report.devices) + rejected:
        yield f"{listed} were listed, {len(report.devices)} kept and {rejected} rejected"


def of_refresh(asked: Asked, known: Known, devices: Sequence[DeviceInfo]) -> Iterator[str]:
    """The devices stay what they are; a figure is the true one of that very GPU, or the old one and stale."""
    before = [replace(device, free_memory=0, stale=False) for device in known.devices]
    after = [replace(device, free_memory=0, stale=False) for device in devices]
    if before != after:
        yield f"a refresh has made {after} of {before}"
        return
    for old, new in zip(known.devices, devices, strict=True):
        if not new.stale:
            yield from _true_figure(asked, known, old, new.free_memory)
        elif new.free_memory != old.free_memory:
            yield f"{old.id} is stale, with {new.free_memory} bytes free instead of {old.free_memory}"
        elif not excused(asked, known, old):
            yield f"{old.id} is stale for no reason"


def of_free_memory(asked: Asked, known: Known, figures: Mapping[DeviceID, int]) -> Iterator[str]:
    """A figure is the true one of that very GPU; it is missing only for a reason."""
    for device in known.devices:
        if device.device_id in figures:
            yield from _true_figure(asked, known, device, figures[device.device_id])
        elif not excused(asked, known, device):
            yield f"the free memory of {device.id} is not told for no reason"


def _true_figure(asked: Asked, known: Known, device: DeviceInfo, told: int) -> Iterator[str]:
    gpu = known.gpus.get(device.device_id)
    if gpu is None:
        return
    true = {
        truth.free_memory(each, device.library)
        for truth in asked.truths
        for each in {gpu, *_indistinguishable(truth, known, device)}
        if truth.has(each)
    }
    if told not in true:
        yield f"{gpu} has {told} bytes free by what is told, and {true or 'is not there'} in truth"


def _indistinguishable(truth: Truth, known: Known, device: DeviceInfo) -> Iterator[str]:
    """The GPUs that may stand where this device stood, and are like it in all that their library tells."""
    if not device.id.isdigit() or not known.moved(device.variant, truth):
        return
    for gpu in truth.listings.get(device.variant, ()):
        figures = truth.gpu(gpu)
        same = (device.description, device.total_memory) == (figures["description"], figures["total_memory"])
        if same and not (device.pci_id and figures["pci_id"]):
            yield gpu


def excused(asked: Asked, known: Known, device: DeviceInfo) -> bool:
    """Whether something is there that may keep a refresh from a device."""
    return bool(asked.kills) or any(
        known.moved(device.variant, truth)
        or not truth.answers("refresh", device.variant)
        or truth.strikes("vanish", "refresh", device.variant, known.gpus.get(device.device_id))
        or truth.hangs("refresh")  # all probes share one time
        for truth in asked.truths
    )


def of_verification(
    asked: Asked, known: Known, device: DeviceInfo, rejection: Rejection | None
) -> Iterator[str]:
    """A device is well exactly if its GPU is there and works, or one that nobody can tell from it."""
    gpu, truth = known.gpus.get(device.device_id), asked.now
    if gpu is None or not asked.undisturbed or device.library == TRUSTED:
        return
    working = {each for each in truth.listings.get(device.variant, ()) if truth.passes(device.variant, each)}
    works = gpu in working
    if rejection is None and working.isdisjoint({gpu, *_indistinguishable(truth, known, device)}):
        yield f"{gpu} was verified, and does not work with {device.variant!r}"
    if rejection and works and not asked.kills and not known.moved(device.variant, truth):
        yield f"{gpu} works with {device.variant!r}, and was rejected: {rejection.detail}"


def _in_words(found: Counter[Any]) -> str:
    return (
        ", ".join(f"{gpu} by {library}" + f" {n} times" * (n > 1) for (gpu, library), n in found.items())
        or "nothing"
    )
