"""Ctrl-C in the native runner, at every moment at which it can come."""

from __future__ import annotations

import selectors
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpudiscover.native import server
from pytest_gpudiscover.native.program import listen
from pytest_gpudiscover.probing.ports import free_port
from tests.native.conftest import NATIVE, PATIENCE

if TYPE_CHECKING:
    from tests.native.conftest import Start

SOURCES = (server.__file__, selectors.__file__)
ANSWER = server.Response(200, "[]", "application/json")
IMPORTED_LATE = "pytest_gpudiscover.native.server"


class Interrupting:
    """Raises KeyboardInterrupt at one line, counted from 1, of what the server executes; 0 only counts."""

    def __init__(self, line: int) -> None:
        self.line = line
        self.executed = 0

    def trace(self, frame: FrameType, event: str, _argument: Any) -> Callable[..., Any] | None:
        """Count a line of the server's own, or of the selectors that it uses."""
        if frame.f_code.co_filename not in SOURCES:
            return None
        if event == "line":
            self.executed += 1
            if self.executed == self.line:
                raise KeyboardInterrupt
        return self.trace


@pytest.fixture
def tracing() -> Iterator[Callable[[Any], None]]:
    """Set a trace function; afterwards the one from before is back."""
    before = sys.gettrace()
    yield sys.settrace
    sys.settrace(before)


def serve_one_client(line: int, tracing: Callable[[Any], None]) -> int:
    """Serve a client that asks and hangs up, interrupted at a line, or at 0 not; how many lines that took."""
    interrupting = Interrupting(line)
    steps = iter(("accepted", "answered", "dropped"))
    with listen(0) as listener, socket.create_connection(listener.getsockname()) as client:
        client.sendall(b"GET /info HTTP/1.1\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        try:
            tracing(interrupting.trace)
            server.serve(listener, lambda: ANSWER, until=lambda: next(steps, None) is None)
        finally:
            tracing(None)
    return interrupting.executed


def test_an_interruption_at_any_line_of_the_server_stays_one(
    monkeypatch: pytest.MonkeyPatch, tracing: Callable[[Any], None]
) -> None:
    # Each step waits for what it is there for: every time the same lines are executed.
    monkeypatch.setattr(server, "HEARTBEAT", server.PATIENCE)
    warnings.simplefilter("ignore", ResourceWarning)  # A socket may be lost on its way to its owner.
    total = serve_one_client(0, tracing)
    assert total > 100
    for line in range(1, total + 1):
        with pytest.raises(KeyboardInterrupt):
            serve_one_client(line, tracing)


INTERRUPT = "signal.raise_signal(signal.SIGINT)"
DROPPED = f"""
        class Dropped:
            def __del__(self):
                {INTERRUPT}
        Dropped()
"""


@pytest.mark.usefixtures("control_c")
@pytest.mark.parametrize(
    ("how", "stderr"), [(f"\n        {INTERRUPT}\n", ""), (DROPPED, "Exception ignored in")]
)
def test_an_interruption_while_the_program_is_imported_ends_it_even_where_python_drops_it(
    how: str, stderr: str, clean_environment: dict[str, str]
) -> None:
    program = f"""
import runpy, signal, sys

class Finder:
    def find_spec(name, path, target=None):
        if name != {IMPORTED_LATE!r}:
            return{how}
sys.meta_path.insert(0, Finder)
sys.argv = ["", "runner", "--ollama-engine", "--port", {str(free_port())!r}]
runpy.run_path({str(NATIVE)!r}, run_name="__main__")
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program],
        env=clean_environment | {"GPUDISCOVER_DRIVER": "vulkan"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.startswith(stderr) if stderr else not done.stderr


def test_an_interruption_that_is_ignored_by_the_parent_stays_ignored(start: Start) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        runner = start()
    finally:
        signal.signal(signal.SIGINT, before)
    assert runner.get("/else")[0] == 404
    runner.process.send_signal(signal.SIGINT)
    assert runner.get("/else")[0] == 404
    runner.kill()
