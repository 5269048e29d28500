"""What must be done to its end, also by somebody who is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine


async def finished(work: Coroutine[None, None, None]) -> None:
    """Await work to its end although the awaiting task is cancelled meanwhile; then let it be cancelled."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled
