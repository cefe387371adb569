"""One connection to an upstream: a request goes out, an answer comes back.

The head is read by aiohttp's C parser, the body by ``wire.transfer``, and
bytes of the body are handed on from ``data_received`` itself: no stream
reader, no task and no timer stand between the two sockets.  A stalled client
pauses the reading here, so what it does not read is not held.

Deadlines are checked by whoever owns the connection, through ``overdue``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, cast

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpResponseParser, RawResponseMessage

from proxy.core.errors import ProxyError, UpstreamProtocol, UpstreamReset, UpstreamTimeout
from proxy.core.pipeline import Write
from proxy.wire.transfer import Fixed, Transfer, UntilClose, transfer

MAX_HEAD: Final = 64 * 1024
MAX_PENDING: Final = 64 * 1024
"""Bytes of a body read before anyone takes them; reading pauses beyond."""

MAX_INFORMATIONAL: Final = 16


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds: to the head and first content, between contents, for the whole."""

    first: float
    idle: float
    total: float


class Connection(asyncio.BufferedProtocol):
    """One socket to one endpoint, used by one exchange at a time.

    ``buffer`` is where the socket is read into; it is empty again when
    ``buffer_updated`` returns, so all connections of a loop share one.  Its
    size bounds a read, and with that what a client that stops reading can
    make us hold.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, buffer: memoryview, now: Callable[[], float]
    ) -> None:
        self._loop = loop
        self._buffer = buffer
        self.now = now
        # Told that no answer has a body, the parser stops after each head
        # and can be used for the next; the body is not its business.
        self._parser = HttpResponseParser(
            self,
            loop,
            MAX_PENDING,
            max_line_size=MAX_HEAD,
            max_field_size=MAX_HEAD,
            max_headers=256,
            response_with_body=False,
            auto_decompress=False,
        )
        self.transport: asyncio.Transport | None = None
        self.used = 0
        self.idle_since = 0.0
        self._error: ProxyError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._can_write: asyncio.Future[None] | None = None
        self._reset()

    def _reset(self) -> None:
        self._held = b""
        self.head: RawResponseMessage | None = None
        self._is_head_method = False
        self._informational = 0
        self._transfer: Transfer = Fixed(0)
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._sink: Write | None = None
        self._is_reading_paused = False
        self._is_busy = False
        self._started = 0.0
        self._deadlines = Deadlines(0, 0, 0)
        self.touched = 0.0
        self.has_content = False
        self.got_bytes = False
        self.is_half_sent = False
        self._is_upgrade = False
        self._on_writable: Callable[[], None] | None = None

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there (TCP_NODELAY is set by uvloop and asyncio)."""
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone: whoever waits is told why."""
        self.transport = None
        if self._is_busy and self._error is None:
            try:
                if self.head is None:
                    raise UpstreamReset("the upstream closed the connection without an answer")
                if exc is not None:
                    raise UpstreamReset("the upstream reset the connection in mid-answer")
                self._transfer.end()
            except ProxyError as error:
                self._error = error
        self._wake()
        self.resume_writing()

    def eof_received(self) -> bool:
        """Close on half-close: an upstream that stopped sending is done."""
        return False

    def pause_writing(self) -> None:
        """The upstream is slow in reading the request's body."""
        if self._can_write is None:
            self._can_write = self._loop.create_future()

    def resume_writing(self) -> None:
        """It has caught up, or is gone."""
        if self._on_writable is not None:
            self._on_writable()
        waiter, self._can_write = self._can_write, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next read goes."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes of the answer; bytes when nothing was asked close the socket."""
        data = bytes(self._buffer[:nbytes])
        if not self._is_busy or self._error is not None:
            self.abort()
            return
        self.got_bytes = True
        try:
            if self.head is None:
                rest = self._read_head(data)
                if rest is None:
                    return
                self._wake()
                data = rest
                if not data:
                    return
            if self._transfer.is_done:
                raise UpstreamProtocol("the upstream sent more than its answer")
            self._deliver(self._transfer.feed(data))
        except ProxyError as error:
            self.fail(error)

    def _read_head(self, data: bytes) -> bytes | None:
        """Bytes after the head once it is whole; ``None`` until then."""
        data = self._held + data
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if len(data) > MAX_HEAD:
                    raise UpstreamProtocol("the upstream's head is over 64 KiB")
                self._held = data
                return None
            message = self._parse(data[: end + 4])
            data = data[end + 4 :]
            if message.code >= 200 or (message.code == 101 and self._is_upgrade):
                break
            # 1xx are hop-by-hop here: 100 answers no Expect of ours.
            self._informational += 1
            if message.code == 101 or self._informational > MAX_INFORMATIONAL:
                raise UpstreamProtocol(f"the upstream answered {message.code} to a plain request")
        self._held = b""
        self.head = message
        headers = message.headers
        if len(headers.getall("content-length", ())) > 1:
            raise UpstreamProtocol("the upstream sent two content-lengths")
        length, encoding = headers.get("content-length"), headers.get("transfer-encoding")
        if message.code == 101:
            self._transfer = UntilClose()
            return data
        self._transfer = transfer(
            status=message.code,
            is_head=self._is_head_method,
            encoding=None if encoding is None else encoding.encode(),
            length=None if length is None else length.encode(),
        )
        return data

    def _parse(self, head: bytes) -> RawResponseMessage:
        try:
            messages, _, _ = self._parser.feed_data(head)
        except HttpProcessingError as exc:
            raise UpstreamProtocol("the upstream's answer is not HTTP/1.1") from exc
        if len(messages) != 1:
            raise UpstreamProtocol("the upstream's answer is not HTTP/1.1")
        message: RawResponseMessage = messages[0][0]
        return message

    def _deliver(self, body: bytes) -> None:
        if body:
            if self._sink is not None:
                if not self._sink(body):
                    self._pause()
                    self._wake()
            else:
                self._pending.append(body)
                self._pending_size += len(body)
                if self._pending_size > MAX_PENDING:
                    self._pause()
                self._wake()
        if self._transfer.is_done:
            self._wake()

    def _pause(self) -> None:
        if not self._is_reading_paused and self.transport is not None:
            self._is_reading_paused = True
            self.transport.pause_reading()

    def _resume(self) -> None:
        if self._is_reading_paused and self.transport is not None:
            self._is_reading_paused = False
            self.transport.resume_reading()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    async def _changed(self) -> None:
        """Wait until something happened; raise if it was the end of it."""
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        await self._waiter
        if self._error is not None:
            raise self._error

    # the exchange's side

    def begin(
        self,
        head: bytes,
        *,
        deadlines: Deadlines,
        is_head_method: bool = False,
        is_upgrade: bool = False,
    ) -> None:
        """Send the head of a request, or all of it if its body is in ``head``."""
        if self.transport is None:
            raise UpstreamReset("the upstream closed the connection without an answer")
        self._reset()
        self._is_busy = True
        self._is_head_method = is_head_method
        self._is_upgrade = is_upgrade
        self._deadlines = deadlines
        self._started = self.touched = self.now()
        self.used += 1
        self.transport.write(head)

    async def send(self, data: bytes) -> None:
        """More of the request's body, at the pace of the upstream."""
        if self.transport is None or self._error is not None:
            raise self._error or UpstreamReset("the upstream closed while the request was sent")
        self.touched = self.now()
        self.transport.write(data)
        if self._can_write is not None:
            await self._can_write

    def write(self, data: bytes) -> bool:
        """Bytes of an upgraded connection; false asks to wait for ``on_writable``."""
        if self.transport is None:
            return True
        self.transport.write(data)
        return self._can_write is None

    def on_writable(self, resume: Callable[[], None]) -> None:
        """Call ``resume`` whenever the upstream has caught up."""
        self._on_writable = resume

    async def receive_head(self) -> RawResponseMessage:
        """The head of the answer.  Raises ``UpstreamFailed``."""
        while self.head is None:
            await self._changed()
        if self._error is not None:
            raise self._error
        return self.head

    async def receive_some(self) -> bytes:
        """What has come of the body, or the next of it; ``b""`` at its end."""
        while not self._pending and not self._transfer.is_done:
            await self._changed()
        data = b"".join(self._pending)
        self._pending.clear()
        self._pending_size = 0
        self._resume()
        return data

    async def pump(self, sink: Write, drain: Callable[[], Awaitable[None]]) -> None:
        """Hand the rest of the body to ``sink`` as it comes.

        When ``sink`` returns false, reading stops until ``drain`` is done.
        """
        if self._pending:
            data = b"".join(self._pending)
            self._pending.clear()
            self._pending_size = 0
            if not sink(data):
                self._pause()
        self._sink = sink
        while True:
            if self._is_reading_paused:
                await drain()
                # The time that a slow client took is not the upstream's.
                self.touched = self.now()
                self._resume()
            if self._transfer.is_done:
                return
            await self._changed()

    @property
    def is_reusable(self) -> bool:
        """Whether the next request may be sent here."""
        return (
            self.transport is not None
            and not self.transport.is_closing()
            and self._error is None
            and self.head is not None
            and self._transfer.is_done
            and self._transfer.can_reuse
            and not self.is_half_sent
            and not self.head.should_close
        )

    def rest(self) -> None:
        """The answer is over and the connection waits for another."""
        self._resume()
        self._is_busy = False
        self._sink = None
        self.idle_since = self.now()

    def fail(self, error: ProxyError) -> None:
        """End the exchange with ``error`` and drop the socket."""
        if self._error is None:
            self._error = error
        self._wake()
        self.abort()

    def abort(self) -> None:
        """Drop the socket now; the upstream sees the client's leaving at once."""
        if self.transport is not None:
            self.transport.abort()

    def overdue(self, now: float) -> UpstreamTimeout | None:
        """The deadline that has passed at ``now``, if one has."""
        limits = self._deadlines
        if now - self._started > limits.total:
            return UpstreamTimeout(f"the answer took over {limits.total:g} s in all")
        if self._is_reading_paused:
            return None
        if not self.has_content:
            if now - max(self._started, self.touched if self.head is None else 0) > limits.first:
                return UpstreamTimeout(f"the upstream gave no answer within {limits.first:g} s")
            return None
        if now - self.touched > limits.idle:
            return UpstreamTimeout(f"the upstream was silent for {limits.idle:g} s")
        return None
