"""The native runner's own HTTP server, before clients of every kind."""

from __future__ import annotations

import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from pytest_gpudiscover.native import server as served
from pytest_gpudiscover.native.program import listen

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 20
INFO = b"GET /info HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
ANSWER = served.Response(200, "[]", "application/json")


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """A server in a thread, which answers `[]` and is more patient than its clients."""
    monkeypatch.setattr(served, "PATIENCE", 3600.0)
    listener = listen(0)
    server = served.Server(listener, lambda: ANSWER)
    found: tuple[str, int] = listener.getsockname()
    ending = threading.Event()

    def work() -> None:
        while not ending.is_set():
            server.step()

    thread = threading.Thread(target=work)
    thread.start()
    yield found
    ending.set()
    with socket.create_connection(found):
        thread.join(PATIENCE)
    server.close()
    assert not thread.is_alive()


def exchange(address: tuple[str, int], *parts: bytes) -> bytes:
    """Send, and read until the server hangs up."""
    with socket.create_connection(address, timeout=PATIENCE) as client:
        for part in parts:
            client.sendall(part)
        return b"".join(iter(lambda: client.recv(4096), b""))


def test_an_answer_states_its_length_and_closes(address: tuple[str, int]) -> None:
    head, _, body = exchange(address, INFO).partition(b"\r\n\r\n")
    assert body == b"[]"
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 200 OK",
        b"Content-Type: application/json",
        b"Content-Length: 2",
        b"Connection: close",
    ]


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /info?all HTTP/1.0", 200),
        (b"GET / HTTP/1.1", 404),
        (b"GET /information HTTP/1.1", 404),
        (b"POST /info HTTP/1.1", 405),
        (b"GET /info", 400),
        (b"GET /info FTP/1.1", 400),
        (b"", 400),
        (b"\xff\x00\xfe \x00 HTTP/1.1", 404),
        (b"\x16\x03\x01\x02\x00", 400),
    ],
)
def test_every_request_gets_the_status_it_deserves(
    address: tuple[str, int], request_line: bytes, status: int
) -> None:
    assert exchange(address, request_line + b"\r\n\r\n").startswith(b"HTTP/1.1 %d " % status)
    assert exchange(address, INFO).endswith(b"[]")


def test_a_request_may_come_in_pieces(address: tuple[str, int]) -> None:
    assert exchange(address, *(INFO[place : place + 1] for place in range(len(INFO)))).endswith(b"[]")


def test_endless_headers_are_refused(address: tuple[str, int]) -> None:
    assert exchange(address, b"x" * (served.MAX_REQUEST + 1)).startswith(b"HTTP/1.1 431 ")
    assert exchange(address, INFO).endswith(b"[]")


def test_a_request_with_a_body_still_gets_its_answer(address: tuple[str, int]) -> None:
    assert exchange(address, INFO + b"b" * 200_000).endswith(b"[]")


def test_clients_that_say_nothing_delay_nobody(address: tuple[str, int]) -> None:
    silent = [socket.create_connection(address) for _ in range(served.MAX_CONNECTIONS - 1)]
    assert exchange(address, INFO).endswith(b"[]")
    for client in silent:
        client.close()
    assert exchange(address, INFO).endswith(b"[]")


def test_the_oldest_silent_client_makes_room_for_the_next(address: tuple[str, int]) -> None:
    silent = [socket.create_connection(address, timeout=PATIENCE) for _ in range(served.MAX_CONNECTIONS)]
    assert exchange(address, INFO).endswith(b"[]")
    assert silent[0].recv(1) == b""
    for client in silent:
        client.close()


def test_a_client_that_says_nothing_is_hung_up_on_in_the_end(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "PATIENCE", 0.01)
    assert exchange(address) == b""


def test_a_client_that_resets_its_connection_harms_nobody(address: tuple[str, int]) -> None:
    client = socket.create_connection(address)
    client.sendall(INFO[:10])
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert exchange(address, INFO).endswith(b"[]")


def test_an_answer_that_finds_no_room_is_sent_when_there_is_some(monkeypatch: pytest.MonkeyPatch) -> None:
    large = "x" * 40_000_000
    monkeypatch.setattr(ANSWER, "body", large)
    monkeypatch.setattr(served, "HEARTBEAT", 0.0)
    listener = listen(0)
    server = served.Server(listener, lambda: ANSWER)
    with socket.create_connection(listener.getsockname(), timeout=PATIENCE) as client:
        client.sendall(INFO)
        for _ in range(20):
            server.step()
            client.sendall(b"more, while nobody reads")
        head, _, body = client.recv(1 << 20).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        received = len(body)
        while received < len(large):
            server.step()
            received += len(client.recv(1 << 20))
    assert received == len(large)
    server.close()


def test_a_client_that_speaks_just_as_it_makes_room_harms_nobody() -> None:
    listener = listen(0)
    server = served.Server(listener, lambda: ANSWER)
    clients = []
    for _ in range(served.MAX_CONNECTIONS):
        clients.append(socket.create_connection(listener.getsockname(), timeout=PATIENCE))
        server.step()
    clients.append(socket.create_connection(listener.getsockname(), timeout=PATIENCE))
    clients[0].sendall(INFO)
    server.step()
    clients[-1].sendall(INFO)
    server.step()
    assert clients[-1].recv(4096).endswith(b"[]")
    for client in clients:
        client.close()
    server.close()


def test_a_port_whose_last_connection_is_fading_can_be_listened_on() -> None:
    listener = listen(0)
    port = listener.getsockname()[1]
    with socket.create_connection(listener.getsockname(), timeout=PATIENCE) as client:
        accepted, _ = listener.accept()
        accepted.close()
        assert client.recv(1) == b""
    listener.close()
    listen(port).close()
