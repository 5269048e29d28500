"""What the runner does with its command line and its environment.

Exit codes: 1 when it cannot listen, 2 for a usage error, 98 when the port is taken (the number of EADDRINUSE
on Linux), 130 after Ctrl-C.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys

from pytest_gpudiscover.native.drivers import DRIVERS, Driver
from pytest_gpudiscover.native.drivers.interface import DeviceError, DriverError
from pytest_gpudiscover.native.interruption import INTERRUPTED, came
from pytest_gpudiscover.native.server import Response, serve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

DRIVER_VARIABLE = "GPUDISCOVER_DRIVER"
"""Names the driver to ask, by its variant."""
DEEP_VARIABLE = "GGML_CUDA_INIT"
"""Set to 1 to have every listed device initialised and put to work, whatever its library."""

CANNOT_LISTEN = 1
USAGE_ERROR = 2
PORT_TAKEN = 98

_WORDS = ("runner", "--ollama-engine", "--port")


class UsageError(Exception):
    """The runner was started in a way it does not understand; the message is one line."""


def main(arguments: Sequence[str]) -> int:
    """Run the runner until it is killed.

    Args:
        arguments: the command line, without the program.

    Returns:
        The exit code: it comes back only when it could not serve, or was interrupted.

    Raises:
        KeyboardInterrupt: it was interrupted, and everything is closed.
    """
    try:
        port = read_port(arguments)
        driver = choose_driver(os.environ)
    except UsageError as error:
        return _fail(str(error), USAGE_ERROR)
    try:
        listener = listen(port)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        problem = "address already in use" if taken else error.strerror
        return _fail(f"cannot listen on 127.0.0.1:{port}: {problem}", PORT_TAKEN if taken else CANNOT_LISTEN)
    serve(listener, once(lambda: answer(driver, os.environ)), until=came)
    return INTERRUPTED


def read_port(arguments: Sequence[str]) -> int:
    """Read the port from the arguments of the protocol.

    Raises:
        UsageError: the arguments are others, or the port is no number from 1 to 65535.
    """
    if len(arguments) != len(_WORDS) + 1 or tuple(arguments[:-1]) != _WORDS:
        expected = " ".join([*_WORDS, "N"])
        raise UsageError(f"expected the arguments '{expected}', got '{' '.join(arguments)}'")
    port = arguments[-1]
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise UsageError(f"expected a port from 1 to 65535, got '{port}'")
    return int(port)


def choose_driver(environment: Mapping[str, str]) -> Driver:
    """Find the driver that the environment names.

    Raises:
        UsageError: it names none, or one that is not in the registry.
    """
    name = environment.get(DRIVER_VARIABLE)
    if name is None or name not in DRIVERS:
        came = "it is not set" if name is None else f"got '{name}'"
        raise UsageError(f"expected {DRIVER_VARIABLE} to be one of: {', '.join(DRIVERS)}; {came}")
    return DRIVERS[name]


def listen(port: int) -> socket.socket:
    """Bind and listen on the loopback address, before anything slow: who polls then waits, not retries.

    Raises:
        OSError: the port is taken, or cannot be bound.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            # A port whose last connection is still fading is free; on Windows the option would steal ports.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def answer(driver: Driver, environment: Mapping[str, str]) -> Response:
    """Ask a driver: 200 with its devices as JSON, or 500 with a sentence when it, or the system, refuses."""
    deep = environment.get(DEEP_VARIABLE) == "1"
    try:
        entries = driver.list_devices(environment=environment, deep=deep)
    except (DriverError, DeviceError) as error:
        return Response(500, f"{driver.library}: {error}\n")
    except OSError as error:
        # The server would take it for a client that hung up.
        expected = "expected the system to answer what it was asked of the driver"
        return Response(500, f"{driver.library}: {expected}, got {error}: check what this process may read\n")
    return Response(200, json.dumps([entry.to_wire() for entry in entries]), "application/json")


def once(ask: Callable[[], Response]) -> Callable[[], Response]:
    """Ask at the first call, and give every later call the same answer."""
    answers: list[Response] = []

    def ask_once() -> Response:
        if not answers:
            answers.append(ask())
        return answers[0]

    return ask_once


def _fail(line: str, code: int) -> int:
    sys.stderr.write(f"native runner: {line}\n")
    return code
