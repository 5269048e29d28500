"""Masks in force: what each shows, and which of its entries name nothing.

How each library reads its mask is `pytest_gpudiscover.masks`' business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from pytest_gpudiscover.devices import is_number
from pytest_gpudiscover.doctor.facts import AMD, INTEL, NVIDIA, Machine
from pytest_gpudiscover.doctor.findings import Finding, Name, Severity, Topic
from pytest_gpudiscover.masks import CUDA, HIP, LEVEL_ZERO, ROCR, VULKAN, UserMasks
from pytest_gpudiscover.text import count, printable

_finding = partial(Finding, topic=Topic.MASKS)

_LIBRARIES = {CUDA: "CUDA", ROCR: "ROCm", HIP: "ROCm", VULKAN: "Vulkan", LEVEL_ZERO: "Level Zero"}
_VENDORS = {CUDA: NVIDIA, ROCR: AMD, HIP: AMD, LEVEL_ZERO: INTEL}


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """One mask, as its library reads it.

    Attributes:
        variable: its name.
        value: as it was set.
        read: the entries that the library takes, in order.
        unread: the entry that ends the list, and those behind it.
        known: how many devices there are to name; None: nobody knows.
        nameless: the first entry read that names no device; None for none.
    """

    variable: str
    value: str
    read: tuple[str, ...]
    unread: tuple[str, ...]
    known: int | None
    nameless: str | None

    @property
    def shown(self) -> tuple[str, ...]:
        """What it shows: a list ends at the first entry that names nothing."""
        return self.read if self.nameless is None else self.read[: self.read.index(self.nameless)]

    @property
    def setting(self) -> str:
        """How it was set."""
        return f"{self.variable}={printable(self.value) or repr('')}"

    @property
    def library(self) -> str:
        """Whose devices it masks."""
        return _LIBRARIES[self.variable]


def about_masks(machine: Machine) -> Iterator[Finding]:
    """What every mask shows and hides."""
    names = [name for name in _LIBRARIES if name in machine.variables]
    for name in names:
        reading = _reading(name, machine)
        if reading is None:
            yield _without_effect(name, machine)
            continue
        yield _in_force(reading, machine) if reading.shown else _hides_all(reading, machine)
        yield from _unread(reading)
        yield from _nameless(reading)
    if not names:
        came = "no mask is set: the libraries show every device"
        yield _finding(name=Name.NO_MASK, severity=Severity.OK, came=came)


def _reading(variable: str, machine: Machine) -> _Reading | None:
    """Read a mask; None: its library takes it for none, as HIP an empty one, or Windows' that of ROCr."""
    value = machine.variables[variable]
    read = UserMasks.read({variable: value}, machine.system).tokens.get(_LIBRARIES[variable])
    if read is None:
        return None
    known, uuids = _devices(variable, machine)
    nameless = next((entry for entry in read if _names_nothing(entry, known, uuids)), None)
    return _Reading(
        variable=variable,
        value=value,
        read=read,
        unread=_behind(variable, value, read),
        known=known,
        nameless=nameless,
    )


def _behind(variable: str, value: str, read: Sequence[str]) -> tuple[str, ...]:
    """The entries from that which ends the list; Level Zero passes over what it cannot read, in any order."""
    if variable == LEVEL_ZERO:
        return ()
    written = _written(variable, value)
    taken, unread = written[: len(read)], written[len(read) :]
    if variable == VULKAN and unread and taken and not is_number(taken[-1].removeprefix("+")):
        # Ggml takes the number that an entry begins with, and reads no further.
        return (taken[-1], *unread)
    return unread


def _written(variable: str, value: str) -> tuple[str, ...]:
    """The entries as they were written; HIP passes over those that it has already."""
    text = value.replace(",", " ").split() if variable == VULKAN else value.strip(",").split(",")
    entries = [entry.strip() for entry in text]
    return tuple(dict.fromkeys(entries)) if variable == HIP else tuple(entries)


def _devices(variable: str, machine: Machine) -> tuple[int | None, tuple[str, ...]]:
    """How many devices a mask can name, and their UUIDs; None and none where nobody knows."""
    if variable in (VULKAN, LEVEL_ZERO):  # of which the system does not tell how many there are
        return None, ()
    if variable == HIP and ROCR in machine.variables:
        # HIP counts within what ROCr left.
        left = UserMasks.read({ROCR: machine.variables[ROCR]}, machine.system).tokens.get("ROCm")
        return (None if left is None else len(left)), ()
    uuids = machine.rocm if variable in (ROCR, HIP) else _of_nvidia(machine)
    passed = [node for node in machine.nodes if node.path.removeprefix("/dev/nvidia").isdigit()]
    number = len(passed) if variable == CUDA and passed else len(uuids)
    return (number or None), tuple(uuid.upper() for uuid in uuids) if all(uuids) else ()


def _of_nvidia(machine: Machine) -> tuple[str, ...]:
    return tuple(card.uuid for card in machine.cards_of(NVIDIA) if card.served)


def _names_nothing(entry: str, known: int | None, uuids: Sequence[str]) -> bool:
    if is_number(entry):
        return known is not None and int(entry) >= known
    if not uuids or not entry.upper().startswith("GPU-"):
        return False
    return not any(uuid.startswith(entry.upper()) for uuid in uuids)


def _without_effect(variable: str, machine: Machine) -> Finding:
    value = printable(machine.variables[variable]) or repr("")
    came = f"{variable}={value} masks nothing here: {_LIBRARIES[variable]} takes it for not set"
    return _finding(name=Name.MASK_SET, severity=Severity.NOTE, came=came)


def _in_force(reading: _Reading, machine: Machine) -> Finding:
    shown = ", ".join(printable(entry) for entry in reading.shown)
    hip = reading.variable == CUDA and HIP not in machine.variables and machine.has_gpu_of(AMD)
    also = " (and of HIP's, which reads it too)" if hip else ""
    return _finding(
        name=Name.MASK_SET,
        severity=Severity.NOTE,
        came=f"{reading.setting} shows {shown} of {reading.library}'s devices{also} and hides the others",
    )


def _hides_all(reading: _Reading, machine: Machine) -> Finding:
    vendor = _VENDORS.get(reading.variable)
    concerned = machine.has_gpu_of(vendor) if vendor else machine.has_gpu
    return _finding(
        name=Name.MASK_HIDES_ALL,
        severity=Severity.PROBLEM if concerned or (machine.wsl and machine.has_gpu) else Severity.NOTE,
        came=f"{reading.setting} hides every device of {reading.library}",
        expected="the devices to use, or no such variable",
        next_step="take it out of the environment, unless it is meant to hide them",
        command=f"unset {reading.variable}",
    )


def _unread(reading: _Reading) -> Iterator[Finding]:
    if not (reading.read and reading.unread):
        return
    first, *behind = (printable(entry) for entry in reading.unread)
    lost = f", so that {', '.join(behind)} behind it is not read" if behind else ""
    yield _finding(
        name=Name.MASK_ENTRY_UNREAD,
        severity=Severity.WARNING,
        came=f"{first!r} ends the list of {reading.variable}{lost}",
        expected="entries that name devices, each once, separated by commas",
        next_step="correct it",
    )


def _nameless(reading: _Reading) -> Iterator[Finding]:
    if reading.nameless is None:
        return
    there = "is none of them" if reading.known is None else f"{_there_are(reading.known)} to name"
    behind = reading.read[reading.read.index(reading.nameless) + 1 :]
    lost = f"; it hides {', '.join(map(printable, behind))} behind it, too" if behind else ""
    yield _finding(
        name=Name.MASK_ENTRY_NAMES_NOTHING,
        severity=Severity.WARNING,
        came=f"{printable(reading.nameless)!r} in {reading.variable} names nothing: {there}{lost}",
        expected="entries that name devices",
        next_step="correct it; gpudiscover list, without the variable, shows what can be named",
    )


def _there_are(number: int) -> str:
    return f"there {'is' if number == 1 else 'are'} {count(number, 'GPU')}"
