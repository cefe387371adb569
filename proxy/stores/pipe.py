"""One connection to a server of the Redis protocol: commands out, replies in.

Calls made in one turn of the loop leave in one write and are answered in
their order.  Nothing is tried again here, and no call is waited for longer
than its time: an overdue one is given up, its place in the line is kept, and
whoever owns the pipe is told that the server is behind.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, cast

import hiredis

Done = Callable[[Any], None]
"""Gets the reply: a value, a ``hiredis.ReplyError``, or a ``StoreDown``."""


class StoreDown(Exception):
    """The store did not take or did not answer a call; the call was never sent."""


class Unanswered(StoreDown):
    """The call was sent and may have been carried out; nobody knows."""


Word = bytes | str | int


pack: Callable[[tuple[Word, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]
"""One command as it goes on the wire."""


class Owner(Protocol):
    """Who is told how a pipe fares."""

    def on_behind(self, pipe: Pipe) -> None:
        """A call is overdue."""
        ...

    def on_caught_up(self, pipe: Pipe) -> None:
        """All that was overdue has been answered."""
        ...

    def on_lost(self, pipe: Pipe) -> None:
        """The connection is gone; its calls are told next."""
        ...


def into(future: asyncio.Future[Any]) -> Done:
    """Puts a reply into ``future``, unless nobody waits for it any more."""

    def done(reply: Any) -> None:
        if not future.done():
            future.set_result(reply)

    return done


def value_of(reply: Any) -> Any:
    """A reply that is a value.  Raises ``StoreDown``; an error reply is one too."""
    if isinstance(reply, hiredis.ReplyError):
        raise StoreDown(str(reply))
    if isinstance(reply, StoreDown):
        raise reply
    return reply


def _ignore(reply: object) -> None:
    """Whoever asked has given up waiting."""


class Pipe(asyncio.Protocol):
    """One connection, whose calls may each take ``timeout_s``."""

    def __init__(self, owner: Owner, timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._owner = owner
        self.timeout_s = timeout_s
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._waiting: deque[tuple[float, Done]] = deque()
        self._overdue = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_sure = False
        self.lost = asyncio.Event()

    @property
    def in_flight(self) -> int:
        """Calls that wait for their replies."""
        return len(self._waiting)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        # Not to be asserted: uvloop's transports are no asyncio.Transport.
        self._transport = cast("asyncio.Transport", transport)

    def allow(self, timeout_s: float) -> None:
        """Give calls another time from now on; none may be under way."""
        self.timeout_s = timeout_s
        if self._timer is not None:
            # Armed for the old time, it would look too late.
            self._timer.cancel()
            self._timer = None

    def send(self, packed: bytes, done: Done) -> None:
        """Send one command; ``done`` is called once, never from in here."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(packed)
        self._waiting.append((self._loop.time(), done))
        if self._timer is None:
            self._timer = self._loop.call_later(self.timeout_s / 5, self._look)

    async def call(self, *words: Word) -> Any:
        """Send one command and wait.  Raises ``StoreDown``; an error reply is one too."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self.send(pack(words), into(future))
        return value_of(await future)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self._transport is not None and not self.lost.is_set():
            self._transport.write(b"".join(out))

    def data_received(self, data: bytes) -> None:
        """Hand out the replies that are whole."""
        reader = self._reader
        reader.feed(data)
        try:
            while (reply := reader.gets()) is not False and self._waiting:
                _, done = self._waiting.popleft()
                if not self._overdue:
                    done(reply)
                    continue
                self._overdue -= 1
                if not self._overdue:
                    self._owner.on_caught_up(self)
        except hiredis.ProtocolError:
            self.abort()

    def _look(self) -> None:
        """The one coarse timer: give up what is overdue."""
        self._timer = None
        waiting = self._waiting
        if len(waiting) == self._overdue:
            if waiting:
                self._timer = self._loop.call_later(self.timeout_s, self._look)
            return
        cutoff = self._loop.time() - self.timeout_s
        if waiting[self._overdue][0] > cutoff:
            self._is_sure = False
            self._timer = self._loop.call_later(self.timeout_s / 5, self._look)
        elif not self._is_sure:
            # If this process was what stalled, the replies lie in the socket:
            # one turn of the loop reads them.
            self._is_sure = True
            self._timer = self._loop.call_later(0.001, self._look)
        else:
            self._give_up(cutoff)
            self._timer = self._loop.call_later(self.timeout_s / 5, self._look)

    def _give_up(self, cutoff: float) -> None:
        given_up: list[Done] = []
        waiting = self._waiting
        while self._overdue < len(waiting) and waiting[self._overdue][0] <= cutoff:
            since, done = waiting[self._overdue]
            waiting[self._overdue] = (since, _ignore)
            self._overdue += 1
            given_up.append(done)
        self._owner.on_behind(self)
        for done in given_up:
            done(Unanswered("no answer in time"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell every call, then the owner."""
        self.lost.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, deque()
        self._overdue = 0
        self._owner.on_lost(self)
        for _, done in waiting:
            done(Unanswered("the connection was lost"))

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()
