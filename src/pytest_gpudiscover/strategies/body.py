"""The bytes of a runner's answer, and what is true of them.

Without Hypothesis, which asks for our types at the end of its own import, and must find none half made.
"""

from __future__ import annotations

from dataclasses import dataclass

from pytest_gpudiscover.devices import DeviceInfo


@dataclass(frozen=True)
class Body:
    """An answer, and what is true of it.

    Attributes:
        content: the bytes.
        whole: the devices whose entries are as they should be, in order: all of them must come out.
    """

    content: bytes
    whole: tuple[DeviceInfo, ...]
