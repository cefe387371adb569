"""The way in to one upstream: so many at once, a bounded and fair queue behind.

Where a slot is free and nobody waits, entering is one plain call.  Else a
request waits on a future for its turn (``rules.fairness``), for at most the
queue's time-out, which the owner's sweep enforces, and is refused at once if
its client would have given up by the time that its turn is expected.

A slot is held from the first attempt until the answer is over.  Whoever got
one calls ``leave`` exactly once; leaving twice does nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from proxy.core.errors import Overloaded
from proxy.core.exchange import Exchange
from proxy.rules.adaptive import Aimd, Gradient
from proxy.rules.fairness import FairQueue
from proxy.upstream.slot import Slot, Waiter, first_token_s, spent
from proxy.wire.headers import patience_of

MEMORY: Final = 16
"""Answers that the mean time of a slot's use reaches back."""

PUSHED_BACK: Final = frozenset({"429", "503"})
"""Causes of failure by which an upstream says that it has had enough."""

Reason = Literal["full", "timeout", "deadline"]
Adapts = Literal["", "aimd", "gradient"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much an upstream is given at once, and who may wait how long (s).

    ``adapts`` is the way in which the cap moves below ``max``, if it does.
    """

    max: int
    queue: int = 256
    queue_s: float = 5.0
    adapts: Adapts = ""


class Watch(Protocol):
    """Who is told what happens at the gates."""

    def waits(self, upstream: str) -> Callable[[float], None]:
        """Takes the seconds that each request waited for its slot."""
        ...

    def refused(self, upstream: str, reason: Reason) -> None:
        """A request was not let in."""
        ...


class Gate:
    """The gate of one upstream.  Outlives a reload; ``set`` changes its bounds.

    ``future`` makes futures of the running loop.
    """

    def __init__(
        self,
        name: str,
        bounds: Bounds,
        future: Callable[[], Waiter],
        now: Callable[[], float],
        watch: Watch,
    ) -> None:
        self.name = name
        self._future = future
        self._now = now
        self._watch = watch
        self._waited = watch.waits(name)
        self._queue: FairQueue[Slot] = FairQueue()
        self._service_s = 0.0  # mean time that a slot is held; 0: not known yet
        self._adaptive: Aimd | None = None
        self.in_flight = 0
        self.cap = 0
        self.set(bounds)

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return self._queue.waiting

    def set(self, bounds: Bounds) -> None:
        """From now on these bounds; what was learnt and who waits stays."""
        self._bounds = bounds
        self._queue.patience = bounds.queue_s / 2
        kind = {"aimd": Aimd, "gradient": Gradient}.get(bounds.adapts)
        if kind is None:
            self._adaptive = None
            self.cap = bounds.max
        else:
            if type(self._adaptive) is not kind:
                self._adaptive = kind(bounds.max)
            self._adaptive.bound(bounds.max)
            self.cap = self._adaptive.cap
        self._give()

    def lift(self) -> None:
        """No bound any more: let everybody in."""
        self.set(Bounds(max=sys.maxsize))

    def enter(self, x: Exchange) -> Slot | None:
        """A slot at once, if one is free and nobody waits."""
        if self.in_flight >= self.cap or self._queue.waiting:
            return None
        slot = Slot(x)
        self._queue.admit(slot)
        self.in_flight += 1
        slot.is_held = True
        slot.began = self._now()
        self._waited(0.0)
        return slot

    async def wait(self, x: Exchange) -> Slot:
        """A slot in its turn.  Raises ``Overloaded``."""
        slot = Slot(x)
        slot.since = since = self._now()
        self._enqueue(slot, x)
        try:
            refusal = await slot.waiter
        except BaseException:
            # The client has left, perhaps in the moment that its turn came.
            self._queue.remove(slot)
            if slot.is_held:
                self._release(slot, 0.0)
            raise
        finally:
            x.queued_s += self._now() - since
        if refusal is not None:
            raise self._refused(refusal)
        self._waited(slot.began - since)
        return slot

    def _enqueue(self, slot: Slot, x: Exchange) -> None:
        slot.until = slot.since + self._bounds.queue_s
        patience = patience_of(x.headers)
        if patience is not None:
            gives_up = x.started + patience
            if slot.since + self._expected(self._queue.ahead(slot) + 1) > gives_up:
                raise self._refused("deadline")
            slot.until = min(slot.until, gives_up)
        if self._queue.waiting >= self._bounds.queue:
            victim = self._queue.displace(slot, self._bounds.queue)
            if victim is None:
                raise self._refused("full")
            _wake(victim, "full")
        slot.waiter = self._future()
        self._queue.push(slot)

    def _expected(self, place: int) -> float:
        """Seconds until the turn of who stands at ``place``, 1 being the next."""
        return place * self._service_s / self.cap

    def _refused(self, reason: Reason) -> Overloaded:
        self._watch.refused(self.name, reason)
        wait = min(60.0, max(1.0, self._expected(self._queue.waiting + 1)))
        return Overloaded(_MESSAGES[reason].format(self.name), retry_after=wait)

    def pushed_back(self, sent_at: float) -> None:
        """The upstream answered a request of ``sent_at`` by 429 or 503."""
        if self._adaptive is not None:
            self._adaptive.pushed_back(sent_at, self._now())
            self.cap = self._adaptive.cap

    def leave(self, slot: Slot, x: Exchange) -> None:
        """The answer is over, or there will be none: give the slot back."""
        if not slot.is_held:
            return
        held = self._now() - slot.began
        if self._service_s:
            self._service_s += (held - self._service_s) / MEMORY
        else:
            self._service_s = held
        if self._adaptive is not None and 0 < x.upstream_status < 400:
            prompt = x.usage.prompt if x.usage is not None else slot.prompt
            self._adaptive.served(self.in_flight, first_token_s(x), prompt)
            self.cap = self._adaptive.cap
        self._release(slot, spent(x, slot))

    def _release(self, slot: Slot, cost: float) -> None:
        slot.is_held = False
        self.in_flight -= 1
        # Corrected after the choice: else a tenant whose requests are guessed
        # too large is ahead by one guess whenever one of them ends.
        self._give()
        self._queue.settle(slot, cost)

    def _give(self) -> None:
        """Slots that are free to those whose turn it is."""
        while self.in_flight < self.cap and self._queue.waiting:
            now = self._now()
            slot = self._queue.pop(now)
            assert slot is not None
            if slot.waiter.done():
                # Its client left in this very turn of the loop.
                self._queue.settle(slot, 0.0)
                continue
            self.in_flight += 1
            slot.is_held = True
            slot.began = now
            slot.waiter.set_result(None)

    def sweep(self, now: float) -> None:
        """Refuse who has waited too long; called a few times a second."""
        for slot in self._queue.overdue(now):
            _wake(slot, "timeout")
        self._queue.tidy()

    def status(self) -> dict[str, Any]:
        """The state of this moment, for people."""
        return {
            "upstream": self.name,
            "in_flight": self.in_flight,
            "cap": self.cap,
            "max": self._bounds.max,
            "waiting": self.waiting,
            "waiting_by_tenant": self._queue.depths(),
            "slot_s": round(self._service_s, 3),
        }


def _wake(slot: Slot, refusal: Reason) -> None:
    if not slot.waiter.done():
        slot.waiter.set_result(refusal)


_MESSAGES: Final[dict[Reason, str]] = {
    "full": "the queue of upstream {!r} is full; try again later",
    "timeout": "no place became free at upstream {!r} in time; try again later",
    "deadline": "upstream {!r} is busy for longer than your client's time-out",
}
