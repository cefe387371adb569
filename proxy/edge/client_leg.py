"""The way back to one client: head, framing of the body, and the last word.

Bytes go straight to the transport.  The head waits for the first bytes of the
body, so that a small answer is one write, and so that an answer that fails
before its first byte can still become a clean error.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from proxy.core.errors import ProxyError
from proxy.core.exchange import Exchange, Head
from proxy.core.ports import Clock
from proxy.edge.intake import Client, Incoming
from proxy.wire.events import number_after
from proxy.wire.faults import error_body, error_headers, stream_error

_STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode())
    for status in HTTPStatus
}
_TRIED: Final = (
    b"x-sidestream-id: %s\r\n%sx-sidestream-attempts: %d\r\nx-sidestream-overhead-ms: %s\r\n"
    b"server-timing: sidestream;dur=%s, upstream;dur=%.1f%s\r\n"
)
_UNTRIED: Final = (
    b"x-sidestream-id: %s\r\n%sx-sidestream-overhead-ms: %s\r\nserver-timing: sidestream;dur=%s\r\n"
)
"""What every answer says of us, with and without an upstream."""

_ID: Final = re.compile(rb"[!-~]{1,256}")
"""An ``x-request-id`` of an upstream that stands in the place of ours: clients log it."""

_NO_BODY: Final = frozenset({204, 304})


class Labels:
    """The ``x-sidestream-*`` lines of a (tenant, route, target), made once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], bytes] = {}

    def lines(self, x: Exchange) -> bytes:
        """Header lines that name who was served by what."""
        key = (x.tenant, x.route, x.source or (x.target.name if x.target is not None else ""))
        lines = self._known.get(key)
        if lines is None:
            named = zip((b"tenant", b"route", b"target"), key, strict=True)
            lines = b"".join(
                b"x-sidestream-%s: %s\r\n" % (name, _plain(value)) for name, value in named if value
            )
            if len(self._known) < 10_000:
                self._known[key] = lines
        return lines


class Leg:
    """The ``ClientLeg`` of one exchange on one connection."""

    __slots__ = (
        "_clock",
        "_connection",
        "_head",
        "_is_chunked",
        "_is_head",
        "_is_http10",
        "_labels",
        "_last",
        "_left",
        "_x",
        "is_closing",
        "is_started",
    )  # fmt: skip

    def __init__(
        self, connection: Client, incoming: Incoming, labels: Labels, clock: Clock
    ) -> None:
        message = incoming.message
        self._connection = connection
        self._labels = labels
        self._clock = clock
        self._is_head = message.method == "HEAD"
        self._is_http10 = message.version < (1, 1)
        self.is_closing = message.should_close
        self.is_started = False
        self._is_chunked = False
        self._left: int | None = None
        self._head = b""
        self._last = b""
        self._x: Exchange | None = None

    def start(self, x: Exchange, head: Head) -> None:
        """Make the head; it goes out with the first bytes of the body."""
        self._x = x
        x.status = head.status
        framing = b""
        if head.status not in _NO_BODY and head.status >= 200:
            if head.length is not None:
                framing = b"content-length: %d\r\n" % head.length
                self._left = None if self._is_head else head.length
            elif self._is_http10:
                self.is_closing = True
            elif not self._is_head:
                framing = b"transfer-encoding: chunked\r\n"
                self._is_chunked = True
        if head.status == 101:
            framing = b"connection: Upgrade\r\nupgrade: websocket\r\n"
            self._head = self._head_bytes(x, head.status, head.headers, framing)
            self._flush()
            self.is_closing = True
            return
        self._head = self._head_bytes(x, head.status, head.headers, framing)

    def _head_bytes(
        self, x: Exchange, status: int, headers: Sequence[tuple[bytes, bytes]], framing: bytes
    ) -> bytes:
        waited = x.upstream_s + x.queued_s + x.retried_s
        x.overhead_s = self._clock.now() - x.started - waited
        ours = b"%.2f" % (x.overhead_s * 1000)
        parts = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
        has_id = False
        for name, value in headers:
            if len(name) == 12 and name.lower() == b"x-request-id":
                if has_id or not _ID.fullmatch(value):
                    continue
                has_id = True
            parts += (name, b": ", value, b"\r\n")
        for name, value in x.answer_headers:
            parts += (name, b": ", value, b"\r\n")
        identity = x.id.encode()
        if not has_id:
            parts += (b"x-request-id: ", identity, b"\r\n")
        labels = self._labels.lines(x)
        if x.attempts:
            retry = b", retry;dur=%.1f" % (x.retried_s * 1000) if x.retried_s else b""
            theirs = x.upstream_s * 1000
            parts.append(_TRIED % (identity, labels, x.attempts, ours, ours, theirs, retry))
        else:
            parts.append(_UNTRIED % (identity, labels, ours, ours))
        if x.cost_nanos is not None:
            parts.append(b"x-sidestream-cost-usd: %.9f\r\n" % (x.cost_nanos / 1e9))
        parts.append(framing)
        if self.is_closing:
            parts.append(b"connection: close\r\n")
        elif self._is_http10:
            parts.append(b"connection: keep-alive\r\n")
        parts.append(b"\r\n")
        return b"".join(parts)

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._send(head)

    def _send(self, data: bytes) -> None:
        transport = self._connection.transport
        if transport is None:
            raise ConnectionResetError
        self.is_started = True
        transport.write(data)

    def write(self, data: bytes) -> bool:
        """Send bytes of the body in whatever framing was announced."""
        if self._is_head or not data:
            return True
        self._last = data
        if self._x is not None:
            self._x.sent_bytes += len(data)
        if self._left is not None:
            self._left -= len(data)
        if self._is_chunked:
            data = b"%x\r\n%s\r\n" % (len(data), data)
        if self._head:
            data = self._head + data
            self._head = b""
        # As in ``_send``; a call less for each event of a stream.
        connection = self._connection
        transport = connection.transport
        if transport is None:
            raise ConnectionResetError
        self.is_started = True
        transport.write(data)
        return not connection.writing_paused

    async def drain(self) -> None:
        """Wait until the client has read enough; raises if it has left."""
        await self._connection.drained()

    def finish(self) -> None:
        """The answer is complete: end its framing."""
        if self._left:
            self.is_closing = True
        if self._is_chunked:
            end = b"0\r\n\r\n"
            self._is_chunked = False
            self._send(self._head + end if self._head else end)
            self._head = b""
        else:
            self._flush()

    def refuse(self, x: Exchange, error: ProxyError) -> None:
        """Say what is wrong: as an answer, as an event, or by closing."""
        if not self.is_started:
            self._refuse_whole(x, error)
        elif self._is_chunked and x.stream:
            # Whole events only were sent, so one more can follow; a part of
            # an event too large to hold is closed off first.
            # A stage may have held back events that the upstream did send.
            number = number_after(self._last) or x.sequence
            event = stream_error(error, x.endpoint.dialect, number)
            self.is_closing = True
            self.write(b"\n\n" + event if x.is_torn else event)
            self.finish()
        else:
            # Half a body cannot be taken back; a clean end would look whole.
            self.is_closing = True
            self._connection.abort()

    def _refuse_whole(self, x: Exchange, error: ProxyError) -> None:
        body = error_body(error)
        x.status = error.status
        self._x = x
        if not x.intake.is_read:
            self.is_closing = True
        headers = [(b"content-type", b"application/json"), *error_headers(error)]
        framing = b"content-length: %d\r\n" % len(body)
        self._left = None
        self._is_chunked = False
        self._head = self._head_bytes(x, error.status, headers, framing)
        self.write(body)
        self._flush()


def _plain(value: str) -> bytes:
    """A name from the configuration as a header value: no controls, ASCII."""
    return value.encode("ascii", "replace").translate(None, bytes(range(32)))
