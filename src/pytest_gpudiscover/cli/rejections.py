"""The rejections of a report, grouped for people. Pure: no terminal here.

What failed comes first, because that is what people look for; that a device is served elsewhere is dull.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pytest_gpudiscover.devices import Comparison, DeviceInfo
from pytest_gpudiscover.masks import mask_token
from pytest_gpudiscover.reports import ProbeRecord, Reason, Rejection, Report
from pytest_gpudiscover.text import printable

_NAME_LIMIT = 160
_SENTENCE_LIMIT = 2000
_WORDS_LIMIT = 300

_SERVED = frozenset({Reason.OVERLAP, Reason.DUPLICATE})
_ABSENT = frozenset({Reason.DRIVER_MISSING, Reason.CPU, Reason.NO_MEMORY})


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One rejection in words: its reason, where it happened, and a sentence.

    Attributes:
        reason: one word of the closed list.
        where: the phase and the variant, as far as they say more than the reason and the subject.
        sentence: why.
    """

    reason: str
    where: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.reason}{f' ({self.where})' if self.where else ''}: {self.sentence}"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The devices or variants that share the same facts.

    Attributes:
        subjects: their names.
        facts: why they were left out.
        usable_through: the variant or the library through which they can be used all the same; "" for none.
    """

    subjects: tuple[str, ...]
    facts: tuple[Fact, ...]
    usable_through: str = ""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rejections of one kind; a dull one may be printed quietly."""

    title: str
    dull: bool
    entries: tuple[Entry, ...]


def groups(report: Report) -> list[Group]:
    """Sort what was left out by what it means to people; kinds without a rejection are missing."""
    served = [rejection for rejection in report.rejected if rejection.reason in _SERVED]
    absent = [rejection for rejection in report.rejected if rejection.reason in _ABSENT]
    failed = [rejection for rejection in report.rejected if rejection.reason not in _SERVED | _ABSENT]
    found = [
        Group(title="Failed", dull=False, entries=_entries(failed, report)),
        Group(title="No GPU there", dull=True, entries=_entries(absent, report)),
        Group(title="Served another way", dull=True, entries=_entries(served, report, told=True)),
    ]
    return [group for group in found if group.entries]


def _entries(rejections: Iterable[Rejection], report: Report, *, told: bool = False) -> tuple[Entry, ...]:
    """One entry for each device or variant; those with the same facts share one.

    Args:
        rejections: of one kind.
        report: where they come from.
        told: whether the sentences say by themselves how the device can be used.
    """
    facts: dict[tuple[str, str], list[Fact]] = {}
    for rejection in rejections:
        other_way = "" if told else _other_way(rejection, report.devices)
        facts.setdefault((subject(rejection), other_way), []).append(_fact(rejection, report.probes))
    shared: dict[tuple[str, tuple[Fact, ...]], list[str]] = {}
    for (name, other_way), own in facts.items():
        shared.setdefault((other_way, tuple(own)), []).append(name)
    entries = (
        Entry(subjects=tuple(names), facts=own, usable_through=other_way)
        for (other_way, own), names in shared.items()
    )
    # What is lost comes first.
    return tuple(sorted(entries, key=lambda entry: entry.usable_through != ""))


def subject(rejection: Rejection) -> str:
    """Name what was left out: a device by library, id and product name, or a whole variant."""
    device = rejection.device
    if device is None:
        return f"variant {printable(rejection.variant, _NAME_LIMIT)}" if rejection.variant else "the runner"
    identity = " ".join(printable(part, _NAME_LIMIT) for part in (device.library, device.id) if part)
    product = printable(device.description or device.name, _NAME_LIMIT)
    return ", ".join(part for part in (identity or "a device without an id", product) if part)


def _fact(rejection: Rejection, probes: Iterable[ProbeRecord]) -> Fact:
    variant = rejection.variant if rejection.device else ""
    phase = str(rejection.phase) if str(rejection.phase) != str(rejection.reason) else ""
    sentence = printable(rejection.detail, _SENTENCE_LIMIT)
    words = next((words for words in _last_words(rejection, probes) if words not in sentence), "")
    return Fact(
        reason=str(rejection.reason),
        where=", ".join(part for part in (phase, printable(variant, _NAME_LIMIT)) if part),
        sentence=f"{sentence}; it said: {words}" if words else sentence,
    )


def _last_words(rejection: Rejection, probes: Iterable[ProbeRecord]) -> Iterator[str]:
    """The last line on stderr of the runner whose failure this rejection is."""
    token = mask_token(rejection.device) if rejection.device else None
    for probe in probes:
        same = (probe.phase, probe.variant, probe.outcome) == (
            rejection.phase,
            rejection.variant,
            rejection.reason,
        )
        lines = probe.stderr.strip().splitlines()
        if same and lines and (token is None or token in probe.mask.values()):
            yield printable(lines[-1].strip(), _WORDS_LIMIT)


def _other_way(rejection: Rejection, devices: Iterable[DeviceInfo]) -> str:
    """Name the variant, or else the library, through which a rejected device can be used all the same."""
    if rejection.device is None:
        return ""
    for device in devices:
        if rejection.device.compare(device) is not Comparison.UNIQUE:
            return printable(device.variant or device.library, _NAME_LIMIT)
    return ""
