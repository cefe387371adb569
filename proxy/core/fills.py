"""Sends exchanges of our own upstream, for those who wait and for later."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from proxy.core.cache import Key, Vault
from proxy.core.errors import ProxyError
from proxy.core.exchange import End, Exchange
from proxy.core.flight import Filter, Flight, Follower
from proxy.core.pipeline import ClientLeg
from proxy.core.policy import Policy
from proxy.core.ports import Clock, Tasks

BEAT_S: Final = 5.0
"""How often a flight says that it still goes on."""

PAUSE_S: Final = 5.0
"""How long after a refresh that failed the next is tried."""

MAX_FAILED: Final = 1000
MAX_LEFT: Final = 256
"""Places for those that go on though everybody has left: they are in no count of requests."""

MAX_TURNS: Final = 3
"""How often one waits for another who is then refused."""

Rest = Callable[[Exchange, ClientLeg, Policy], Coroutine[Any, Any, End]]
"""Sends an exchange through the stages behind one of them."""

Keep = Callable[[Flight, End], bool]
"""Called when a flight is over, for whatever reason: whether its answer was kept."""


class Work(NamedTuple):
    """What is to be asked for, behind which stage, and under which name others find it.

    In ``name`` is the era of its scope, so that after an erasure nobody joins
    what was begun before it; by ``keys`` it is found when one of them is purged.
    Of the same name only those of the same ``ident`` are asked for together.
    ``limit`` is how many bytes of the answer are kept whole; ``keeps_usage``
    asks for the usage event though the client may not have.  ``gate`` is asked
    before a refresh: whether nobody else is at it.  ``asker`` is whom it is for,
    where ``x`` is not what the client asked; ``beat`` is called every ``BEAT_S``
    while the answer is on its way.  ``outlasts``: it goes on when all have left,
    for who asks again.
    """

    stage: Policy
    x: Exchange
    name: bytes
    keep: Keep
    limit: int
    keeps_usage: bool = True
    gate: Callable[[], Awaitable[bool]] | None = None
    asker: Exchange | None = None
    beat: Callable[[], Awaitable[object]] | None = None
    outlasts: bool = False
    keys: Sequence[Key] = ()
    ident: str = ""


class Flights:
    """Those in the air, by what they were sent for."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, Flight] = {}
        self._left: set[Flight] = set()
        self._placed: set[Flight] = set()  # of those that are left, but for refreshes

    def __len__(self) -> int:
        return len(self._by_key)

    @property
    def left(self) -> int:
        """How many go on though nobody waits for them."""
        return len(self._left)

    def leave(self, flight: Flight) -> None:
        """Nobody waits for it, and it goes on."""
        self._left.add(flight)

    def outlasts(self, flight: Flight) -> bool:
        """Whether there is a place for it to go on though all have left it; it has it then.

        A tenant gets one while it holds fewer than are free: alone it comes to
        half of them, each of n to one part of n + 1, and who holds none to the last.
        """
        tenant = flight.x.tenant
        held = sum(1 for other in self._placed if other.x.tenant == tenant)
        if held >= MAX_LEFT - len(self._placed):
            return False
        self._placed.add(flight)
        self.leave(flight)
        return True

    def joined(self, flight: Flight) -> None:
        """Somebody waits for it again."""
        self._left.discard(flight)
        self._placed.discard(flight)

    def find(self, key: bytes) -> Flight | None:
        """The one to join, if there is one."""
        flight = self._by_key.get(key)
        return flight if flight is not None and flight.may_join else None

    def add(self, key: bytes, flight: Flight) -> None:
        """From now on it may be joined."""
        self._by_key[key] = flight

    def purge(self, names: Collection[bytes]) -> None:
        """What is to be kept under one of ``names``, or of which is not known, is
        joined and kept no more.
        """
        for key, flight in tuple(self._by_key.items()):
            if flight.keys and not (names and flight.keys.isdisjoint(names)):
                flight.is_purged = True
                del self._by_key[key]
                if flight.is_left:
                    # Of one that has not begun yet nothing runs that would say so.
                    self.joined(flight)
                    flight.give_up()

    def drop(self, key: bytes, flight: Flight) -> None:
        """It is over."""
        self.joined(flight)
        if self._by_key.get(key) is flight:
            del self._by_key[key]


class Fills:
    """Starts flights.  ``told`` hears of those that ended without a client of their own."""

    def __init__(
        self,
        flights: Flights,
        tasks: Tasks,
        clock: Clock,
        rest: Rest,
        told: Callable[[Exchange, End], None],
    ) -> None:
        self.flights = flights
        self.tasks = tasks
        self._clock = clock
        self._rest = rest
        self._told = told
        self._paused: dict[bytes, float] = {}
        self._asking: Counter[bytes] = Counter()

    @contextmanager
    def asking(self, vault: Vault, scope: str, key: Key) -> Iterator[None]:
        """While the replicas are asked, and until a flight is joined or none is wanted.

        The lease is this process's: who leaves meanwhile gives it back where
        nobody else here has it or waits for it.
        """
        name, is_left = key.now, True
        self._asking[name] += 1
        try:
            yield
            is_left = False
        finally:
            self._asking[name] -= 1
            if not self._asking[name]:
                del self._asking[name]
                if is_left and self.flights.find(name + vault.era(scope)) is None:
                    vault.release(scope, key)

    async def join(self, work: Work, see: Filter | None = None) -> Follower | None:
        """Follow who is asking the same, or be the one; its head has come.

        ``None`` says to go alone.  Raises what the leader's exchange did, but
        a refusal of the one who asked (a limit, a budget) only to that one.
        """
        for _ in range(MAX_TURNS):
            flight = self.flights.find(work.name)
            leads = flight is None
            if flight is None:
                flight = self._begin(work.x.twin(), work)
            elif flight.ident != work.ident:
                return None
            follower = flight.follow(work.asker or work.x, leads=leads, see=see)
            self.flights.joined(flight)
            try:
                await follower.ready()
            except ProxyError as exc:
                follower.close()
                if leads or (exc.is_shared and not flight.x.is_altered):
                    raise
                if exc.is_shared:
                    return None
                continue
            except BaseException:
                follower.close()
                raise
            if leads or not flight.x.is_altered:
                return follower
            # What the leader's budget made of it is nobody else's answer.
            follower.close()
            return None
        return None

    def refresh(self, work: Work) -> None:
        """Ask anew for nobody, unless that is under way or has just failed."""
        now = self._clock.now()
        if self.flights.find(work.name) is not None or self._paused.get(work.name, 0.0) > now:
            return
        fx = work.x.twin()
        fx.started = now
        fx.answer_headers, fx.notes = [], {"cache": "refresh"}
        if len(self._paused) >= MAX_FAILED:
            self._paused.clear()
        self._paused[work.name] = now + PAUSE_S
        self._begin(fx, work, for_nobody=True)

    def _begin(self, fx: Exchange, work: Work, *, for_nobody: bool = False) -> Flight:
        fx.keeps_usage = work.keeps_usage
        fx.source, fx.flags = "", ()
        flight = Flight(fx, self.tasks.bell, work.limit)
        flight.ident = work.ident
        flight.keys = frozenset(key.now for key in work.keys)
        if for_nobody or work.outlasts:
            flight.stays = self.flights.outlasts
        self.flights.add(work.name, flight)
        if for_nobody:
            self.flights.leave(flight)
        flying = self._fly_if_free(flight, work) if for_nobody else self._fly(flight, work)
        flight.handle = self.tasks.begin(flying)
        return flight

    async def _beat(self, beat: Callable[[], Awaitable[object]]) -> None:
        while True:
            await self.tasks.pause(BEAT_S)
            await beat()

    async def _fly_if_free(self, flight: Flight, work: Work) -> None:
        is_free = False
        try:
            is_free = work.gate is None or await work.gate()
        finally:
            if not is_free:
                self.flights.drop(work.name, flight)
                flight.abandon()
        if is_free:
            await self._fly(flight, work)

    async def _fly(self, flight: Flight, work: Work) -> None:
        end, is_kept = End("client_gone"), False
        beating = self.tasks.begin(self._beat(work.beat)) if work.beat is not None else None
        try:
            end = await self._rest(flight.x, flight, work.stage)
            # Those who wait come first.
            await self.tasks.pause(0)
        finally:
            flight.abandon()
            if beating is not None:
                beating.cancel()
            try:
                is_kept = work.keep(flight, end)
            finally:
                self.flights.drop(work.name, flight)
            if is_kept:
                self._paused.pop(work.name, None)
            flight.handle = None
            if not flight.has_leader:
                self._told(flight.x, end)
