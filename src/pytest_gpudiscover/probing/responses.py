"""What a request to a runner brings, apart from the HTTP client: importing that one is slow."""

from __future__ import annotations

from typing import NamedTuple

MAX_ANSWER = 4 << 20
"""Bytes of an answer, however it comes. 256 devices with everything they can say stay far below."""


class Response(NamedTuple):
    """A complete answer.

    Attributes:
        status: the HTTP status.
        body: the bytes as they came; of an error, the beginning.
        ready: when the answer began, by the event loop's clock.
    """

    status: int
    body: bytes
    ready: float


class BadResponseError(Exception):
    """What came was no complete HTTP answer; the text is a sentence.

    Attributes:
        ready: when the answer began, by the event loop's clock; None when none did.
        cut_short: whether the connection ended early, so that the runner may have died.
    """

    def __init__(self, detail: str, *, ready: float | None = None, cut_short: bool = False) -> None:
        super().__init__(detail)
        self.ready = ready
        self.cut_short = cut_short
