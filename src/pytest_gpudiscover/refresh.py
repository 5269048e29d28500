"""Refresh: ask again how much memory is free, first the runners in use, then one probe per variant."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Protocol

from pytest_gpudiscover.bootstrap import Bootstrapped
from pytest_gpudiscover.calls import Call
from pytest_gpudiscover.devices import DeviceID, DeviceInfo
from pytest_gpudiscover.masks import mask_variable, show_only
from pytest_gpudiscover.refreshing import appeared, matched, updated, vanished
from pytest_gpudiscover.reports import Phase, Rejection
from pytest_gpudiscover.text import printable
from pytest_gpudiscover.variants import Variant

logger = logging.getLogger(__name__)


class ActiveRunner(Protocol):
    """A runner that is in use already, and so can say how much memory is left."""

    def get_active_device_ids(self) -> Sequence[DeviceID]:
        """Name the devices it is active on."""

    async def get_device_infos(self) -> Sequence[DeviceInfo]:
        """Report the devices it sees."""


async def ask_runners(
    runners: Iterable[ActiveRunner | None],
    devices: Sequence[DeviceInfo],
    timeout: float,  # noqa: ASYNC109
) -> dict[DeviceID, int]:
    """Ask the runners in use, until every device has a new figure.

    A runner that fails, or takes longer than `timeout` seconds, costs only its own devices.

    Returns:
        bytes of free memory, by device.
    """
    known = {device.device_id: device for device in devices}
    free: dict[DeviceID, int] = {}
    for runner in runners:
        if known.keys() <= free.keys():
            break
        if runner is not None:
            free |= await _figures(runner, known, free, timeout)
    return free


async def _figures(
    runner: ActiveRunner,
    known: Mapping[DeviceID, DeviceInfo],
    free: Mapping[DeviceID, int],
    timeout: float,  # noqa: ASYNC109
) -> dict[DeviceID, int]:
    try:
        if not known.keys() & set(runner.get_active_device_ids()) - free.keys():
            return {}
        infos = await _in_time(runner.get_device_infos(), timeout)
        return {
            info.device_id: _sane(info, known[info.device_id]) for info in infos if info.device_id in known
        }
    except Exception as error:
        logger.info("a runner in use could not be asked: %s", printable(f"{type(error).__name__}: {error}"))
        return {}


async def _in_time(asking: Awaitable[Sequence[DeviceInfo]], timeout: float) -> Sequence[DeviceInfo]:  # noqa: ASYNC109
    """Wait for somebody else's coroutine, but not beyond the time, whatever it does with its cancellation."""
    task = asyncio.ensure_future(asking)
    # Should it fail later on, nobody is left to hear of it.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        await asyncio.wait({task}, timeout=timeout)
        if not task.done():
            raise TimeoutError(f"no answer within {timeout:g} s")
        if task.cancelled():
            raise RuntimeError("it was cancelled")
        return task.result()
    finally:
        task.cancel()


def _sane(info: DeviceInfo, known: DeviceInfo) -> int:
    """The free memory that a runner in use says, within what the device has."""
    if not 0 <= info.free_memory <= known.total_memory:
        shown = printable(f"{known.library} {known.id}")
        logger.warning(
            "a runner in use says that %s has %d bytes free: taken within bounds", shown, info.free_memory
        )
    return max(0, min(info.free_memory, known.total_memory))


async def refresh(
    call: Call, known: Bootstrapped, runners: Iterable[ActiveRunner | None]
) -> tuple[DeviceInfo, ...]:
    """Give the known devices their newest free memory; what cannot be refreshed is stale."""
    if call.surroundings.apple_silicon:
        return known.devices
    logger.debug("refreshing free memory")
    free = await ask_runners(runners, known.devices, call.settings.refresh_timeout)
    # What a runner in use has said stands: the probe itself may take memory on the card.
    devices = updated(known.devices, await _ask_variants(call, known, known.devices, free) | free)
    stale = [f"{printable(device.library)} {device.id}" for device in devices if device.stale]
    if stale:
        logger.warning("unable to refresh free memory, using old values: %s", ", ".join(stale))
    return devices


async def refreshed(call: Call, known: Bootstrapped, devices: Sequence[DeviceInfo]) -> tuple[DeviceInfo, ...]:
    """Give some devices their newest free memory, without asking the runners in use."""
    if call.surroundings.apple_silicon:
        return tuple(devices)
    return updated(devices, await _ask_variants(call, known, devices, {}))


async def _ask_variants(
    call: Call, known: Bootstrapped, devices: Sequence[DeviceInfo], free: Mapping[DeviceID, int]
) -> dict[DeviceID, int]:
    """Ask each variant that serves a device without a figure, all of them within one time."""
    deadline = asyncio.get_running_loop().time() + call.settings.refresh_timeout
    found: dict[DeviceID, int] = {}
    for variant in call.located.variants:
        kept = [device for device in devices if device.variant == variant.name]
        if any(device.device_id not in free for device in kept):
            found |= await _ask_variant(call, known, variant, kept, deadline)
    return found


async def _ask_variant(
    call: Call, known: Bootstrapped, variant: Variant, kept: Sequence[DeviceInfo], deadline: float
) -> dict[DeviceID, int]:
    left = deadline - asyncio.get_running_loop().time()
    if left <= 0:
        return {}
    result = await call.ask(Phase.REFRESH, variant, show_only(kept, call.masks), left)
    if result.answer is None:
        assert result.failure is not None
        failure = result.failure
        call.recording.reject(
            [
                Rejection(
                    phase=Phase.REFRESH, reason=failure.reason, detail=failure.detail, variant=variant.name
                )
            ]
        )
        return {}
    masked = [d.library for d in kept if mask_variable(d.library, call.surroundings.system)]
    found = matched(kept, result.answer, masked)
    call.recording.reject(vanished(device, result.answer) for device in found.missing)
    call.recording.reject(appeared(found.strangers, [*known.listed, *known.devices]))
    return dict(found.free)
