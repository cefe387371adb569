"""One client's connection: aiohttp's request handler, made strict and lean.

aiohttp parses requests and keeps the connection; here are the deadlines for
slow heads, the bound on connections, back-pressure towards the upstream, and
errors in OpenAI's form for what cannot even be parsed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, Literal, cast, get_args

from aiohttp import ClientError, StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric

from proxy.core.errors import (
    BadRequest,
    HeadTooLarge,
    Overloaded,
    ProxyError,
    RequestTimeout,
)
from proxy.core.exchange import CUT
from proxy.edge.intake import Incoming
from proxy.wire.faults import error_body

WRITE_BUFFER: Final = 64 * 1024
"""Bytes waiting for a slow client before its upstream is no longer read."""

LINGER_S: Final = 2.0
"""Seconds that the rest of a refused request's body is read and dropped."""

Reason = Literal["full", "slow", "malformed"]
"""Why a connection is closed that no request came by: too many, a head that took too long,
or bytes that are no HTTP/1.1, such as TLS."""

Handle = Callable[[Incoming], Awaitable[bool]]
"""Serves one request; whether the connection may serve another."""


class ClientServer(web.Server):
    """Makes connections, counts them, and holds them to their deadlines."""

    def __init__(
        self,
        handle: Handle,
        *,
        max_connections: int,
        max_header: int,
        header_s: float,
        body_s: float,
        idle_s: float,
    ) -> None:
        super().__init__(
            cast("Any", handle),
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=0,
            auto_decompress=False,
            max_line_size=max_header,
            max_field_size=max_header,
        )
        self.handle = handle
        self.max_connections = max_connections
        self.max_header = max_header
        self.header_s = header_s
        self.idle_s = idle_s
        self.body_s = body_s
        self.refused: dict[Reason, int] = dict.fromkeys(get_args(Reason), 0)

    def fault_of(self, exc: BaseException) -> BadRequest:
        """What is wrong with bytes that the parser has choked on.

        Its own message quotes them, and they may be anything.
        """
        if isinstance(exc, LineTooLong):
            return HeadTooLarge(
                f"a header or the request line is over {self.max_header} bytes "
                "(`process.max_header`)"
            )
        return BadRequest("the request is not valid HTTP/1.1")

    @property
    def is_full(self) -> bool:
        """Whether there are more connections than may be."""
        return len(self._connections) > self.max_connections

    def collect(self) -> Iterator[Metric]:
        """Connections refused, for who scrapes."""
        text = "Connections of clients that were closed before a request could be served"
        family = CounterMetricFamily("sidestream_connections_refused", text, labels=("reason",))
        for reason, number in self.refused.items():
            family.add_metric((reason,), number)
        yield family

    def __call__(self) -> RequestHandler:
        """A protocol for a new connection."""
        return ClientConnection(self, loop=self._loop, **self._kwargs)

    def cut(self) -> None:
        """End all requests under way."""
        for conn in self.connections:
            cast("ClientConnection", conn).cut()

    def sweep(self, now: float) -> None:
        """End heads that take too long with 408, and idle connections quietly."""
        for conn in self.connections:
            client = cast("ClientConnection", conn)
            if client.head_since and now - client.head_since > self.header_s:
                error = RequestTimeout(f"the request's head took over {self.header_s:g} s")
                client.turn_away("slow", error)
            elif client.idle_since and now - client.idle_since > self.idle_s:
                client.force_close()


class ClientConnection(RequestHandler):
    """One socket of a client.  ``peer`` is its address, empty for a unix socket."""

    __slots__ = ("_clients", "head_since", "idle_since", "peer")

    # The slot itself: aiohttp's property is a call for each event of a stream.
    writing_paused = vars(BaseProtocol)["_paused"]

    def __init__(self, clients: ClientServer, **kwargs: Any) -> None:
        super().__init__(clients, **kwargs)
        self._clients = clients
        self.head_since = 0.0
        self.idle_since = 0.0
        self.peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or turn it away when there are too many."""
        super().connection_made(transport)
        self.idle_since = self._loop.time()
        name = transport.get_extra_info("peername")
        self.peer = name[0] if isinstance(name, tuple) else ""
        cast("asyncio.Transport", transport).set_write_buffer_limits(high=WRITE_BUFFER)
        if self._clients.is_full:
            error = Overloaded("this process has no connection to spare", retry_after=1)
            self.turn_away("full", error)

    def data_received(self, data: bytes) -> None:
        """Note when a head begins; the server's sweep bounds how long it takes."""
        if self._current_request is None and not self.head_since and data:
            self.head_since = self._loop.time()
            self.idle_since = 0.0
        super().data_received(data)

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's
        """Go on reading, if somebody has stopped it.

        aiohttp asks for it twice a request, and each time would go through
        its parser once more.
        """
        if self._reading_paused:
            super().resume_reading(resume_parser)

    async def start(self) -> None:
        """Serve the requests of this connection, one after another.

        In the place of aiohttp's own loop, which makes a task, a writer, a
        request object and a timer for each request: about a quarter of what a
        small request costs here.  Parsing, pipelining, back-pressure of the
        queue and shutdown stay aiohttp's.
        """
        serve = self._clients.handle
        try:
            while not self._force_close:
                if not self._messages:
                    self._waiter = self._loop.create_future()
                    try:
                        await self._waiter
                    finally:
                        self._waiter = None
                message, payload = self._messages.popleft()
                self._make_room()
                self.head_since = self.idle_since = 0.0
                if not isinstance(message, RawRequestMessage):
                    self.turn_away("malformed", self._clients.fault_of(message.exc))
                    return
                incoming: Any = Incoming(message, payload, self, self._clients.body_s)
                self._current_request = incoming
                self._request_in_progress = True
                try:
                    is_kept = await serve(incoming)
                finally:
                    self._current_request = None
                    self._request_in_progress = False
                    if self._handler_waiter is not None and not self._handler_waiter.done():
                        self._handler_waiter.set_result(None)
                if not is_kept or self._close or self._upgraded:
                    await self._linger(payload)
                    return
                if not payload.is_eof() and not await self._linger(payload):
                    return
                self.idle_since = self._loop.time()
        finally:
            # Not force_close: what was written still has to leave.
            if self.transport is not None:
                self.transport.close()

    def _make_room(self) -> None:
        """Let the parser go on with pipelined requests."""
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()

    async def _linger(self, payload: StreamReader) -> bool:
        """Read the rest of a refused body for a moment; whether it ended.

        Closing with bytes unread resets the connection, and the client may
        lose the answer that told it why.
        """
        try:
            async with asyncio.timeout(LINGER_S):
                while not payload.is_eof() and self.transport is not None:
                    await payload.readany()
        except (TimeoutError, ConnectionError, ClientError):
            return False
        return payload.is_eof()

    async def drained(self) -> None:
        """Wait until the client has read what was written."""
        await self._drain_helper()

    def abort(self) -> None:
        """Close so that the client cannot take half an answer for a whole one."""
        if self.transport is not None:
            self.transport.abort()

    def cut(self) -> None:
        """End the request under way because this process ends; the client is told."""
        if self._request_in_progress and self._task_handler is not None:
            self._task_handler.cancel(CUT)

    def turn_away(self, reason: Reason, error: ProxyError) -> None:
        """Answer without a request and close."""
        self._clients.refused[reason] += 1
        self.head_since = 0.0
        if self.transport is not None and self._current_request is None:
            self.transport.write(error_bytes(error))
        self.force_close()


def error_bytes(error: ProxyError) -> bytes:
    """A whole answer for a connection that is closed after it."""
    body = error_body(error)
    return (
        b"HTTP/1.1 %d Error\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (error.status, len(body), body)
    )
