"""Sends exchanges of our own upstream, for those who wait and for later."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from copy import copy
from typing import Any, Final

from proxy.core.exchange import End, Exchange
from proxy.core.flight import Flight, Flights
from proxy.core.pipeline import ClientLeg
from proxy.core.ports import Clock, Tasks

PAUSE_S: Final = 5.0
"""How long after a refresh that failed the next is tried."""

MAX_FAILED: Final = 1000

Rest = Callable[[Exchange, ClientLeg], Coroutine[Any, Any, End]]
"""Sends an exchange through the stages behind the one that fills."""

Keep = Callable[[Flight, End], bool]
"""Called when a flight is over, for whatever reason: whether its answer was kept."""


class Fills:
    """Starts flights.

    Whoever builds the pipeline sets ``rest``, and ``told``, which hears of
    exchanges that ended without a client of their own.
    """

    rest: Rest
    told: Callable[[Exchange, End], None]

    def __init__(self, flights: Flights, tasks: Tasks, clock: Clock) -> None:
        self.flights = flights
        self.tasks = tasks
        self._clock = clock
        self._failed: dict[bytes, float] = {}

    def begin(self, x: Exchange, name: bytes, keep: Keep, limit: int) -> Flight:
        """Send a copy of ``x`` on its way; who joins is given its answer."""
        return self._begin(copy(x), name, keep, limit)

    def refresh(self, x: Exchange, name: bytes, keep: Keep, limit: int) -> None:
        """The same for nobody, unless it is under way or has just failed."""
        now = self._clock.now()
        if self.flights.find(name) is not None or self._failed.get(name, 0.0) > now:
            return
        fx = copy(x)
        fx.started = now
        fx.answer_headers, fx.notes = [], {"cache": "refresh"}
        self._begin(fx, name, keep, limit).is_pinned = True

    def _begin(self, fx: Exchange, name: bytes, keep: Keep, limit: int) -> Flight:
        fx.keeps_usage = True
        flight = Flight(fx, self.tasks.bell, limit)
        self.flights.add(name, flight)
        flight.handle = self.tasks.begin(self._fly(flight, name, keep))
        return flight

    async def _fly(self, flight: Flight, name: bytes, keep: Keep) -> None:
        end, is_kept = End("client_gone"), False
        try:
            end = await self.rest(flight.x, flight)
            # Those who wait come first.
            await self.tasks.pause(0)
        finally:
            try:
                is_kept = keep(flight, end)
            finally:
                self.flights.drop(name, flight)
            if flight.is_pinned and not is_kept:
                if len(self._failed) >= MAX_FAILED:
                    self._failed.clear()
                self._failed[name] = self._clock.now() + PAUSE_S
            if flight.leader is None:
                self.told(flight.x, end)
