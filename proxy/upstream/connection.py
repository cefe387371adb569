"""One connection to an upstream: a request goes out, an answer comes back.

Bytes of a body are handed on from the read itself: no stream reader, no task
and no timer stand between the two sockets.  A stalled client pauses the
reading here, so what it does not read is not held.

Deadlines are checked by the owner, through ``overdue``.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Final, cast

from aiohttp.http_parser import RawResponseMessage

from proxy.core.errors import ProxyError, UpstreamReset, UpstreamTimeout
from proxy.core.policy import Write
from proxy.upstream.answer import AnswerReader
from proxy.upstream.deadlines import Deadlines

MAX_PENDING: Final = 64 * 1024
"""Bytes of a body read before anyone takes them; reading pauses beyond."""

_NONE: Final = Deadlines(0, 0, 0)
_RESET: Final = struct.pack("ii", 1, 0)
"""``SO_LINGER`` on, with no time to linger: closing sends RST."""


class Connection(asyncio.Protocol):
    """One socket to one endpoint, used by one exchange at a time.

    A read is 250 KB at most, which bounds what a client that stops reading can
    make us hold.  To read into a buffer of ours would cost a call more.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, now: Callable[[], float]) -> None:
        self._loop = loop
        self.now = now
        self.reader = AnswerReader(self, loop)
        self.transport: asyncio.Transport | None = None
        self.used = 0
        self.idle_since = 0.0
        self._error: ProxyError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._can_write: asyncio.Future[None] | None = None
        self._reset()

    def _reset(self) -> None:
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._sink: Write | None = None
        self._is_reading_paused = False
        self._is_busy = False
        self._started = self._since = self.touched = 0.0
        self._deadlines = _NONE
        self.has_content = False
        self.got_bytes = False
        self.is_half_sent = False
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
                if self.reader.head is None:
                    raise UpstreamReset("the upstream closed the connection without an answer")
                if exc is not None:
                    raise UpstreamReset("the upstream reset the connection in mid-answer")
                self.reader.body.end()
            except ProxyError as error:
                self._error = error
        self._wake()
        self.resume_writing()

    def pause_writing(self) -> None:
        """The upstream is slow in reading the request's body."""
        self._can_write = self._can_write or self._loop.create_future()

    def resume_writing(self) -> None:
        """It has caught up, or is gone."""
        if self._on_writable is not None:
            self._on_writable()
        waiter, self._can_write = self._can_write, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer; bytes when nothing was asked close the socket.

        This is what a streamed event costs: nothing is called that can be done here.
        """
        if not self._is_busy or self._error is not None:
            self.abort()
            return
        reader = self.reader
        decoder = reader.body
        try:
            if not decoder.is_done:
                body = decoder.feed(data)
            else:
                # No body is going on: it is a head, or more than the answer.
                self.got_bytes = True
                body = reader.feed(data)
                if reader.head is None:
                    return
                decoder = reader.body
                self._wake()
            if self._sink is None:
                self._keep(body)
            elif body and not self._sink(body):
                self._pause()
                self._wake()
            if decoder.is_done:
                self._wake()
        except ProxyError as error:
            self.fail(error)

    def _keep(self, body: bytes) -> None:
        """Hold bytes that nobody takes yet."""
        if body:
            self._pending.append(body)
            self._pending_size += len(body)
            if self._pending_size > MAX_PENDING:
                self._pause()
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

    def _changed(self) -> asyncio.Future[None]:
        """What to wait for until something happened; raises what ended it.

        Plain, as a coroutine more is a step more whenever somebody waits.
        """
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        return self._waiter

    # the exchange's side

    def begin(
        self,
        head: bytes,
        *,
        deadlines: Deadlines,
        since: float,
        is_head_method: bool = False,
        is_upgrade: bool = False,
    ) -> None:
        """Send the head of a request, or all of it if its body is in ``head``.

        The total deadline counts from ``since``, when the exchange began.
        """
        if self.transport is None:
            raise UpstreamReset("the upstream closed the connection without an answer")
        self._reset()
        self._is_busy = True
        self.reader.expect(is_head=is_head_method, is_upgrade=is_upgrade)
        self._deadlines = deadlines
        self._since = since
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
        while self.reader.head is None:
            await self._changed()
        if self._error is not None:
            raise self._error
        return self.reader.head

    async def receive_some(self) -> bytes:
        """What has come of the body, or the next of it; ``b""`` at its end."""
        while not self._pending and not self.reader.body.is_done:
            await self._changed()
        data = self.take()
        self._resume()
        return data

    def take(self) -> bytes:
        """What has come and nobody took."""
        data = b"".join(self._pending)
        self._pending.clear()
        self._pending_size = 0
        return data

    async def pump(self, sink: Write, drain: Callable[[], Awaitable[None]]) -> None:
        """Hand the rest of the body to ``sink`` as it comes.

        When ``sink`` returns false, reading stops until ``drain`` is done.
        """
        self._sink = sink
        while True:
            if self._pending and not sink(self.take()):
                self._pause()
            if self._is_reading_paused:
                await drain()
                # The time that a slow client took is not the upstream's.
                self.touched = self.now()
                self._resume()
            if self.reader.body.is_done and self._error is None:
                return
            await self._changed()

    @property
    def is_reusable(self) -> bool:
        """Whether the next request may be sent here."""
        return (
            self.transport is not None
            and not self.transport.is_closing()
            and self._error is None
            and not self.is_half_sent
            and self.reader.is_clean
        )

    def rest(self) -> None:
        """The answer is over and the connection waits for another."""
        self._resume()
        self._is_busy = False
        self._sink = None
        self._started = self._since = self.touched = self.idle_since = self.now()

    def fail(self, error: ProxyError) -> None:
        """End the exchange with ``error`` and drop the socket."""
        self._error = self._error or error
        self._wake()
        self.abort()

    def abort(self) -> None:
        """Drop the socket now, in mid-answer by a reset.

        An orderly end could be a client that merely has no more to say; after
        a reset there is nobody to generate for.
        """
        if self.transport is not None:
            sock = self.transport.get_extra_info("socket")
            if self._is_busy and sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()

    def overdue(self, now: float) -> UpstreamTimeout | None:
        """The deadline that has passed at ``now``, if one has.

        While a request is being sent its sending counts, and while a client
        does not read, that is no fault of the upstream's.
        """
        return self._deadlines.overdue(
            now,
            since=self._since,
            started=self._started if self.reader.head is not None else self.touched,
            spoke=now if self._is_reading_paused else self.touched,
            has_content=self.has_content or self._is_reading_paused,
        )
