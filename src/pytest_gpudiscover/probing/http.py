"""One request to one runner over one connection.

The request goes to a loopback port and nowhere else: no proxy, no redirect, no compression, no more than
`MAX_ANSWER` bytes. Waiting is bounded by the caller's deadline alone.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpcore
import httpx

from pytest_gpudiscover.probing.responses import MAX_ANSWER, BadResponseError, Response
from pytest_gpudiscover.text import printable

_MAX_ERROR_BODY = 2000


async def get(connected: socket.socket, path: str) -> Response:
    """Send one GET request over a connected, non-blocking socket, and read the answer to its end.

    Raises:
        BadResponseError: the answer is not HTTP, cut short, too long, or compressed.
    """
    # No client is put around the transport: proxies, redirects and cookies are a client's, not a request's.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "Connection": "close"}
    request = httpx.Request("GET", f"http://runner{path}", headers=headers)
    ready: float | None = None
    try:
        response = await _OneConnection(_SocketStream(connected)).handle_async_request(request)
        ready = asyncio.get_running_loop().time()
        try:
            return Response(response.status_code, await _body(response), ready)
        finally:
            await response.aclose()
    except (httpcore.ReadError, httpcore.WriteError) as error:
        detail = f"the connection broke: {printable(str(error))}"
        raise BadResponseError(detail, ready=ready, cut_short=True) from error
    except httpcore.RemoteProtocolError as error:
        raise BadResponseError("the answer is not complete HTTP", ready=ready, cut_short=True) from error
    except _TooMuchError as error:
        raise BadResponseError(str(error), ready=ready) from error


class _TooMuchError(Exception):
    """The body is not one we read."""


async def _body(response: httpx.Response) -> bytes:
    encoding = response.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise _TooMuchError(f"the answer is compressed ({printable(encoding, 40)}), which was not asked for")
    good = response.status_code == httpx.codes.OK
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_raw():
        chunks.append(chunk)
        size += len(chunk)
        if not good and size >= _MAX_ERROR_BODY:
            break
        if size > MAX_ANSWER:
            raise _TooMuchError(f"the answer is longer than {MAX_ANSWER} bytes")
    return b"".join(chunks)


class _SocketStream(httpcore.AsyncNetworkStream):
    """A connected socket as httpcore wants it. Whoever opened the socket closes it."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002, ASYNC109
        try:
            return await asyncio.get_running_loop().sock_recv(self._socket, max_bytes)
        except OSError as error:
            raise httpcore.ReadError(error.strerror or type(error).__name__) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109
        try:
            await asyncio.get_running_loop().sock_sendall(self._socket, buffer)
        except OSError as error:
            raise httpcore.WriteError(error.strerror or type(error).__name__) from error

    async def aclose(self) -> None:
        """Leave the socket open: how the runner ends its side still tells something."""

    def get_extra_info(self, info: str) -> Any:  # noqa: ARG002
        return None


class _OneConnection(httpx.AsyncBaseTransport):
    """Sends one request over a connection that exists already."""

    def __init__(self, stream: _SocketStream) -> None:
        self._stream = stream

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            target=request.url.raw_path,
        )
        connection = httpcore.AsyncHTTP11Connection(origin=url.origin, stream=self._stream)
        response = await connection.handle_async_request(
            httpcore.Request(method=request.method, url=url, headers=request.headers.raw)
        )
        assert not isinstance(response.stream, Iterable)
        return httpx.Response(response.status, headers=response.headers, stream=_ResponseStream(response))


class _ResponseStream(httpx.AsyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._response.aiter_stream():
            yield chunk

    async def aclose(self) -> None:
        await self._response.aclose()
