"""One answer of an upstream, read as far as we need to and no further.

Three kinds of body: an event stream goes through a ``Relay``; a small JSON
answer of a metered endpoint is taken whole before the head is sent on, so that
its cost can stand in a header; everything else passes as it comes.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable
from typing import Final

from proxy.core.errors import UpstreamProtocol, UpstreamReset
from proxy.core.exchange import Exchange, Head
from proxy.core.policy import Write
from proxy.upstream.connection import Connection
from proxy.upstream.pool import Pool
from proxy.wire.relay import Relay
from proxy.wire.usage import usage_of_body

WHOLE: Final = 256 * 1024
"""Bytes up to which an unstreamed answer is taken whole before it is sent on."""

EDGE: Final = 4096
"""Bytes kept of both ends of a larger answer, where its usage stands."""

MAX_EXPANSION: Final = 1024 * 1024
"""Bytes that one read may expand to when the upstream compressed it."""

_COMPRESSED: Final = frozenset({b"gzip", b"deflate", b"x-gzip"})

Price = Callable[[Exchange], None]
"""Sets ``cost_nanos`` once usage is known."""


class UpstreamReply:
    """The ``Reply`` of one attempt.  ``head`` may be changed until it is sent."""

    __slots__ = ("_conn", "_first", "_held", "_inflate", "_is_cut", "_last", "_pool", "_price",
                 "_reads", "_then", "_x", "head", "relay")  # fmt: skip

    def __init__(
        self, x: Exchange, conn: Connection, pool: Pool, price: Price, *, hides_usage: bool
    ) -> None:
        message = conn.reader.head
        assert message is not None
        self._x = x
        self._conn: Connection | None = conn
        self._pool = pool
        self._then: Callable[[], None] | None = None
        self._price = price
        self._held = b""  # whole events, or a whole body, read before the head was sent
        self._first = b""
        self._last = b""
        answer = conn.reader.headers
        is_stream = answer.kind == b"text/event-stream" and message.code < 400
        self._reads = is_stream or (x.endpoint.is_metered and answer.kind == b"application/json")
        self._inflate = None
        self._is_cut = False  # in the middle of what was compressed
        self.relay: Relay | None = None
        raw, length = answer.kept, answer.length
        if answer.encoding:
            if self._reads and answer.encoding in _COMPRESSED:
                self._inflate = zlib.decompressobj(wbits=47)
                raw = [h for h in raw if h[0].lower() != b"content-encoding"]
                length = None
            elif answer.encoding != b"identity":
                self._reads = False
        if is_stream:
            length = None
            if self._reads:
                self.relay = Relay(x.endpoint.dialect, hides_usage=hides_usage)
        self.head = Head(
            message.code,
            raw,
            answer.kind,
            int(length) if length is not None else None,
            is_stream,
        )
        if message.code == 101:
            x.intake.tunnel(conn)
        if x.method == "HEAD" or message.code in (204, 304):
            self._reads = False

    @property
    def is_whole(self) -> bool:
        """Whether the body is here already (``look`` took it)."""
        return self._conn is None

    @property
    def whole(self) -> bytes:
        """The body, where ``is_whole``."""
        return self._held

    def replace(self, body: bytes) -> None:
        """Put another body in the place of a whole one."""
        self._held = body
        self.head.length = len(body)

    async def look(self) -> None:
        """Read what must be known before the head can be sent.

        Of a stream that is its first event, which may be an error in a 200;
        of a small JSON answer all of it.
        """
        conn = self._conn
        assert conn is not None
        if self.relay is not None:
            held = bytearray()
            while not self.relay.events and len(held) <= WHOLE:
                if not (data := await conn.receive_some()):
                    held += self.relay.end()
                    self.relay.check()
                    break
                held += self._meter_stream(data)
            self._held = bytes(held)
        elif self._reads or self.head.status >= 400:
            parts: list[bytes] = []
            size, is_over = 0, False
            while size <= WHOLE and not is_over:
                # Mostly it came with its head, and there is nobody to wait for.
                is_over = conn.reader.body.is_done
                data = self._inflated(conn.take() if is_over else await conn.receive_some())
                parts.append(data)
                size += len(data)
            conn.has_content = True
            self._x.first_byte_at = self._x.first_byte_at or conn.now()
            self._held = b"".join(parts)
            if size <= WHOLE:
                self._read_whole()
        else:
            conn.has_content = True

    def _read_whole(self) -> None:
        self._check_whole()
        self.head.length = len(self._held)
        if self._reads:
            self._meter_body(self._held)
        self.close()

    def _meter_body(self, body: bytes) -> None:
        usage, finish = usage_of_body(body)
        self._x.usage = usage or self._x.usage
        self._x.finish = finish
        self._price(self._x)

    def _meter_stream(self, data: bytes) -> bytes:
        relay, conn, x = self.relay, self._conn, self._x
        assert relay is not None
        assert conn is not None
        before = x.events
        out = relay.feed(self._inflated(data))
        x.events = relay.events
        if relay.events != before:
            conn.touched = conn.now()
            if not conn.has_content and relay.has_content:
                conn.has_content = True
                x.first_byte_at = conn.touched
        return out

    def _check_whole(self) -> None:
        if self._is_cut:
            raise UpstreamReset("the upstream's compressed answer ended too early")

    def _inflated(self, data: bytes) -> bytes:
        if self._inflate is None:
            return data
        out = b""
        while data:
            if self._inflate.eof:  # another member follows
                self._inflate = zlib.decompressobj(wbits=47)
            try:
                out += self._inflate.decompress(data, MAX_EXPANSION)
            except zlib.error as exc:
                raise UpstreamProtocol("the upstream's compressed answer cannot be read") from exc
            if self._inflate.unconsumed_tail or len(out) > MAX_EXPANSION:
                raise UpstreamProtocol("the upstream's compressed answer expands beyond reason")
            data = self._inflate.unused_data
            self._is_cut = not self._inflate.eof
        return out

    async def pump(self, write: Write, drain: Callable[[], Awaitable[None]]) -> None:
        """Hand the whole body to ``write`` as it comes."""
        held, self._held = self._held, b""
        if held and not write(held):
            await drain()
        conn = self._conn
        if conn is None:
            return
        if self.relay is not None:
            await self._pump_stream(conn, write, drain)
        elif self._reads:
            self._first, self._last = held[:EDGE], held[-EDGE:]
            await conn.pump(self._metered(write), drain)
            self._check_whole()
            self._meter_body(self._first + self._last)
        else:
            conn.has_content = True
            await conn.pump(self._touching(conn, write), drain)
        self.close()

    async def _pump_stream(
        self, conn: Connection, write: Write, drain: Callable[[], Awaitable[None]]
    ) -> None:
        relay = self.relay
        assert relay is not None
        meter, x, feed, now = self._meter_stream, self._x, relay.feed, conn.now
        is_plain = self._inflate is None

        def sink(data: bytes) -> bool:
            if is_plain and conn.has_content:
                out = feed(data)
                events = relay.events
                if events != x.events:
                    x.events = events
                    conn.touched = now()
            else:
                out = meter(data)
            return write(out) if out else True

        try:
            await conn.pump(sink, drain)
            if rest := relay.end():
                write(rest)
                self._x.events = relay.events
            relay.check()
        finally:
            self._x.is_torn = relay.is_torn
            self._x.sequence = relay.sequence_number
            self._x.usage = relay.usage or self._x.usage
            self._x.finish = "error" if relay.error is not None else relay.finish
            self._price(self._x)

    def _metered(self, write: Write) -> Write:
        conn = self._conn
        assert conn is not None

        def sink(data: bytes) -> bool:
            data = self._inflated(data)
            conn.touched = conn.now()
            self._last = (self._last + data)[-EDGE:]
            return write(data)

        return sink

    def _touching(self, conn: Connection, write: Write) -> Write:
        x = self._x

        def sink(data: bytes) -> bool:
            conn.touched = conn.now()
            if not x.first_byte_at:
                x.first_byte_at = conn.touched
            return write(data)

        return sink

    def close(self) -> None:
        """Give the connection back, or drop it if the answer is not over."""
        conn, self._conn = self._conn, None
        if conn is not None:
            self._pool.release(conn)
        if self._then is not None:
            then, self._then = self._then, None
            then()

    def after(self, then: Callable[[], None]) -> None:
        """Call ``then`` once the upstream has no more to do with this answer."""
        if self._conn is None:
            then()
        else:
            self._then = then
