"""One hash for whatever must look random and be the same everywhere: hashlib costs a tenth of the start."""

from __future__ import annotations


def fnv(text: str) -> int:
    """Hash a text to 128 bits (FNV-1a).

    The closing zeros carry the last letters into the leading bits, so that `gpu0` and `gpu1` differ there.
    """
    value = 0x6C62272E07BB014262B821756295C58D
    for byte in text.encode() + bytes(3):
        value = (value ^ byte) * 0x1000000000000000000013B % 2**128
    return value


def fraction(text: str) -> float:
    """A number from 0 up to 1, without 1, that looks random and is always the same for a text.

    FNV alone leaves texts that differ by a digit close to each other: the finisher of splitmix64 parts them.
    """
    value = fnv(text) % 2**64
    for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):
        value = (value ^ value >> 30) * factor % 2**64
    return (value ^ value >> 31) / 2**64
