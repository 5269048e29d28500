"""Faults of the answer: silence, slowness, broken HTTP, broken JSON."""

from __future__ import annotations

import json

from fake_runner.faults.registry import CONDUCT, SIGNALS, duration, fault, one_of, text, whole
from fake_runner.scripts import MID_ANSWER, Answer, Death, Pace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fake_runner.scripts import Script


PLACEHOLDER = "(what json cannot write)"


# What is in the body comes first, and of two faults that write it anew the later one here wins. How it is
# sent is a matter of its own: both may go wrong.
@fault(CONDUCT, "EVR", value=one_of("NaN", "Infinity", "-Infinity", "1e999"))
def nan(script: Script, *, value: str) -> None:
    """Free memory is `value`, which is no number of JSON, or none that fits."""
    script.answer.body = _with_value(script, "free_memory", value.encode())


@fault(CONDUCT, "EVR", form=one_of("bytes", "utf16", "surrogate"))
def bad_utf8(script: Script, *, form: str) -> None:
    """A description has `bytes` that are no UTF-8, or a lone `surrogate`; or all the body is `utf16`."""
    if form == "utf16":
        script.answer.body = script.answer.body.decode("latin-1").encode("utf-16")
    else:
        strange = b'"\xff\xfe\x80"' if form == "bytes" else b'"\\ud800"'
        script.answer.body = _with_value(script, "description", strange)


@fault(CONDUCT, "EVR")
def duplicate_keys(script: Script) -> None:
    """Each device has its id twice, and the two differ."""
    script.answer.body = script.answer.body.replace(b'{"id": ', b'{"id": "another", "id": ')


@fault(CONDUCT, "EVR", levels=whole(100_000, 1, 10_000_000))
def deep_nesting(script: Script, *, levels: int) -> None:
    """The body is an array of arrays, `levels` deep."""
    script.answer.body = b"[" * levels + b"]" * levels


@fault(CONDUCT, "EVR", form=one_of("broken", "trailing"))
def bad_json(script: Script, *, form: str) -> None:
    """The body is `broken` JSON, or good JSON with `trailing` data."""
    body = script.answer.body
    script.answer.body = body[:-1] + b",}" if form == "broken" else body + b" []"


@fault(CONDUCT, "EVR", seed=whole(0, 0, 2**32), size=whole(1024, 0, 2**24))
def random_bytes(script: Script, *, seed: int, size: int) -> None:
    """The body is `size` random bytes, the same ones for the same `seed`."""
    import random

    script.answer.body = random.Random(seed).randbytes(size)  # noqa: S311 - noise, not a secret


@fault(CONDUCT, "EVR")
def infinite_body(script: Script) -> None:
    """The body never ends: blanks, for as long as anybody reads."""
    script.answer.body = b" " * 65536
    script.answer.endless = True


@fault(CONDUCT, "EVR", mebibytes=whole(256, 1, 4096))
def gzip_bomb(script: Script, *, mebibytes: int) -> None:
    """The body is compressed a thousandfold and unpacks to so many `mebibytes`."""
    script.answer.body = _bomb(mebibytes)
    script.answer.headers["Content-Encoding"] = "gzip"


@fault(CONDUCT, "EVR", code=whole(500, 200, 599), body=text("no GPU today"))
def status(script: Script, *, code: int, body: str) -> None:
    """Answers with the status `code` and the text `body`."""
    script.routes["/info"] = Answer(body.encode(), code, "text/plain; charset=utf-8")


@fault(CONDUCT, "EVR")
def redirect(script: Script) -> None:
    """Answers 302: the true answer is elsewhere."""
    script.routes["/moved"] = script.answer
    script.routes["/info"] = Answer(b"", 302)
    script.answer.headers["Location"] = "/moved"


@fault(CONDUCT, "EVR", pause=duration(0.2))
def slow_headers(script: Script, *, pause: float) -> None:
    """The head of the answer comes byte by byte, `pause` seconds apart."""
    script.answer.head_pace = Pace(1, pause)


@fault(CONDUCT, "EVR", pause=duration(0.2))
def drip(script: Script, *, pause: float) -> None:
    """The body comes byte by byte, `pause` seconds apart."""
    script.answer.body_pace = Pace(1, pause)


@fault(CONDUCT, "EVR")
def short_body(script: Script) -> None:
    """The body ends in an orderly way, half-way to its announced length."""
    script.answer.announced = len(script.answer.body)
    script.answer.cut = len(script.answer.body) // 2


@fault(CONDUCT, "EVR")
def reset_mid_body(script: Script) -> None:
    """The connection is reset in the middle of the body."""
    script.answer.cut = len(script.answer.body) // 2
    script.answer.reset = True


@fault(CONDUCT, "EVR", signal=one_of(*SIGNALS))
def die_mid_response(script: Script, *, signal: str) -> None:
    """The runner is killed by `signal` in the middle of the body."""
    script.answer.cut = len(script.answer.body) // 2
    script.die(Death(MID_ANSWER, signal=signal))


@fault(CONDUCT, "EVR")
def empty_reply(script: Script) -> None:
    """The connection is closed without a word."""
    script.answer.raw = b""


@fault(CONDUCT, "EVR")
def accept_silent(script: Script) -> None:
    """Takes connections and never answers."""
    script.silent = True


def _with_value(script: Script, key: str, literal: bytes) -> bytes:
    """The body with one figure of every device written as `literal`; there is always one device."""
    entries = [entry.wire | {key: PLACEHOLDER} for entry in script.entries] or [{key: PLACEHOLDER}]
    return json.dumps(entries).encode().replace(f'"{PLACEHOLDER}"'.encode(), literal)


def _bomb(mebibytes: int) -> bytes:
    """One gzip stream of zeros. Compressing one mebibyte is enough: its block is repeated."""
    import zlib

    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    zeros = bytes(2**20)
    block = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(mebibytes):
        checksum = zlib.crc32(zeros, checksum)
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    length = mebibytes * 2**20 % 2**32
    return (
        head + block * mebibytes + b"\x03\x00" + checksum.to_bytes(4, "little") + length.to_bytes(4, "little")
    )
