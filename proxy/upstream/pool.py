"""Connections to one endpoint, kept between requests.

The newest idle connection is used first, so that those a burst opened age and
are closed.  One coarse timer for all pools (``sweep``) enforces every
deadline and closes what has idled too long: no timer object per request.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from proxy.core.errors import Overloaded, UpstreamRefused
from proxy.upstream.connection import Connection


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an endpoint listens.  ``tls`` is ``None`` for plain HTTP."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"


class Pool:
    """The connections to one origin.

    ``connection`` makes the protocol of a new one.  ``limit`` bounds how many
    may be open at once (0: no bound); who comes over it waits in order, at
    most ``connect_s`` seconds.  ``idle_s`` must be below the upstream's own
    keep-alive, or requests meet closed sockets.
    """

    def __init__(
        self,
        origin: Origin,
        connection: Callable[[], Connection],
        *,
        connect_s: float = 2.0,
        idle_s: float = 30.0,
        limit: int = 0,
    ) -> None:
        self._connection = connection
        self.origin = origin
        self._connect_s = connect_s
        self._idle_s = idle_s
        self._limit = limit
        self._idle: deque[Connection] = deque()
        self._busy: set[Connection] = set()
        self._opening = 0  # and places that were given to who has yet to open one
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._is_closed = False

    @property
    def in_flight(self) -> int:
        """Connections that serve an exchange now."""
        return len(self._busy)

    @property
    def idle(self) -> int:
        """Open connections that wait for one."""
        return len(self._idle)

    def take_idle(self) -> Connection | None:
        """An open connection if one is at hand.  Plain, because it mostly is."""
        while self._idle:
            conn = self._idle.pop()
            if conn.transport is not None and not conn.transport.is_closing():
                self._busy.add(conn)
                return conn
        return None

    async def open(self, *, is_fresh: bool = False) -> Connection:
        """A new connection, or under ``limit`` the one that is given back next, unless
        it is to be ``is_fresh``.

        Raises ``UpstreamRefused`` (nothing listens, TLS failed), and
        ``Overloaded`` after waiting for a place under ``limit``.
        """
        taken = len(self._busy) + self._opening
        if self._limit and taken >= self._limit:
            if (conn := await self._turn()) is not None:
                if not is_fresh:
                    return conn
                self._opening += 1
                self._busy.discard(conn)
                conn.abort()
        else:
            if self._limit and taken + len(self._idle) >= self._limit:
                self._idle.popleft().abort()  # once taken it would be one too many
            self._opening += 1
        try:
            conn = await self._connect()
        except BaseException:
            self._give_place()
            raise
        self._opening -= 1
        self._busy.add(conn)
        return conn

    async def _connect(self) -> Connection:
        origin = self.origin
        try:
            async with asyncio.timeout(self._connect_s):
                _, conn = await asyncio.get_running_loop().create_connection(
                    self._connection,
                    origin.host,
                    origin.port,
                    ssl=origin.tls,
                    server_hostname=origin.host if origin.tls else None,
                )
        except TimeoutError as exc:
            raise UpstreamRefused(
                f"no connection to the upstream within {self._connect_s:g} s"
            ) from exc
        except ssl.SSLError as exc:
            raise UpstreamRefused(f"TLS with the upstream failed: {exc.reason}") from exc
        except OSError as exc:
            raise UpstreamRefused(
                "the upstream refuses connections or its name does not resolve"
            ) from exc
        return conn

    async def _turn(self) -> Connection | None:
        """Wait for a connection, or for a place to open one in."""
        turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._connect_s):
                return await turn
        except BaseException as exc:
            if turn in self._waiting:
                self._waiting.remove(turn)
            elif not turn.cancelled():  # it was given to who had just left
                self._give_back(turn.result())
            if not isinstance(exc, TimeoutError):
                raise
            raise Overloaded(
                f"all {self._limit} connections to the upstream are in use", retry_after=1
            ) from exc

    def _give_back(self, conn: Connection | None) -> None:
        if conn is not None:
            self.release(conn)
        else:
            self._give_place()

    def _give_place(self) -> None:
        """A place in ``_opening`` is the next one's, if anybody waits."""
        waiting = self._next()
        if waiting is None:
            self._opening -= 1
        else:
            waiting.set_result(None)

    def _next(self) -> asyncio.Future[Connection | None] | None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                return turn
        return None

    def release(self, conn: Connection) -> None:
        """The exchange is over: keep the connection if its answer is.

        Who waits is given it, or its place, here and now: between a call to wake up
        and the waking somebody else would take it.
        """
        waiting = self._next() if self._waiting else None
        is_kept = conn.is_reusable and not self._is_closed
        if is_kept:
            conn.rest()
        else:
            conn.abort()
        if waiting is not None and is_kept:
            waiting.set_result(conn)
            return
        self._busy.discard(conn)
        if waiting is not None:
            self._opening += 1
            waiting.set_result(None)
        elif is_kept:
            self._idle.append(conn)

    def sweep(self, now: float) -> None:
        """Fail what is overdue at ``now`` and close what has idled too long."""
        for conn in tuple(self._busy):
            late = conn.overdue(now)
            if late is not None:
                conn.fail(late)
        while self._idle and now - self._idle[0].idle_since > self._idle_s:
            self._idle.popleft().abort()

    def close(self) -> None:
        """Close idle connections now and the others when they are released."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().abort()
