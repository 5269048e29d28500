"""Asking a program that prints its answer and ends, as Ollama's does from release 0.30 on.

`ollama gpu-discover --lib-dir ROOT --lib-dir VARIANT` writes one JSON object to stdout, and its libraries'
talk to stderr. Only its end makes the answer whole: a driver may still crash it on the way out.
"""

from __future__ import annotations

import asyncio

from pytest_gpudiscover.gpu_discover import parse_printed
from pytest_gpudiscover.probing import Failure
from pytest_gpudiscover.probing.asking import AskError, Reply, RunnerGoneError
from pytest_gpudiscover.probing.output import ANSWER_SIZE
from pytest_gpudiscover.probing.processes import Exit, RunnerProcess
from pytest_gpudiscover.probing.responses import MAX_ANSWER
from pytest_gpudiscover.reports import Reason
from pytest_gpudiscover.variants import Variant

COMMAND = "gpu-discover"
"""Ollama's command that prints what it sees."""

_LOOK_AGAIN = 0.05
"""Seconds between two looks whether a program that does not end prints without end."""

_TOO_LONG = f"it is longer than {MAX_ANSWER >> 20} MiB"


class GpuDiscover:
    """Ask with `gpu-discover`: the program is started, and what it has printed when it ends is its answer.

    Args:
        root: the library root, the first directory that it is told of; "" when there is none.
    """

    listens = False

    def __init__(self, root: str) -> None:
        self._root = root

    def arguments(self, variant: Variant, port: int) -> tuple[str, ...]:  # noqa: ARG002 - it prints
        """The command, and the directories to load libraries from."""
        directories = dict.fromkeys([*([self._root] if self._root else []), *variant.directories])
        return (COMMAND, *(word for directory in directories for word in ("--lib-dir", directory)))

    async def ask(self, process: RunnerProcess, port: int) -> Reply:  # noqa: ARG002 - it prints, on no port
        """Wait for its end, and read what it has printed."""
        end = await _end(process)
        return _understood(process.stdout, end, asyncio.get_running_loop().time())


async def _end(process: RunnerProcess) -> Exit:
    """Wait until the program ends by itself.

    Raises:
        AskError: it has printed more than any answer is long.
    """
    while True:
        try:
            async with asyncio.timeout(_LOOK_AGAIN):
                return await process.wait()
        except TimeoutError:
            if len(process.stdout) == ANSWER_SIZE:
                raise _bad(_TOO_LONG, asyncio.get_running_loop().time()) from None


def _understood(printed: bytes, end: Exit, now: float) -> Reply:
    """Make sense of what an ended program has printed.

    Raises:
        AskError: it ended well, and what it printed is no answer.
        RunnerGoneError: it printed nothing, or did not come to the end of its answer.
    """
    if not printed:
        raise RunnerGoneError
    if len(printed) == ANSWER_SIZE:
        raise _bad(_TOO_LONG, now)
    answer = parse_printed(printed)
    if not answer.refused:
        return Reply(answer, now)
    if end.code != 0:
        raise RunnerGoneError(ready=now)
    raise _bad(answer.refused.detail, now)


def _bad(problem: str, ready: float) -> AskError:
    detail = f"what {COMMAND} printed is no answer: {problem}"
    return AskError(Failure(reason=Reason.BAD_ANSWER, detail=detail), ready=ready)
