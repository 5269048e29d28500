"""A runner's answer: bytes in, devices and rejections out.

The format is what Ollama's runner sends for `GET /info` (docs/wire.md). Reading it is strict about types and
ranges, matches keys without case, ignores keys it does not know, and one bad device never costs the good ones
beside it. Nothing here raises for what a runner sent.

Pure: no I/O here, but for one warning in the log.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.reports import Phase, Reason, Rejection
from pytest_gpudiscover.strict_json import (
    Object,
    Reader,
    RefusedError,
    decoded,
    in_one_sentence,
    kind,
    read_fields,
    read_flag,
    read_integer,
    read_size,
    read_small_integer,
    read_text,
    read_texts,
    repeated_keys,
)
from pytest_gpudiscover.text import printable

logger = logging.getLogger(__name__)

MAX_DEVICES = 256
"""An answer with more devices than this is refused as a whole."""
MAX_ID_LENGTH = 128
"""Characters. An id goes into an environment variable, so it is short, and free of commas and blanks."""

_SHORT = 1 << 14
"""Bytes of an answer that is worth remembering: some twenty devices."""


@dataclass(frozen=True)
class Answer:
    """One runner's answer, entry by entry, in its order: a device, or the rejection of one.

    An answer that was refused as a whole has one entry: a rejection without a device.
    """

    entries: tuple[DeviceInfo | Rejection, ...] = ()

    @property
    def devices(self) -> tuple[DeviceInfo, ...]:
        """The good entries."""
        return tuple(entry for entry in self.entries if isinstance(entry, DeviceInfo))

    @property
    def rejections(self) -> tuple[Rejection, ...]:
        """The refused entries."""
        return tuple(entry for entry in self.entries if isinstance(entry, Rejection))

    @property
    def refused(self) -> Rejection | None:
        """Why the whole answer was refused, if it was."""
        return next((rejection for rejection in self.rejections if rejection.device is None), None)

    def of_variant(self, variant: str, phase: Phase) -> Answer:
        """The same answer, its entries marked with the variant that was probed and the phase it served."""
        return Answer(tuple(_marked(entry, variant, phase) for entry in self.entries))


def _marked(entry: DeviceInfo | Rejection, variant: str, phase: Phase) -> DeviceInfo | Rejection:
    if isinstance(entry, DeviceInfo):
        return _marked_device(entry, variant)
    device = replace(entry.device, variant=variant) if entry.device else None
    return replace(entry, variant=variant, phase=phase, device=device)


@lru_cache(maxsize=256)
def _marked_device(device: DeviceInfo, variant: str) -> DeviceInfo:
    return replace(device, variant=variant)


def parse_devices(body: bytes) -> tuple[tuple[DeviceInfo, ...], tuple[Rejection, ...]]:
    """Turn an answer into devices and rejections; never raises, whatever the bytes.

    A body that is refused as a whole gives no device and one rejection without a device.
    """
    answer = parse_answer(body)
    return answer.devices, answer.rejections


def parse_answer(body: bytes) -> Answer:
    """Like `parse_devices`, with the order of good and refused entries kept."""
    try:
        answer = _often_read(body) if len(body) <= _SHORT else _read(body)
    except RefusedError as refusal:
        return Answer((refused_whole(str(refusal)),))
    return Answer(tuple([believed(entry) for entry in answer.entries]))


# One machine says the same again and again, to each probe and through each variant. No refusal is remembered:
# it may be of the moment, when little is left of the stack.
@lru_cache(maxsize=64)
def _often_read(body: bytes) -> Answer:
    return _read(body)


def _read(body: bytes) -> Answer:
    entries = _entries(body)
    return Answer(tuple(_entry(value) for value in entries))


def refused_whole(detail: str) -> Rejection:
    """The rejection of a whole answer."""
    return Rejection(phase=Phase.ENUMERATE, reason=Reason.BAD_ANSWER, detail=detail)


def _entries(body: bytes) -> list[Any]:
    return checked_list(decoded(body))


def checked_list(value: object) -> list[Any]:
    """Take a list of no more devices than are believed.

    Raises:
        RefusedError: it is something else, or longer.
    """
    if not isinstance(value, list):
        raise RefusedError(f"expected a list of devices, got {kind(value)}")
    if len(value) > MAX_DEVICES:
        raise RefusedError(f"the answer lists {len(value)} devices; more than {MAX_DEVICES} are not believed")
    return value


def read_identifier(value: object) -> str:
    """A text that fits into a mask."""
    text = read_text(value)
    if not text or len(text) > MAX_ID_LENGTH:
        raise RefusedError(f"an id of 1 to {MAX_ID_LENGTH} characters was expected, got {len(text)}")
    # Of all blanks only the space is printable.
    if not text.isprintable() or any(char in text for char in " ,="):
        raise RefusedError(f"an id must fit into a mask, and {printable(text)!r} does not")
    return text


def read_position(value: object) -> int:
    """A place in a list, from 0."""
    return read_integer(value, range(2**31))


_FIELDS: dict[str, tuple[str, Reader]] = {
    # on the wire, lower case: (in DeviceInfo, how it is read)
    "id": ("id", read_identifier),
    "backend": ("library", read_text),
    "name": ("name", read_text),
    "description": ("description", read_text),
    "filtered_id": ("filtered_id", read_text),
    "filter_id": ("filtered_id", read_text),
    "integration": ("integrated", read_flag),
    "pci_id": ("pci_id", read_text),
    "total_memory": ("total_memory", read_size),
    "free_memory": ("free_memory", read_size),
    "computemajor": ("compute_major", read_small_integer),
    "computeminor": ("compute_minor", read_small_integer),
    "driver_major": ("driver_major", read_small_integer),
    "driver_minor": ("driver_minor", read_small_integer),
    "librarypath": ("library_path", read_texts),
    "gfx_target": ("gfx_target", read_text),
    "index": ("index", read_position),
}


def _entry(value: object) -> DeviceInfo | Rejection:
    if not isinstance(value, Object):
        return refused_entry(DeviceInfo(id="", library=""), f"a device must be an object, got {kind(value)}")
    fields, problems = read_fields(value, _FIELDS)
    device = DeviceInfo(**({"id": "", "library": ""} | fields))
    if problems:
        return refused_entry(device, in_one_sentence(problems))
    if not device.id:
        return refused_entry(device, "id: missing")
    return _unusable(value, device) or device


def refused_entry(device: DeviceInfo, detail: str) -> Rejection:
    """The rejection of one entry, as far as its device could be read."""
    return Rejection.of(device, Phase.ENUMERATE, Reason.BAD_DEVICE, detail)


def _unusable(entry: Object, device: DeviceInfo) -> Rejection | None:
    """The runner's own word that a device is there but not for use."""
    verdict = next((value for key, value in entry.pairs if key.lower() == "unusable"), None)
    if verdict is None:
        return None
    if not isinstance(verdict, Object):
        return refused_entry(
            device, f"unusable: an object with reason and detail was expected, got {kind(verdict)}"
        )
    repeated = next(repeated_keys(verdict), None)
    if repeated is not None:
        return refused_entry(device, f"unusable: {printable(repeated, 40)}: given twice")
    words = {key.lower(): value for key, value in verdict.pairs}
    try:
        reason, detail = read_text(words.get("reason", "")), read_text(words.get("detail", ""))
    except RefusedError as refusal:
        return refused_entry(device, f"unusable: {refusal}")
    known = reason == Reason.CPU
    return Rejection.of(
        device,
        Phase.ENUMERATE,
        Reason.CPU if known else Reason.UNUSABLE,
        printable(detail or reason or "the runner says so, and not why"),
    )


def believed(device: DeviceInfo | Rejection) -> DeviceInfo | Rejection:
    """Take no device without memory, and no more free memory than there is."""
    if isinstance(device, Rejection):
        return device
    if device.total_memory == 0:
        detail = "it reports no memory at all, so it is no device that could be used"
        return Rejection.of(device, Phase.ENUMERATE, Reason.NO_MEMORY, detail)
    if device.free_memory > device.total_memory:
        logger.warning(
            "%s %s reports more free memory (%d bytes) than it has (%d): taken as all free",
            printable(device.library),
            device.id,
            device.free_memory,
            device.total_memory,
        )
        return replace(device, free_memory=device.total_memory)
    return device
