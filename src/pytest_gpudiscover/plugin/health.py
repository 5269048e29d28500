"""Whether devices survived a test: verified again after failures and deaths, and their memory looked at.

Verification happens in a process of its own, while the test still holds its lease.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from pytest_gpudiscover.devices import DeviceID, DeviceInfo
from pytest_gpudiscover.leasing.book import Book
from pytest_gpudiscover.leasing.cards import card_name
from pytest_gpudiscover.leasing.wording import in_words
from pytest_gpudiscover.plugin.discovering import SessionDiscovery
from pytest_gpudiscover.reports import Reason, Rejection
from pytest_gpudiscover.text import GIB

TOLERANCE = GIB // 2
"""Bytes that may stay taken after a test: about what one process's context takes on a card."""

_POLL = 0.25
"""Seconds between two looks at memory that is to come back; each look starts a runner."""
_MACHINES_FAULT = (Reason.NOT_STARTED, Reason.PORT_TAKEN)
"""Failures of a verification that say nothing of the device."""


def lost(session: SessionDiscovery, device: DeviceInfo, occasion: str) -> Rejection | None:
    """Verify a device again; one that is not well is put into quarantine, for the run, on this host.

    Args:
        session: whose engine asks.
        device: a device that the caller holds.
        occasion: why it is verified: `tests/test_it.py::test_it failed`.

    Returns:
        why it is lost; None when it is not, or when this machine could not start the verification.
    """
    rejection = session.verify(device)
    if rejection is None or rejection.reason in _MACHINES_FAULT:
        return None
    detail = f"in quarantine since {occasion}: {rejection.detail}"
    session.quarantine(device, rejection.reason, detail)
    return Rejection.of(device, rejection.phase, rejection.reason, detail)


def are_well(session: SessionDiscovery, book: Book, devices: Iterable[DeviceInfo]) -> bool:
    """Verify the devices among these whose last holder died without giving them back."""
    if session.settings.recheck == "never":
        return True
    suspects, well = book.suspects(), True
    for device in devices:
        if (holder := suspects.get(card_name(device))) is None:
            continue
        if lost(session, device, f"{in_words(holder)} died holding it"):
            well = False
        else:
            book.clear(card_name(device))
    return well


def memory_left(
    session: SessionDiscovery, before: Mapping[DeviceID, int], devices: Sequence[DeviceInfo]
) -> dict[DeviceID, int]:
    """How much less memory is free than before a test, where that is more than the tolerance.

    Where the settings say so, waits until it is back: it lags behind the end of a process.

    Args:
        session: whose engine asks.
        before: bytes that were free.
        devices: the devices, which nobody else uses.

    Returns:
        bytes, by device.
    """
    waiting = session.settings.memory == "wait"
    deadline = time.monotonic() + session.settings.memory_timeout
    while True:
        left = _taken(before, session.free_memory(devices))
        if not (left and waiting) or time.monotonic() > deadline:
            return left
        time.sleep(_POLL)


def _taken(before: Mapping[DeviceID, int], now: Mapping[DeviceID, int]) -> dict[DeviceID, int]:
    both = before.keys() & now.keys()
    return {name: before[name] - now[name] for name in sorted(both) if before[name] - now[name] > TOLERANCE}
