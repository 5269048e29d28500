"""Bootstrap: enumerate every variant, verify what can matter, and let the rules decide who survives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_gpudiscover.calls import Call
from pytest_gpudiscover.devices import DeviceID, DeviceInfo
from pytest_gpudiscover.masks import enumerate_masks, show_only
from pytest_gpudiscover.probing import ProbeResult
from pytest_gpudiscover.probing.output import TRACE
from pytest_gpudiscover.reports import Phase, Reason, Rejection
from pytest_gpudiscover.selection import (
    may_share_card,
    next_to_verify,
    overlapping,
    renumbered,
    verdict,
    without_duplicates,
    without_repeats,
)
from pytest_gpudiscover.selection.duplicates import PREFERRED_LIBRARIES
from pytest_gpudiscover.selection.planning import Pair
from pytest_gpudiscover.text import printable
from pytest_gpudiscover.variants import Variant
from pytest_gpudiscover.wire import Answer

logger = logging.getLogger(__name__)

TRUSTED_LIBRARIES = ("Metal",)
"""Devices of these are not verified: the library lists only what it can use."""


@dataclass(frozen=True, kw_only=True)
class Bootstrapped:
    """What a bootstrap found.

    Attributes:
        devices: the usable devices.
        listed: every device that any variant listed, survivors and rejected ones.
    """

    devices: tuple[DeviceInfo, ...]
    listed: tuple[DeviceInfo, ...]


async def bootstrap(call: Call) -> Bootstrapped:
    """Find the usable devices."""
    logger.info("discovering available GPUs")
    call.recording.reject(call.located.missing)
    listed = await _enumerate(call)
    survivors = await _Verification(call, listed).survivors()
    return Bootstrapped(devices=tuple(renumbered(survivors)), listed=tuple(listed))


async def verify(call: Call, device: DeviceInfo, listed: Sequence[DeviceInfo]) -> Rejection | None:
    """Verify one known device alone, as a bootstrap does.

    Args:
        call: what asks.
        device: as it was listed, or as it was found.
        listed: every device that any variant listed.

    Returns:
        None when it is well, or of a library that is trusted; else why it is not. A device whose variant is
        no longer there cannot be asked for, and is rejected for that.
    """
    if device.library in TRUSTED_LIBRARIES:
        return None
    variant = next((there for there in call.located.variants if there.name == device.variant), None)
    if variant is None:
        return _without_variant(device, call.located.missing)
    return _verdict(device, await _ask_alone(call, variant, device, listed))


async def _enumerate(call: Call) -> list[DeviceInfo]:
    """Ask variant after variant what it lists: two at once would fight over the memory of one GPU."""
    listed: list[DeviceInfo] = []
    for variant in call.located.variants:
        masks = enumerate_masks(variant.name, call.masks)
        result = await call.ask(Phase.ENUMERATE, variant, masks, call.settings.enumerate_timeout)
        if result.answer is None:
            call.recording.reject([_failed_variant(variant, result)])
            continue
        answer = Answer(tuple(without_repeats(call.masks.translated(result.answer).entries)))
        call.recording.reject(answer.rejections)
        listed.extend(answer.devices)
    return listed


def _failed_variant(variant: Variant, result: ProbeResult) -> Rejection:
    assert result.failure is not None
    failure = result.failure
    return Rejection(
        phase=Phase.ENUMERATE, reason=failure.reason, detail=failure.detail, variant=variant.name
    )


class _Verification:
    """Verifies listed devices, as many at once as is safe, until no answer can change the result."""

    def __init__(self, call: Call, listed: Sequence[DeviceInfo]) -> None:
        self._call = call
        self._listed = listed
        self._variants = {variant.name: variant for variant in call.located.variants}
        self._limit = call.settings.max_parallel
        # By position in the listing: True verified, False rejected; undecided ones are missing.
        self._verdicts: dict[int, bool] = {
            n: True for n, device in enumerate(listed) if device.library in TRUSTED_LIBRARIES
        }
        self._failed: dict[int, Rejection] = {}
        self._alone: set[int] = set()
        self._running: dict[asyncio.Task[ProbeResult], int] = {}

    async def survivors(self) -> list[DeviceInfo]:
        """Verify, settle overlaps, drop duplicates; every device left out is rejected with its reason."""
        everything = range(len(self._listed))
        if self._call.settings.overlap == "ollama":
            await self._verify(everything)
            return self._without_duplicates(self._without_overlap(everything))
        first = [n for n in everything if self._listed[n].library in PREFERRED_LIBRARIES]
        await self._verify(first)
        kept = self._without_overlap(first)
        rest = self._not_served(kept, [n for n in everything if n not in first])
        await self._verify(rest)
        return self._without_duplicates(sorted(kept + self._without_overlap(rest)))

    def _not_served(self, kept: Sequence[int], others: Iterable[int]) -> list[int]:
        """Leave out what a verified CUDA or ROCm device duplicates: its verification could not save it."""
        left = []
        for n in others:
            _, rejections = without_duplicates([*(self._listed[k] for k in kept), self._listed[n]])
            mine = [rejection for rejection in rejections if rejection.device is self._listed[n]]
            self._call.recording.reject(mine)
            if not mine:
                left.append(n)
        return left

    async def _verify(self, candidates: Sequence[int]) -> None:
        try:
            while True:
                for n in self._startable(self._wanted(candidates)):
                    if self._limit == 1:
                        self._alone.add(n)
                    self._running[asyncio.create_task(self._ask(n))] = n
                if not self._running:
                    return
                done, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    self._judge(self._running.pop(task), task.result())
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    def _wanted(self, candidates: Sequence[int]) -> list[int]:
        """What is worth asking next, in the order of the listing."""
        if self._call.settings.overlap == "ollama":
            return [n for n in candidates if n not in self._verdicts]
        wanted: list[int] = []
        undecided = (n for n in candidates if n not in self._verdicts)
        for library in dict.fromkeys(self._listed[n].library for n in undecided):
            places = {self._pair(n): n for n in candidates if self._listed[n].library == library}
            by_variant: dict[str, list[str]] = {}
            for variant, device_id in places:
                by_variant.setdefault(variant, []).append(device_id)
            known = {pair: self._verdicts[n] for pair, n in places.items() if n in self._verdicts}
            wanted.extend(places[pair] for pair in next_to_verify(by_variant, known))
        return sorted(wanted)

    def _pair(self, n: int) -> Pair:
        return self._listed[n].variant, self._listed[n].id

    def _startable(self, wanted: Iterable[int]) -> list[int]:
        """Of those, as many as may run now: never two on what may be one card."""
        busy = list(self._running.values())
        start: list[int] = []
        for n in wanted:
            if len(busy) >= self._limit:
                break
            if n not in busy and not any(
                may_share_card(self._listed[n], self._listed[other]) for other in busy
            ):
                busy.append(n)
                start.append(n)
        return start

    async def _ask(self, n: int) -> ProbeResult:
        device = self._listed[n]
        return await _ask_alone(self._call, self._variants[device.variant], device, self._listed)

    def _judge(self, n: int, result: ProbeResult) -> None:
        device = self._listed[n]
        if result.failure and result.failure.exhausted and n not in self._alone:
            # It stays undecided, and is asked again when it has the machine for itself.
            self._limit = 1
            return
        rejection = _verdict(device, result)
        self._verdicts[n] = rejection is None
        if rejection is not None:
            self._failed[n] = rejection

    def _without_overlap(self, candidates: Iterable[int]) -> list[int]:
        """Keep each verified device in one variant; what was not worth verifying goes as well."""
        candidates = list(candidates)
        # In the order of the listing, not of the answers: the same machine gives the same report.
        self._call.recording.reject(self._failed[n] for n in candidates if n in self._failed)
        left = [n for n in candidates if n not in self._failed]
        supported: dict[str, dict[str, dict[str, int]]] = {}
        for n in left:
            if n in self._verdicts:
                device = self._listed[n]
                supported.setdefault(device.library, {}).setdefault(device.variant, {})[device.id] = n
        logger.log(TRACE, "supported GPU library combinations: %s", supported)
        gone = overlapping(supported, self._call.settings.overlap)
        kept = [n for n in left if n in self._verdicts and n not in gone]
        serving = {self._listed[n].device_id: self._listed[n].variant for n in kept}
        for n in left:
            if n not in kept:
                self._call.recording.reject([_overlap(self._listed[n], serving)])
        return kept

    def _without_duplicates(self, survivors: Iterable[int]) -> list[DeviceInfo]:
        kept, rejected = without_duplicates(self._listed[n] for n in survivors)
        self._call.recording.reject(rejected)
        return kept


async def _ask_alone(
    call: Call, variant: Variant, device: DeviceInfo, listed: Iterable[DeviceInfo]
) -> ProbeResult:
    if logger.isEnabledFor(logging.DEBUG):
        names = (device.library, device.id, device.description, device.compute, device.pci_id)
        shown = map(printable, names)
        logger.debug("verifying that %r supports %s %s, %s (compute %r, PCI id %r)", device.variant, *shown)
    # A runner with everything built in would initialise the devices of its other libraries as well.
    others = {other.library for other in listed if other.variant == device.variant} - {device.library}
    masks = show_only([device], call.masks, hidden=sorted(others))
    return await call.ask(Phase.VERIFY, variant, masks, call.settings.verify_timeout)


def _without_variant(device: DeviceInfo, missing: Iterable[Rejection]) -> Rejection:
    why = next((rejection for rejection in missing if rejection.variant == device.variant), None)
    reason = why.reason if why else Reason.UNREADABLE
    detail = why.detail if why else f"the variant {printable(device.variant)!r}, which listed it, is gone"
    return Rejection.of(device, Phase.VERIFY, reason, detail)


def _verdict(device: DeviceInfo, result: ProbeResult) -> Rejection | None:
    if result.failure:
        return Rejection.of(device, Phase.VERIFY, result.failure.reason, result.failure.detail)
    assert result.answer is not None
    if len(result.answer.devices) > 1:
        logger.debug(
            "asked for %s %s alone, %r listed %d devices: its mask is not respected by all of them",
            *(printable(device.library), device.id, device.variant, len(result.answer.devices)),
        )
    return verdict(device, result.answer)


def _overlap(device: DeviceInfo, serving: Mapping[DeviceID, str]) -> Rejection:
    detail = f"{serving.get(device.device_id) or 'another variant'} serves this device"
    return Rejection.of(device, Phase.OVERLAP, Reason.OVERLAP, detail)
