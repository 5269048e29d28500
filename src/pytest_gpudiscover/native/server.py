"""A very small HTTP server: one path, one answer, any number of connections one after another or at once.

One thread and one selector serve them all, so that a client which connects and says nothing delays nobody.
`http.server` would do, but takes longer to import than a driver takes to answer.
"""

from __future__ import annotations

import selectors
import socket
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 10.0
"""Seconds that a connection may last; ours is a client on the same machine."""
HEARTBEAT = 0.5
"""Seconds of the longest wait: a Ctrl-C that comes just before a wait is noticed only after it."""
MAX_REQUEST = 16 * 1024
"""Bytes of request line and headers."""
MAX_CONNECTIONS = 64
"""Connections held at once; the oldest makes room for the next."""

_PHRASES = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
}


class Response:
    """A whole answer.

    Attributes:
        status: the HTTP status.
        body: text; it goes out as UTF-8.
        content_type: the media type.
    """

    def __init__(self, status: int, body: str, content_type: str = "text/plain; charset=utf-8") -> None:
        self.status = status
        self.body = body
        self.content_type = content_type

    def to_bytes(self) -> bytes:
        """The answer as it goes over the socket. It always closes the connection."""
        # A message may quote a variable that is no UTF-8.
        body = self.body.encode(errors="backslashreplace")
        head = (
            f"HTTP/1.1 {self.status} {_PHRASES[self.status]}\r\n"
            f"Content-Type: {self.content_type}\r\n"
            f"Content-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        return head.encode("ascii") + body


def respond(head: bytes, info: Callable[[], Response]) -> Response:
    """Answer one request.

    Args:
        head: everything up to the blank line.
        info: asks for the answer to `GET /info`.
    """
    words = head.split(b"\r\n", 1)[0].split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        return Response(400, "expected an HTTP/1.1 request line such as 'GET /info HTTP/1.1'\n")
    method, target, _ = words
    if target.partition(b"?")[0] != b"/info":
        return Response(404, "this runner knows one path: /info\n")
    if method != b"GET":
        return Response(405, "/info takes GET only\n")
    return info()


class Connection:
    """One client: first its request comes in, then the answer goes out, then it has time to hang up."""

    def __init__(self, client: socket.socket) -> None:
        client.setblocking(False)
        self.client = client
        self.deadline = time.monotonic() + PATIENCE
        self.received = b""
        self.outgoing: bytes | None = None

    def fileno(self) -> int:
        """What a selector wants to know."""
        return self.client.fileno()

    def read(self, info: Callable[[], Response]) -> bool:
        """Take in what has come; False when the client has hung up.

        Once the answer is under way, what still comes is thrown away, but read: closing a socket with unread
        bytes resets the connection, and the answer may be lost with it.
        """
        chunk = self.client.recv(MAX_REQUEST)
        if self.outgoing is None and chunk:
            self.received += chunk
            head, blank_line, _ = self.received.partition(b"\r\n\r\n")
            if blank_line:
                self.outgoing = respond(head, info).to_bytes()
            elif len(self.received) > MAX_REQUEST:
                self.outgoing = Response(431, f"expected at most {MAX_REQUEST} bytes of headers\n").to_bytes()
        return bool(chunk)

    def write(self) -> None:
        """Send what the socket takes, and after the last byte say that nothing more comes."""
        if self.outgoing:
            self.outgoing = self.outgoing[self.client.send(self.outgoing) :]
            if not self.outgoing:
                self.client.shutdown(socket.SHUT_WR)

    @property
    def interest(self) -> int:
        """The events that this connection waits for."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self.outgoing else 0)


class Server:
    """Everything that is connected to one listener."""

    def __init__(self, listener: socket.socket, info: Callable[[], Response]) -> None:
        self._listener = listener
        self._info = info
        self._selector = selectors.DefaultSelector()
        self._connections: list[Connection] = []
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ)

    def step(self) -> None:
        """Wait for something to happen, and see to it."""
        for key, events in self._selector.select(self._patience()):
            if key.fileobj is self._listener:
                self._accept()
            elif key.data in self._connections:
                self._continue(key.data, events)
        now = time.monotonic()
        for late in [one for one in self._connections if one.deadline <= now]:
            self._drop(late)

    def close(self) -> None:
        """Hang up on everybody, and stop listening; also when a Ctrl-C has left `step` half done.

        So it does not take the connections off the selector one by one: one of them may be off it already,
        which would be an error, and hide the Ctrl-C.
        """
        for connection in self._connections:
            connection.client.close()
        self._selector.close()
        self._listener.close()

    def _patience(self) -> float:
        if not self._connections:
            return HEARTBEAT
        return min(HEARTBEAT, max(0.0, self._connections[0].deadline - time.monotonic()))

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # It hung up before we picked up.
        if len(self._connections) == MAX_CONNECTIONS:
            self._drop(self._connections[0])
        connection = Connection(client)
        self._connections.append(connection)
        self._selector.register(client, connection.interest, connection)

    def _continue(self, connection: Connection, events: int) -> None:
        try:
            alive = not events & selectors.EVENT_READ or connection.read(self._info)
            connection.write()
        except BlockingIOError:
            alive = True  # Nothing to read after all, or no room to write: the selector will say when.
        except OSError:
            alive = False  # A client that resets its connection loses nothing but its own answer.
        if alive:
            self._selector.modify(connection.client, connection.interest, connection)
        else:
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        self._selector.unregister(connection.client)
        self._connections.remove(connection)
        connection.client.close()


def serve(listener: socket.socket, info: Callable[[], Response], until: Callable[[], bool]) -> None:
    """Serve `GET /info` until the process is to end.

    Args:
        listener: a listening socket; it is closed at the end.
        info: asked for the answer, at every request.
        until: asked between the steps, at least every `HEARTBEAT`: whether this is the end.
    """
    server = Server(listener, info)
    try:
        while not until():
            server.step()
    finally:
        server.close()
