"""Asks a framework in a process of its own: whatever it does there, that is an answer in words."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pytest_gpudiscover.frameworks.comparing import Answer
from pytest_gpudiscover.probing.processes import Exit, Launcher, LaunchError
from pytest_gpudiscover.text import printable

_PROGRAM = Path(__file__).with_name("program.py")


async def ask(start: Launcher, framework: str, environment: Mapping[str, str], patience: float) -> Answer:
    """Ask a framework what it sees; afterwards neither the process nor anything that it started is left.

    Args:
        start: what starts processes, entered.
        framework: `torch`, `cupy` or `jax`.
        environment: the whole environment, the masks in it.
        patience: seconds that it may take, its import included.
    """
    with tempfile.TemporaryDirectory(prefix="gpudiscover-") as directory:
        path = Path(directory) / "answer.json"
        # Without -P the modules beside the program would be on the framework's path.
        command = [sys.executable, "-P", str(_PROGRAM), framework, str(path)]
        try:
            failure = await _run(start, command, environment, patience)
        except LaunchError as error:
            failure = error.detail
        if failure:
            return Answer(failure=failure)
        if not path.exists():
            return Answer(failure="it ended with code 0 in the middle of the question")
        return Answer.read(json.loads(path.read_text(encoding="utf-8")))


async def _run(start: Launcher, command: list[str], environment: Mapping[str, str], patience: float) -> str:
    """Run a program to its end; say what went wrong, "" when nothing did."""
    process = await start.launch(command, environment)
    try:
        async with asyncio.timeout(patience):
            ended = await process.wait()
    except TimeoutError:
        return f"it was not done after {patience:g} s"
    finally:
        await process.end()
    return _failure(ended, process.stderr)


def _failure(ended: Exit, stderr: str) -> str:
    if ended.signal:
        return f"it was ended by {ended.signal}"
    if ended.code:
        last = next((line for line in reversed(stderr.splitlines()) if line.strip()), "it said nothing")
        return f"it ended with code {ended.code}: {printable(last.strip(), 300)}"
    return ""
