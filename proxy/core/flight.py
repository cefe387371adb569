"""One answer on its way, and all who wait for it.

A flight is an exchange of its own: it has no client, so nobody's leaving ends
it, and it ends by itself when nobody is left who wants it.  It takes its
answer as a ``ClientLeg`` does and keeps what has come, so that who joins late
begins at the beginning.  Who keeps up is written to from the upstream's read
itself; who is behind goes on at a pace of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from proxy.core.errors import Overloaded, ProxyError
from proxy.core.exchange import Exchange, Head
from proxy.core.policy import Write
from proxy.core.ports import Bell, Handle

BACKLOG: Final = 256 * 1024
"""Bytes that an answer too large to keep may be ahead of its slowest reader."""

_COMMON: Final = frozenset(
    {b"content-type", b"content-encoding", b"retry-after", b"retry-after-ms", b"x-should-retry"}
)
"""What an upstream says of an answer and not of one request."""

Filter = Callable[[bytes], bytes]
"""Whole events in, what of them one follower may see out."""


class Flight:
    """The ``ClientLeg`` of an exchange without a client.

    ``limit`` is how many bytes are kept whole; of a larger answer only what
    somebody has still to read.  ``error`` is how it failed, if it has.  ``keys``
    are those its answer is to be kept under, unless ``is_purged``; ``ident`` says
    what was asked, where its name does not.
    """

    def __init__(self, x: Exchange, bell: Callable[[], Bell], limit: int) -> None:
        self.x = x
        self.head: Head | None = None
        self.error: ProxyError | None = None
        self.is_over = False
        self.is_kept = True
        self.handle: Handle | None = None
        self.keys: frozenset[bytes] = frozenset()
        self.is_purged = False
        self.ident = ""
        self.stays: Callable[[Flight], bool] | None = None  # asked when nobody is left
        self.made: object = None  # what its followers have made of its answer, once for all
        self.has_leader = False  # who tells of it: the one who began it, or was the last to leave
        self.size = 0
        self._limit = limit
        self._changed = bell()
        self._bell = bell
        self._room: Bell | None = None
        self._parts: list[bytes] = []
        self._gone = 0  # parts no longer held
        self._followers: list[Follower] = []

    @property
    def is_left(self) -> bool:
        """Whether nobody waits for it."""
        return not self._followers

    @property
    def end(self) -> int:
        """How many parts have come."""
        return self._gone + len(self._parts)

    @property
    def body(self) -> bytes:
        """All of the answer's body, where ``is_kept``."""
        return b"".join(self._parts)

    @property
    def may_join(self) -> bool:
        """Whether who comes now still gets the beginning."""
        return not self._gone and self.error is None

    def part(self, index: int) -> bytes:
        """One part that was not read by all yet."""
        return self._parts[index - self._gone]

    def follow(self, x: Exchange, *, leads: bool, see: Filter | None) -> Follower:
        """Somebody more who waits; ``see`` shows it less than all."""
        follower = Follower(self, x, leads=leads, see=see)
        self._followers.append(follower)
        # Not the leader itself: what refers to each other waits for the collector.
        self.has_leader = self.has_leader or leads
        return follower

    def leave(self, follower: Follower) -> bool:
        """Somebody less; whether that was the last and ends what is not for later."""
        if follower not in self._followers:
            return False
        self._followers.remove(follower)
        self.moved()
        if self.is_over:
            return False
        stays = self.stays if self.is_kept else None
        if not self.is_left or self.handle is None or (stays is not None and stays(self)):
            self.has_leader = self.has_leader and not follower.leads
            return False
        return self.give_up()

    def give_up(self) -> bool:
        """Nobody waits, and nobody will."""
        self.stays = None
        if self.handle is not None:
            self.handle.cancel()
        self.abandon()
        return True

    def abandon(self) -> None:
        """It will not come to an end of its own."""
        if not self.is_over:
            self.refuse(self.x, Overloaded("what was waited for has been given up", retry_after=1))

    def ring(self) -> None:
        """Something has changed."""
        self._changed.set()
        self._changed.clear()

    async def changed(self) -> None:
        """Wait for the head, the end, the limit, or a follower to fall behind."""
        await self._changed.wait()

    # the client's leg

    def start(self, x: Exchange, head: Head) -> None:
        """The head has come."""
        x.status = head.status
        self.head = head
        self.ring()

    def write(self, data: bytes) -> bool:
        """More of the body."""
        self._parts.append(data)
        self.size += len(data)
        if self.is_kept and self.size > self._limit:
            self.is_kept = False
            self.ring()
            if self.is_left:
                self.give_up()
        for follower in tuple(self._followers):
            follower.take(data)
        return self.is_kept or self._trim() <= BACKLOG

    def _trim(self) -> int:
        """Let go of what all have read; the bytes that are left."""
        reading = (f.at for f in self._followers if not f.takes_whole)
        read = min(reading, default=self.end)
        if read > self._gone:
            del self._parts[: read - self._gone]
            self._gone = read
        return sum(map(len, self._parts))

    async def drain(self) -> None:
        """Wait for the slowest."""
        self._room = self._room or self._bell()
        while self._trim() > BACKLOG:
            await self._room.wait()

    def moved(self) -> None:
        """A follower that was behind has read on, or is gone."""
        if self._room is not None:
            self._room.set()
            self._room.clear()

    def finish(self) -> None:
        """The answer is complete."""
        self.is_over = True
        self.ring()

    def refuse(self, x: Exchange, error: ProxyError) -> None:
        """It failed, before its head or after."""
        self.error = error
        self.is_over = True
        self.ring()


class Follower:
    """The ``Reply`` of one who waits for a flight."""

    __slots__ = (
        "_failed", "_is_behind", "_see", "_write", "_x", "at", "flight", "head", "leads",
        "takes_whole",
    )  # fmt: skip

    def __init__(self, flight: Flight, x: Exchange, *, leads: bool, see: Filter | None) -> None:
        self.flight = flight
        self._x = x
        self._see = see
        self._write: Write | None = None
        self._failed: Exception | None = None
        self._is_behind = False
        self.leads = leads
        self.at = 0
        self.takes_whole = False
        self.head = Head(0, [])

    async def ready(self) -> None:
        """Wait for the head.  Raises as the flight did."""
        flight = self.flight
        while flight.head is None and flight.error is None:
            await flight.changed()
        self._note()
        if flight.head is None:
            assert flight.error is not None
            raise flight.error.with_traceback(None)
        head = flight.head
        # What an upstream says of one request is true for that one only.
        own = head.headers if self.leads else [h for h in head.headers if h[0].lower() in _COMMON]
        length = None if self._see is not None else head.length
        self.head = Head(head.status, list(own), head.content_type, length, head.is_stream)

    async def whole(self) -> bool:
        """Wait for the end; whether the flight has all of the body then.

        Of an answer too large to keep it is told at once, and it holds back none.
        Raises as the flight did.
        """
        flight = self.flight
        self.takes_whole = True
        flight.moved()
        while flight.is_kept and not flight.is_over:
            await flight.changed()
        self._note()
        if flight.error is not None:
            raise flight.error.with_traceback(None)
        return flight.is_kept

    def _note(self) -> None:
        """What is known of the exchange, for this one's headers and log line."""
        x, of = self._x, self.flight.x
        x.events, x.is_torn, x.sequence, x.finish = of.events, of.is_torn, of.sequence, of.finish
        x.source, x.flags = of.source, of.flags
        x.target, x.upstream_status = of.target, of.upstream_status
        x.first_byte_at = of.first_byte_at and max(of.first_byte_at, x.started)
        if self.leads:
            x.attempts, x.sent_at, x.upstream_s = of.attempts, of.sent_at, of.upstream_s
            x.queued_s, x.retried_s = of.queued_s, of.retried_s
            x.usage, x.cost_nanos = of.usage, of.cost_nanos
        else:
            x.upstream_s = max(0.0, of.first_byte_at - x.started)

    def take(self, data: bytes) -> None:
        """A part that has just come, if this one has kept up."""
        write = self._write
        if write is None:
            return
        self.at += 1
        try:
            seen = data if self._see is None else self._see(data)
            if not seen or write(seen):
                return
            self._is_behind = True
        except (ConnectionError, ProxyError) as exc:
            # This one's client is gone; it is no trouble of the others.
            self._failed = exc
        self._write = None
        self.flight.ring()

    async def pump(self, write: Write, drain: Callable[[], Awaitable[None]]) -> None:
        """Hand on what has come, and what comes until the end."""
        flight = self.flight
        try:
            while True:
                if self._failed is not None:
                    raise self._failed
                if self._is_behind:
                    self._is_behind = False
                    await drain()
                while self.at < flight.end:
                    data = flight.part(self.at)
                    self.at += 1
                    flight.moved()
                    seen = data if self._see is None else self._see(data)
                    if seen and not write(seen):
                        await drain()
                if flight.error is not None:
                    # Of the same error many are told; each has a way of its own.
                    raise flight.error.with_traceback(None)
                if flight.is_over:
                    return
                self._write = write
                await flight.changed()
        finally:
            self._write = None
            self._note()

    def close(self) -> None:
        """Wait no longer."""
        if self.flight.leave(self) and self.leads:
            self._note()
            self._x.led = self.flight.x
