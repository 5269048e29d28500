"""Recording one call of a discovery: its clock, its log, and what becomes its report."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pytest_gpudiscover.devices import DeviceInfo
from pytest_gpudiscover.probing import Prober, ProbeRequest, ProbeResult
from pytest_gpudiscover.probing.output import TRACE
from pytest_gpudiscover.reports import Phase, ProbeRecord, Reason, Rejection, Report
from pytest_gpudiscover.text import printable

logger = logging.getLogger(__name__)

ANSWERED = "answered"
"""The outcome of a probe that brought an answer; any other is a reason."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What an observer is told whenever a probe starts or ends.

    Attributes:
        phase: the phase the probe serves.
        variant: the variant it asks.
        mask: the masks it was started with.
        running: how many probes are running now.
        finished: how many have ended.
        record: the ended probe's record; None when it starts.
    """

    phase: Phase
    variant: str
    mask: Mapping[str, str]
    running: int
    finished: int
    record: ProbeRecord | None = None


Observer = Callable[[Progress], None]


class Recording:
    """Collects what happens during one call.

    Args:
        masks: the user's masks that are in force.
        observer: told of every probe's start and end.
    """

    def __init__(self, masks: Mapping[str, str], observer: Observer | None = None) -> None:
        self._start = asyncio.get_running_loop().time()
        self._masks = dict(masks)
        self._observer = observer
        self._running = 0
        self._probes: list[ProbeRecord] = []
        self.rejected: list[Rejection] = []

    async def probe(
        self, prober: Prober, request: ProbeRequest, changes: Mapping[str, str | None]
    ) -> ProbeResult:
        """Run one probe, and record it.

        Args:
            prober: whatever answers.
            request: the question.
            changes: the variables that we set for it, for the log: nothing else of the environment is shown.
        """
        if logger.isEnabledFor(logging.DEBUG):
            to_what = request.phase, request.variant.name
            logger.debug("%s: starting a runner for %r, masks %s", *to_what, dict(request.mask))
            logger.log(TRACE, "%s: environment of the runner for %s: %s", *to_what, changes)
        self._running += 1
        self._tell(request, None)
        try:
            result = await prober.probe(request)
        finally:
            self._running -= 1
        record = self._record(request, result)
        self._log(request, result, record)
        self._tell(request, record)
        return result

    def _record(self, request: ProbeRequest, result: ProbeResult) -> ProbeRecord:
        record = ProbeRecord(
            phase=request.phase,
            variant=request.variant.name,
            mask=dict(request.mask),
            started=result.started - self._start,
            ready=None if result.ready is None else result.ready - self._start,
            ended=result.ended - self._start,
            outcome=str(result.failure.reason) if result.failure else ANSWERED,
            exit_code=result.exit_code,
            signal=result.signal,
            stderr=result.stderr,
        )
        self._probes.append(record)
        return record

    def _log(self, request: ProbeRequest, result: ProbeResult, record: ProbeRecord) -> None:
        failure = result.failure
        if failure is None and not logger.isEnabledFor(logging.DEBUG):
            return
        where = f"{request.phase} {request.variant.name or 'runner'}"
        logger.debug("%s: took %.3f s: %s", where, record.ended - record.started, record.outcome)
        if failure:
            logger.log(_LEVELS.get(failure.reason, logging.INFO), "%s: %s", where, failure.detail)
        elif logger.isEnabledFor(TRACE):
            logger.log(TRACE, "%s: answer: %s", where, printable(repr(result.answer), 4000))

    def _tell(self, request: ProbeRequest, record: ProbeRecord | None) -> None:
        if self._observer:
            self._observer(
                Progress(
                    phase=request.phase,
                    variant=request.variant.name,
                    mask=request.mask,
                    running=self._running,
                    finished=len(self._probes),
                    record=record,
                )
            )

    def reject(self, rejections: Iterable[Rejection]) -> None:
        """Note what was left out."""
        for rejection in rejections:
            self.rejected.append(rejection)
            level = logging.DEBUG if rejection.reason is Reason.DUPLICATE else TRACE
            if logger.isEnabledFor(level):
                verb = "dropping duplicate device" if rejection.reason is Reason.DUPLICATE else "removing"
                logger.log(level, "%s: %s", verb, printable(repr(rejection.to_json()), 2000))

    def report(self, devices: Iterable[DeviceInfo]) -> Report:
        """Everything so far."""
        return Report(
            devices=tuple(devices),
            rejected=tuple(self.rejected),
            probes=tuple(sorted(self._probes, key=lambda probe: probe.started)),
            duration=asyncio.get_running_loop().time() - self._start,
            masks=self._masks,
        )


_LEVELS = {
    Reason.NOT_STARTED: logging.WARNING,
    Reason.BAD_ANSWER: logging.WARNING,
    # Expected while unsupported devices are weeded out: the runner ends by itself.
    Reason.EXITED: TRACE,
    Reason.RUNNER_ERROR: TRACE,
    Reason.UNSUPPORTED: TRACE,
}
"""The rest, ended by a signal or a deadline, is information."""
