"""A runner's answer: bytes in, devices and rejections out.

The format is what Ollama's runner sends for `GET /info` (docs/wire.md). Reading it is strict about types and
ranges, matches keys without case, ignores keys it does not know, and one bad device never costs the good ones
beside it. Nothing here raises for what a runner sent.

Pure: no I/O here, but for one warning in the log.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.reports import Phase, Reason, Rejection
from pytest_gpudiscover.text import printable

logger = logging.getLogger(__name__)

MAX_DEVICES = 256
"""An answer with more devices than this is refused as a whole."""
MAX_ID_LENGTH = 128
"""Characters. An id goes into an environment variable, so it is short, and free of commas and blanks."""

_MAX_DIGITS = 20  # of 2^64; longer ones are not even converted
_MAX_PROBLEMS = 5  # named in one refusal: a runner must not fill a terminal
_SMALL_INTEGERS = range(-(2**31), 2**31)
_SIZES = range(2**64)
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
    except _RefusedError as refusal:
        return Answer((_whole(str(refusal)),))
    return Answer(tuple([_believed(entry) for entry in answer.entries]))


# One machine says the same again and again, to each probe and through each variant. No refusal is remembered:
# it may be of the moment, when little is left of the stack.
@lru_cache(maxsize=64)
def _often_read(body: bytes) -> Answer:
    return _read(body)


def _read(body: bytes) -> Answer:
    entries = _entries(body)
    return Answer(tuple(_entry(value) for value in entries))


class _RefusedError(Exception):
    """Why a value, or a whole body, is not taken; its text is a sentence."""


class _Object:
    """A JSON object with its pairs as they came: repeated keys must not disappear."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


class _HugeInteger:
    """An integer too long to convert; whoever wanted a number refuses it."""


def _whole(detail: str) -> Rejection:
    return Rejection(phase=Phase.ENUMERATE, reason=Reason.BAD_ANSWER, detail=detail)


def _entries(body: bytes) -> list[Any]:
    try:
        text = body.decode("utf-8")
        value = _DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise _RefusedError(f"the answer is not UTF-8: byte {error.start} cannot be read") from error
    except RecursionError as error:
        raise _RefusedError("the answer nests deeper than any list of devices") from error
    except ValueError as error:
        raise _RefusedError(f"the answer is not JSON: {printable(str(error))}") from error
    if not isinstance(value, list):
        raise _RefusedError(f"expected a list of devices, got {_kind(value)}")
    if len(value) > MAX_DEVICES:
        raise _RefusedError(
            f"the answer lists {len(value)} devices; more than {MAX_DEVICES} are not believed"
        )
    return value


def _integer(text: str) -> int | _HugeInteger:
    return int(text) if len(text.lstrip("-")) <= _MAX_DIGITS else _HugeInteger()


def _real(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise _RefusedError(f"the answer holds a number that is too large: {printable(text, 40)}")
    return number


def _constant(text: str) -> float:
    raise _RefusedError(f"the answer is not JSON: it holds {text}")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Object, parse_int=_integer, parse_float=_real, parse_constant=_constant
)


def _kind(value: object) -> str:
    """Name a JSON value for a sentence; what it holds is not repeated."""
    kinds: dict[type, str] = {
        bool: "a boolean",
        dict: "an object",
        _Object: "an object",
        float: "a fraction",
        int: "an integer",
        list: "a list",
        _HugeInteger: "an integer of more than 20 digits",
        str: "a string",
        type(None): "null",
    }
    return kinds[type(value)]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _RefusedError(f"a string was expected, got {_kind(value)}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _RefusedError("a string holds half a surrogate pair") from error
    return value


def _identifier(value: object) -> str:
    text = _text(value)
    if not text or len(text) > MAX_ID_LENGTH:
        raise _RefusedError(f"an id of 1 to {MAX_ID_LENGTH} characters was expected, got {len(text)}")
    # Of all blanks only the space is printable.
    if not text.isprintable() or any(char in text for char in " ,="):
        raise _RefusedError(f"an id must fit into a mask, and {printable(text)!r} does not")
    return text


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise _RefusedError(f"true or false was expected, got {_kind(value)}")
    return value


def _whole_number(value: object, allowed: range) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _RefusedError(f"an integer was expected, got {_kind(value)}")
    if value not in allowed:
        raise _RefusedError(f"{value} is out of range: {allowed.start} to {allowed.stop - 1} was expected")
    return value


def _size(value: object) -> int:
    return _whole_number(value, _SIZES)


def _small(value: object) -> int:
    return _whole_number(value, _SMALL_INTEGERS)


def _position(value: object) -> int:
    return _whole_number(value, range(2**31))


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _RefusedError(f"a list of strings was expected, got {_kind(value)}")
    return tuple(_text(item) for item in value)


_Reader = Callable[[object], Any]
_FIELDS: dict[str, tuple[str, _Reader]] = {
    # on the wire, lower case: (in DeviceInfo, how it is read)
    "id": ("id", _identifier),
    "backend": ("library", _text),
    "name": ("name", _text),
    "description": ("description", _text),
    "filtered_id": ("filtered_id", _text),
    "filter_id": ("filtered_id", _text),
    "integration": ("integrated", _flag),
    "pci_id": ("pci_id", _text),
    "total_memory": ("total_memory", _size),
    "free_memory": ("free_memory", _size),
    "computemajor": ("compute_major", _small),
    "computeminor": ("compute_minor", _small),
    "driver_major": ("driver_major", _small),
    "driver_minor": ("driver_minor", _small),
    "librarypath": ("library_path", _texts),
    "gfx_target": ("gfx_target", _text),
    "index": ("index", _position),
}


def _entry(value: object) -> DeviceInfo | Rejection:
    if not isinstance(value, _Object):
        return _refusal(DeviceInfo(id="", library=""), f"a device must be an object, got {_kind(value)}")
    fields, problems = _fields(value)
    device = DeviceInfo(**({"id": "", "library": ""} | fields))
    if problems:
        return _refusal(device, _in_one_sentence(problems))
    if not device.id:
        return _refusal(device, "id: missing")
    return _unusable(value, device) or device


def _in_one_sentence(problems: list[str]) -> str:
    more = [f"and {len(problems) - _MAX_PROBLEMS} more"] if len(problems) > _MAX_PROBLEMS else []
    return "; ".join(problems[:_MAX_PROBLEMS] + more)


def _refusal(device: DeviceInfo, detail: str) -> Rejection:
    return Rejection.of(device, Phase.ENUMERATE, Reason.BAD_DEVICE, detail)


def _fields(entry: _Object) -> tuple[dict[str, Any], list[str]]:
    """Read what can be read, and say of the rest why not, so that a refused device can still be named."""
    fields: dict[str, Any] = {}
    problems = [f"{printable(key, 40)}: given twice" for key in _repeated(entry)]
    for key, value in entry.pairs:
        attribute, read = _FIELDS.get(key.lower(), (None, _text))
        if attribute is None:
            continue
        try:
            fields[attribute] = read(value)
        except _RefusedError as refusal:
            problems.append(f"{key}: {refusal}")
    return fields, problems


def _repeated(entry: _Object) -> Iterator[str]:
    seen: set[str] = set()
    for key, _ in entry.pairs:
        name = key.lower()
        if name in seen:
            yield key
        seen.add(name)


def _unusable(entry: _Object, device: DeviceInfo) -> Rejection | None:
    """The runner's own word that a device is there but not for use."""
    verdict = next((value for key, value in entry.pairs if key.lower() == "unusable"), None)
    if verdict is None:
        return None
    if not isinstance(verdict, _Object):
        return _refusal(
            device, f"unusable: an object with reason and detail was expected, got {_kind(verdict)}"
        )
    repeated = next(_repeated(verdict), None)
    if repeated is not None:
        return _refusal(device, f"unusable: {printable(repeated, 40)}: given twice")
    words = {key.lower(): value for key, value in verdict.pairs}
    try:
        reason, detail = _text(words.get("reason", "")), _text(words.get("detail", ""))
    except _RefusedError as refusal:
        return _refusal(device, f"unusable: {refusal}")
    known = reason == Reason.CPU
    return Rejection.of(
        device,
        Phase.ENUMERATE,
        Reason.CPU if known else Reason.UNUSABLE,
        printable(detail or reason or "the runner says so, and not why"),
    )


def _believed(device: DeviceInfo | Rejection) -> DeviceInfo | Rejection:
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
