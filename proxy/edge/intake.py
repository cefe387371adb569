"""One request as aiohttp's server parsed it: its head, and its body to be read.

The server makes one of these in the place of its own request object, which
costs more than everything the proxy itself does with a small request.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Protocol, cast

from aiohttp import StreamReader
from aiohttp.http_parser import RawRequestMessage
from aiohttp.http_websocket import WebSocketReader

from proxy.core.errors import BodyTooLarge, InvalidBody, RequestTimeout, UnsupportedEncoding
from proxy.core.ports import Tunnel


class Client(Protocol):
    """The connection that a request came by, as far as others need it."""

    peer: str
    transport: asyncio.Transport | None

    @property
    def writing_paused(self) -> bool:
        """Whether the client is behind in reading."""
        ...

    async def drained(self) -> None:
        """Wait until it has caught up."""
        ...

    def abort(self) -> None:
        """Close so that half an answer cannot be taken for a whole one."""
        ...

    def set_parser(self, parser: WebSocketReader) -> None:
        """Hand all further bytes to ``parser``."""
        ...


class Incoming:
    """The ``Intake`` of one request, and what aiohttp asks of one that goes on.

    ``body_s`` bounds the seconds between two pieces of the body.
    """

    __slots__ = (
        "_beginning",
        "_body_s",
        "_is_invited",
        "connection",
        "has_body",
        "is_encoded",
        "length",
        "message",
        "payload",
    )  # fmt: skip

    def __init__(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        connection: Client,
        body_s: float,
    ) -> None:
        self.message = message
        self.payload = payload
        self.connection = connection
        self._body_s = body_s
        self._beginning = b""
        length = message.headers.get("content-length")
        self.length = int(length) if length is not None else None
        self.has_body = bool(self.length) or message.chunked
        self.is_encoded = "content-encoding" in message.headers
        self._is_invited = False

    # what aiohttp's request handler calls

    def _cancel(self, exc: BaseException) -> None:
        """The connection is gone: whoever reads the body is told."""
        if not self.payload.is_eof():
            self.payload.set_exception(exc)

    # the port

    @property
    def is_read(self) -> bool:
        """Whether the client has sent all of the body."""
        return self.payload.is_eof()

    def _invite(self) -> None:
        """Tell a client that waits for it to send the body."""
        if self._is_invited:
            return
        self._is_invited = True
        if self.message.headers.get("expect", "").lower() == "100-continue":
            transport = self.connection.transport
            if transport is not None:
                transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def read(self, limit: int) -> bytes:
        """The whole body, decompressed.  Raises ``BodyTooLarge`` and others."""
        if not self.has_body:
            return b""
        if self.length is not None and self.length > limit:
            raise _too_large(limit)
        encoding = "identity"
        if self.is_encoded:
            encoding = self.message.headers["content-encoding"].strip().lower()
        if encoding not in ("identity", "", "gzip", "x-gzip", "deflate"):
            raise UnsupportedEncoding("send the body as it is, or with gzip or deflate")
        payload = self.payload
        if payload.is_eof() and not self._beginning:
            data = payload.read_nowait(-1)
            if not payload.at_eof() or len(data) > limit:
                data = await self._collect(limit, data)
        else:
            data = await self._collect(limit, b"")
        return data if encoding in ("identity", "") else _inflate(data, limit)

    async def _collect(self, limit: int, first: bytes) -> bytes:
        parts, size = [first], len(first)
        if size > limit:
            raise _too_large(limit)
        async for data in self.chunks(limit - size):
            parts.append(data)
        return b"".join(parts)

    async def chunks(self, limit: int) -> AsyncIterator[bytes]:
        """The body as it comes, still compressed if it was."""
        if self.length is not None and self.length > limit:
            raise _too_large(limit)
        size = len(self._beginning)
        if size:
            data, self._beginning = self._beginning, b""
            yield data
        while data := await self._some():
            size += len(data)
            if size > limit:
                raise _too_large(limit)
            yield data

    async def _some(self) -> bytes:
        """The next piece of the body, empty at its end."""
        self._invite()
        try:
            async with asyncio.timeout(self._body_s):
                return await self.payload.readany()
        except TimeoutError as exc:
            raise RequestTimeout(
                f"nothing more of the request's body came for {self._body_s:g} s"
            ) from exc

    async def peek(self, limit: int, is_enough: Callable[[bytes | bytearray], bool]) -> bytes:
        """The beginning of the body, kept for ``chunks``."""
        if is_enough(self._beginning):
            return self._beginning
        grown = bytearray(self._beginning)
        while data := await self._some():
            grown += data
            if len(grown) > limit:
                raise _too_large(limit)
            if is_enough(grown):
                break
        self._beginning = bytes(grown)
        return self._beginning

    def edit(self, beginning: bytes) -> None:
        """Put other bytes in the place of what ``peek`` gave."""
        if self.length is not None:
            self.length += len(beginning) - len(self._beginning)
        self._beginning = beginning

    def tunnel(self, far: Tunnel) -> None:
        """Hand what the client sends to ``far``, at its pace."""
        self.connection.set_parser(cast("WebSocketReader", _Towards(self.connection, far)))


class _Towards:
    """Stands where aiohttp keeps its WebSocket parser, and parses nothing."""

    def __init__(self, connection: Client, far: Tunnel) -> None:
        self._connection = connection
        self._far = far
        far.on_writable(self._resume)

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Bytes of the client, as they came."""
        if not self._far.write(data) and self._connection.transport is not None:
            self._connection.transport.pause_reading()
        return False, b""

    def _resume(self) -> None:
        if self._connection.transport is not None:
            self._connection.transport.resume_reading()

    def feed_eof(self) -> None:
        """The client is gone; the cancelled handler closes the far side."""


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the request's body is over {limit} bytes (process.max_body)")


def _inflate(data: bytes, limit: int) -> bytes:
    engine = zlib.decompressobj(wbits=47)
    try:
        out = engine.decompress(data, limit + 1)
    except zlib.error as exc:
        raise InvalidBody("the body is not in the encoding that its header names") from exc
    if len(out) > limit:
        raise _too_large(limit)
    if not engine.eof:
        raise InvalidBody("the compressed body ends too early")
    return out
