"""Faults of the body: what is in it is no list of devices, or no JSON at all."""

from __future__ import annotations

from fake_runner.faults.registry import CONDUCT, fault, one_of, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fake_runner.scripts import Script


# Of two faults that write the body anew the later one wins. How it is sent is a matter of its own: both may
# go wrong.
@fault(
    CONDUCT, "EVR", form=one_of("null", "object", "text", "null_entry", "list_entry", "missing_id", "null_id")
)
def wrong_shape(script: Script, *, form: str) -> None:
    """The list is `null`, an `object` or a `text`, or its first device has another shape or no id."""
    first = script.entries[0].wire if script.entries else {}
    wires = [entry.wire for entry in script.entries]
    anonymous = {key: value for key, value in first.items() if key != "id"}
    shapes: dict[str, object] = {
        "null": None,
        "object": {"devices": wires},
        "text": "no list",
        "null_entry": [None, *wires[1:]],
        "list_entry": [list(first), *wires[1:]],
        "missing_id": [anonymous, *wires[1:]],
        "null_id": [{"id": None} | anonymous, *wires[1:]],
    }
    script.answer.body = script.encoded(shapes[form])


@fault(CONDUCT, "EVR")
def duplicate_keys(script: Script) -> None:
    """Each device has its id twice, and the two differ; where it is printed, its library."""
    for key in (b"id", b"library"):
        given = b'{"%b": ' % key
        script.answer.body = script.answer.body.replace(given, given + b'"another", "%b": ' % key)


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
