"""Which way a program answers that may be of either age: it is found out by asking.

Asking for the version would cost a process more, and Ollama's asks a server for it, which may be another
release, on another machine, or not there. Trying costs nothing on a release that knows `gpu-discover`; on an
older one it costs one start that ends at once, with `unknown command`, and that loads no GPU library.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from pytest_gpudiscover.probing import Prober, ProbeRequest, ProbeResult
from pytest_gpudiscover.probing.printing import COMMAND
from pytest_gpudiscover.probing.speech import Heard, Speech
from pytest_gpudiscover.reports import Reason

_log = logging.getLogger(__name__)


class EitherWay:
    """Asks both ways until one is known to be the right one, and that way from then on.

    What a variant's libraries do to a probe decides nothing: a crash or a deadline may be theirs. A program
    that neither prints an answer, nor says that it knows no such command, nor serves one, knew the command.

    Args:
        heard: what is known of the runner; it outlives the prober.
        probers: what asks each way.
    """

    def __init__(self, heard: Heard, probers: Mapping[Speech, Prober]) -> None:
        self._heard = heard
        self._probers = probers
        self._finding_out = asyncio.Lock()

    async def probe(self, request: ProbeRequest) -> ProbeResult:
        """Ask once; both ways take no longer together than the request allows one."""
        if self._heard.speech is None:
            async with self._finding_out:
                if self._heard.speech is None:
                    return await self._find_out(request)
        return await self._probers[self._heard.speech].probe(request)

    async def _find_out(self, request: ProbeRequest) -> ProbeResult:
        printed = await self._probers[Speech.GPU_DISCOVER].probe(request)
        if printed.answer:
            self._settle(Speech.GPU_DISCOVER)
        left = request.timeout - (printed.ended - printed.started)
        if not _may_be_too_old(printed) or left <= 0:
            return printed
        served = await self._probers[Speech.INFO].probe(request._replace(timeout=left))
        if served.answer or _knows_no_such_command(printed):
            self._settle(Speech.INFO)
            return served._replace(started=printed.started)
        if not _crashed(served):
            self._settle(Speech.GPU_DISCOVER)
        return printed

    def _settle(self, speech: Speech) -> None:
        self._heard.speech = speech
        _log.debug("The runner answers by %s.", speech)


def _may_be_too_old(result: ProbeResult) -> bool:
    """Whether a program that does not know the command could have ended so: by itself, with no answer."""
    failure = result.failure
    return failure is not None and failure.reason in (Reason.EXITED, Reason.BAD_ANSWER)


def _crashed(result: ProbeResult) -> bool:
    return result.failure is not None and result.failure.reason is Reason.CRASHED


def _knows_no_such_command(result: ProbeResult) -> bool:
    said = result.stderr.lower()
    return "unknown command" in said and COMMAND in said
