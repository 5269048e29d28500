"""Performing a script: the process, the port, the connections. Nothing is decided or pretended here.

`_socket`, `_signal` and `_thread` are what `socket`, `signal` and `threading` are made of; loading those
would double the time of a start.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import _thread
import os
import sys
import time

from fake_runner.scripts import AFTER_ANSWER, MID_ANSWER, REQUEST, START, Answer, gave_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

    from fake_runner.live import LiveHost
    from fake_runner.scripts import Death, Pace, Script

LARGEST_HEAD = 65536
"""Bytes of a request that are read before it is given up."""

LINGER = 600
"""Seconds after which a process that outlives its runner ends by itself, should nobody have found it."""

REASONS = {200: "OK", 302: "Found", 400: "Bad Request", 404: "Not Found", 500: "Internal Server Error"}


def perform(live: LiveHost, port: int) -> int:
    """Do what the script says, on 127.0.0.1.

    Returns:
        The exit code, if it comes to that: a script that serves does not end.
    """
    script = live.script
    begin(script)
    if script.squatter:
        squat(live, port)
    if script.port_taken:
        write_stderr(gave_up(port))
        return 1
    try:
        listener = listening(port)
    except OSError as error:
        write_stderr(gave_up(port, (error.strerror or str(error)).lower()))
        return 1
    return serve(live, listener)


def begin(script: Script) -> None:
    """Do what comes before any answer; returns when it is time for one."""
    prepare(script)
    if script.daemonises:
        daemonise(original_stays=script.daemonises == "stays")
    if script.leaves_grandchild and os.fork() == 0:
        linger()
    write_stderr(script.stderr)
    if script.stops_itself:
        os.kill(os.getpid(), _signal.SIGSTOP)
    if script.death and script.death.when == START:
        die(script.death)
    time.sleep(script.delay)
    if not script.binds:
        sleep_forever()


def prepare(script: Script) -> None:
    """Make sure that signals do what the script says, whatever this process inherited."""
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    for name in script.ignored_signals:
        _signal.signal(number_of(name), _signal.SIG_IGN)
    if script.death and script.death.signal not in ("", "KILL"):
        _signal.signal(number_of(script.death.signal), _signal.SIG_DFL)


def number_of(signal: str) -> int:
    """The number of a signal, as this system counts."""
    number: int = getattr(_signal, f"SIG{signal}")
    return number


def die(death: Death) -> NoReturn:
    """End as the script says: at once, with nothing flushed or closed."""
    if not death.signal:
        os._exit(death.code)
    if hasattr(_signal, "pthread_sigmask"):
        import resource

        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, {number_of(death.signal)})
        # A simulated crash must not fill the disk with genuine core dumps.
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    os.kill(os.getpid(), number_of(death.signal))
    sleep_forever()


def sleep_forever() -> NoReturn:
    """Live and do nothing."""
    while True:
        time.sleep(3600)


def linger() -> NoReturn:
    """Outlive the runner, but not for ever."""
    time.sleep(LINGER)
    os._exit(0)


def daemonise(*, original_stays: bool) -> None:
    """Fork twice, into a session of its own. Returns in the process that is to serve."""
    if os.fork() != 0:
        os.wait()
        if original_stays:
            return
        os._exit(0)
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    if original_stays:
        linger()
    _signal.alarm(LINGER)


def write_stderr(text: str) -> None:
    """Write past Python's buffers, and wait as long as nobody reads."""
    left = text.encode()
    while left:
        left = left[os.write(2, left) :]


def squat(live: LiveHost, port: int) -> None:
    """Let another process of ours take the port and answer there; returns when it has.

    Its parent is gone before it binds the port: it is no child by which the runner could be said to listen.
    """
    ours, its = _socket.socketpair()
    if (between := os.fork()) == 0:
        if os.fork() == 0:
            _signal.alarm(LINGER)
            its.recv(1)
            try:
                listener = listening(port)
            finally:
                its.send(b"!")
            serve(live, listener, squatting=True)
        os._exit(0)
    os.waitpid(between, 0)
    ours.send(b"!")
    ours.recv(1)
    ours.close()
    its.close()


def listening(port: int) -> _socket.socket:
    """Bind and listen as an ordinary server does.

    Raises:
        OSError: the port is taken.
    """
    listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    if sys.platform != "win32":
        # On Windows the same option would let two servers share one port.
        listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


def serve(live: LiveHost, listener: _socket.socket, *, squatting: bool = False) -> NoReturn:
    """Answer every connection in a thread of its own, so that a silent client delays nobody."""
    while True:
        try:
            descriptor, _ = listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - `accept` is the package's
        except OSError:
            continue
        connection = _socket.socket(fileno=descriptor)
        _thread.start_new_thread(attend, (live, connection, squatting))


def attend(live: LiveHost, connection: _socket.socket, squatting: bool) -> None:
    """Serve one connection, and survive whatever its client does."""
    try:
        converse(live, connection, squatting=squatting)
    except OSError:
        # The client is gone: nobody is left to be answered.
        return
    finally:
        connection.close()


def converse(live: LiveHost, connection: _socket.socket, *, squatting: bool) -> None:
    """Read one request, answer it, close."""
    request = read_head(connection)
    if not request:
        return
    script = live.current()
    if squatting and script.squatter:
        send(script, script.squatter, connection)
        return
    if script.death and script.death.when == REQUEST:
        die(script.death)
    if script.silent:
        sleep_forever()
    if live.refuses():
        reset(connection)
        return
    answer = answer_for(script, request)
    live.record(answer)
    send(script, answer, connection)
    connection.shutdown(_socket.SHUT_WR)
    # Closing with something unread would reset the connection under an answer still on its way.
    connection.settimeout(1)
    while connection.recv(LARGEST_HEAD):
        pass


def read_head(connection: _socket.socket) -> bytes:
    """The request up to its blank line; b"" when the client leaves before."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < LARGEST_HEAD:
        received = connection.recv(4096)
        if not received:
            return b""
        head += received
    return head


def answer_for(script: Script, request: bytes) -> Answer:
    """The answer to a request: by its path, whatever its other headers say."""
    words = request.partition(b"\r\n")[0].split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        return Answer(b"400 bad request\n", 400, "text/plain; charset=utf-8")
    path = words[1].decode("latin-1").partition("?")[0]
    if words[0] != b"GET" or path not in script.routes:
        return Answer(b"404 page not found\n", 404, "text/plain; charset=utf-8")
    return script.routes[path]


def send(script: Script, answer: Answer, connection: _socket.socket) -> None:
    """Send an answer as far and as fast as it wants to be sent, and die where the script says so."""
    if answer.raw is not None:
        connection.sendall(answer.raw)
        return
    if answer.head_pace or answer.body_pace:
        connection.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
    pour(head(answer), answer.head_pace, connection)
    pour(answer.body[: answer.cut], answer.body_pace, connection)
    while answer.endless:
        connection.sendall(answer.body)
    if script.death and script.death.when in (MID_ANSWER, AFTER_ANSWER):
        die(script.death)
    if answer.reset:
        reset(connection)


def head(answer: Answer) -> bytes:
    """Status line and headers."""
    headers = dict(answer.headers)
    if not answer.endless and "Transfer-Encoding" not in headers:
        headers["Content-Length"] = str(len(answer.body) if answer.announced is None else answer.announced)
    headers["Connection"] = "close"
    lines = [f"HTTP/1.1 {answer.status} {REASONS.get(answer.status, 'Whatever')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")


def pour(data: bytes, pace: Pace | None, connection: _socket.socket) -> None:
    """Send data, all at once or at a pace."""
    if pace is None:
        connection.sendall(data)
        return
    for piece in pieces(data, pace.piece):
        connection.sendall(piece)
        time.sleep(pace.pause)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    """Cut data into pieces of so many bytes."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


def reset(connection: _socket.socket) -> None:
    """Close so that the client receives a genuine RST: lingering for no time discards what is unsent."""
    connection.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()
