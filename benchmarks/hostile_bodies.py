"""Answers of runners with something wrong with them: a seed and a number always give the same bytes.

Drawn by plain chance instead of Hypothesis, for speed: nothing here shrinks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from fake_runner.printing import KEYS
from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.gpu_discover import parse_printed
from pytest_gpudiscover.reports import Rejection
from pytest_gpudiscover.simulation import FakeHost
from pytest_gpudiscover.simulation.profiles import PROFILES
from pytest_gpudiscover.strategies import Truth, body_of
from pytest_gpudiscover.wire import Answer, parse_answer

_Pairs = list[tuple[str, str]]
"""A JSON object: keys and values, printed each for itself."""


class UntrueError(Exception):
    """What was read is not what must come out; the text is a sentence."""


@dataclass(frozen=True)
class HostileBody:
    """The bytes of an answer, and what is true of it.

    Attributes:
        content: the bytes.
        entries: how many entries it has; None when nothing is known of it.
        whole: the devices whose entries are as they should be, in order: all of them must come out.
    """

    content: bytes
    entries: int | None = None
    whole: tuple[DeviceInfo, ...] = ()

    def check(self, answer: Answer) -> None:
        """Hold what was read of it against the truth.

        Raises:
            UntrueError: that is not what must come out.
        """
        for entry in answer.entries:
            _check(entry)
        if answer.refused is not None and len(answer.entries) != 1:
            raise UntrueError(f"an answer that is refused as a whole has {len(answer.entries)} entries")
        if self.entries is None:
            return
        if answer.refused is not None or len(answer.entries) != self.entries:
            raise UntrueError(f"expected {self.entries} entries, got {answer.refused or len(answer.entries)}")
        came_out = iter(answer.devices)
        for device in self.whole:
            if device not in came_out:
                raise UntrueError(f"a device that is as it should be did not come out: {device}")


def _check(entry: DeviceInfo | Rejection) -> None:
    if isinstance(entry, DeviceInfo):
        _check_device(entry)
    else:
        _check_rejection(entry)


def _check_device(device: DeviceInfo) -> None:
    good = device.id and 0 <= device.free_memory <= device.total_memory < 2**64 and device.total_memory
    if not good:
        raise UntrueError(f"no device is like that: {device}")


def _check_rejection(rejection: Rejection) -> None:
    if not rejection.detail.isprintable() or not 0 < len(rejection.detail) < 2000:
        raise UntrueError(f"no sentence for a terminal: {rejection.detail[:3000]!r}")
    json.dumps(rejection.to_json(), ensure_ascii=False).encode()


@dataclass(frozen=True)
class Form:
    """What the answers of one kind of runner look like.

    Attributes:
        frame: what stands around the entries.
        keys: the keys of an entry, and some that nobody knows.
        entry: a device as such a runner shows it.
        read_again: the device that must come of that.
        parse: what reads an answer.
    """

    frame: str
    keys: Sequence[str]
    entry: Callable[[DeviceInfo], dict[str, Any]]
    read_again: Callable[[DeviceInfo], DeviceInfo]
    parse: Callable[[bytes], Answer]

    def pairs(self, device: DeviceInfo) -> _Pairs:
        """The entry of a device, key by key."""
        return [(json.dumps(key), json.dumps(value)) for key, value in self.entry(device).items()]


class HostileBodies:
    """As many bodies as anybody asks for, by number.

    Args:
        seed: the same one gives the same bodies.
        form: what answers look like.
    """

    def __init__(self, seed: int, form: Form) -> None:
        self._seed = seed
        self._form = form
        self._listed = tuple((form.read_again(device), form.pairs(device)) for device in _devices())

    def parse(self, content: bytes) -> Answer:
        """Read an answer of this form."""
        return self._form.parse(content)

    def __getitem__(self, number: int) -> HostileBody:
        """The body of that number."""
        chance = self.chance(number)
        share = chance.random()
        if share < 0.01:
            return HostileBody(chance.choice(_NO_ANSWERS)(chance))
        body = self._answer(chance)
        return body if share < 0.65 else HostileBody(_damaged(chance, body.content))

    def chance(self, number: int, *, manner: bool = False) -> Random:
        """The chance that one number has, for its body or for the manner in which it is sent."""
        return Random(self._seed << 64 | number << 1 | manner)  # noqa: S311 - repeatable is what it must be

    def _answer(self, chance: Random) -> HostileBody:
        """An answer that is JSON, apart from a few; something is wrong with some of its entries."""
        count = int(0.8 + chance.expovariate(0.5)) if chance.random() < 0.999 else chance.randrange(200, 300)
        style, comma = chance.choice(_STYLES), chance.choice(_COMMAS)
        printed, whole, is_json = [], [], True
        for device, pairs in chance.choices(self._listed, k=count):
            share = chance.random()
            if share < 0.5:
                printed.append(_object(style(pairs), comma))
                whole.append(device)
            else:
                is_json = is_json and share < 0.98
                odd = _ODD if share < 0.98 else _NO_JSON
                printed.append(_mutated(chance, pairs, self._form.keys, odd, comma))
        content = self._form.frame.format(comma.join(printed)).encode()
        return HostileBody(content, count, tuple(whole)) if is_json and count <= 256 else HostileBody(content)


def _devices() -> list[DeviceInfo]:
    """Every card there is a profile of, as each library lists it."""
    hosts = [FakeHost.of(name) for name in PROFILES] + [FakeHost.of("L4", "L4", "RX 7900 XTX")]
    # As a runner knows them: which variant it is, it does not say.
    return [replace(each.device, variant="") for host in hosts for each in Truth.of(host).listed]


def _served(device: DeviceInfo) -> dict[str, Any]:
    (entry,) = json.loads(body_of([device]))
    return dict(entry)


def _printed(device: DeviceInfo) -> dict[str, Any]:
    known = {KEYS[key]: value for key, value in _served(device).items() if key in KEYS}
    return known | {"index": 0, "index_matches_backend": True}


def _object(pairs: _Pairs, comma: str) -> str:
    return "{" + comma.join([f"{key}:{value}" for key, value in pairs]) + "}"


_COMMAS = (",", ",", " ,\n", "\t,\r\n  ")
_STYLES: Sequence[Callable[[_Pairs], _Pairs]] = (
    list,
    lambda pairs: pairs[::-1],
    lambda pairs: [(key.upper(), value) for key, value in pairs],
    lambda pairs: [('"unknown"', '{"a": [1.5, null]}'), *pairs, ('""', '""')],
)

# What becomes of one entry.

_KEYS = (
    *("id", "backend", "name", "description", "filtered_id", "filter_id", "integration", "pci_id"),
    *("total_memory", "free_memory", "ComputeMajor", "ComputeMinor", "driver_major", "driver_minor"),
    *("LibraryPath", "gfx_target", "index", "unusable", "Unusable", "unknown", ""),
)
_PRINTED_KEYS = (
    *KEYS.values(),
    *(
        "index",
        "index_matches_backend",
        "integrated_known",
        "nvidia_driver_major",
        "gfx_target",
        "unknown",
        "",
    ),
)
_ODD = (
    *("null", "true", "false", "-1", "0", "-0", "1.0", "1e3", "1e-999", "18446744073709551616", "9" * 4301),
    *(
        "[]",
        "[null]",
        "{}",
        "[[[[]]]]",
        '["/a", 1]',
        '{"a": {"a": 1}}',
        '{"a": 1, "A": 2}',
        "[" * 50 + "]" * 50,
    ),
    *('""', '"0"', '"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"', '"\\u001b[2J"', '"a,b"', '"\\u202e"'),
    *(
        '"é漢\U0001f3ae"',
        '"' + "x" * 200 + '"',
        '"' + "\\u0007" * 300 + '"',
        '["\\ud800"]',
        '"00:1f.0"',
        '"\\u0663"',
    ),
    *('{"reason": "cpu"}', '{"reason": 5}', '{"detail": "\\u0000\\ud83d"}', '{"Reason": "a", "reason": "b"}'),
)
"""Values that cost at most the device that has them."""
_NO_JSON = (
    *("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "01", "+1", "1.", ".5", "0x10", "tru", "None", ""),
    *(
        "'a'",
        '"\\x"',
        '"\\u12"',
        '"\x01"',
        '"',
        "[",
        "]",
        "}",
        "[1,]",
        '{"a"}',
        '{"a":1,}',
        "// a",
        "[" * 3000,
    ),
)
"""Values that cost the whole answer."""


def _mutated(chance: Random, pairs: _Pairs, keys: Sequence[str], values: Sequence[str], comma: str) -> str:
    """An entry with one thing changed: a value, a key left out or given twice, or all of it."""
    share, key, value = chance.random(), json.dumps(chance.choice(keys)), chance.choice(values)
    if share < 0.1:
        return value
    others = [pair for pair in pairs if pair[0] != key]
    if share < 0.7 or values is _NO_JSON:
        others.insert(chance.randrange(len(others) + 1), (key, value))
    elif share < 0.85:
        others += [(key, value), (key.upper(), chance.choice(values))]
    return _object(others, comma)


# What becomes of the bytes.

_PIECES = (
    *(
        b"[",
        b"]",
        b"{",
        b"}",
        b'"',
        b",",
        b":",
        b"\\",
        b"\\u",
        b"\\ud8",
        b"\xff",
        b"\xed\xa0\x80",
        b"\0",
        b" ",
    ),
    *(b"e999", b"NaN", b"-", b".", b"9" * 5000, b"null", b"\xef\xbb\xbf"),
)


def _damaged(chance: Random, content: bytes) -> bytes:
    """Some bytes, one to four times, make way for others, which may be none."""
    for _ in range(chance.randrange(1, 5)):
        at, length = chance.randrange(len(content) + 1), int(chance.expovariate(0.1))
        content = content[:at] + _others(chance, content) + content[at + length :]
    return content


def _others(chance: Random, content: bytes) -> bytes:
    share = chance.random()
    if share < 0.4:
        return chance.choice(_PIECES)
    if share < 0.7:
        return chance.randbytes(chance.randrange(4))
    at = chance.randrange(len(content) + 1)
    return content[at : at + chance.randrange(1, 80)]


_NO_ANSWERS: Sequence[Callable[[Random], bytes]] = (
    lambda chance: chance.randbytes(chance.randrange(300)),
    lambda chance: chance.choice((b"[", b'{"a":', b'[{"id":')) * chance.randrange(1, 20_000),
    lambda chance: b"[" * (depth := chance.randrange(1, 20_000)) + b"]" * depth,
    lambda chance: "[{}]".encode(chance.choice(("utf-8-sig", "utf-16", "utf-16-le", "utf-32"))),
    lambda chance: chance.choice(
        (b"", b"{}", b"null", b"true", b'"a"', b"1", b"-", b"[] []", b"<html></html>")
    ),
    lambda chance: b"[" + b",".join([b"null"] * chance.randrange(1, 600)) + b"]",
)
"""What is no answer at all, whatever was changed in it."""

SERVED = Form(frame="[{}]", keys=_KEYS, entry=_served, read_again=lambda device: device, parse=parse_answer)
"""The answer to `GET /info`."""
PRINTED = Form(
    frame='{{"devices": [{}]}}',
    keys=_PRINTED_KEYS,
    entry=_printed,
    # Neither its UUID is printed, nor where its libraries are.
    read_again=lambda device: replace(device, id="0", index=None, library_path=(), gfx_target=""),
    parse=parse_printed,
)
"""What `ollama gpu-discover` prints."""
