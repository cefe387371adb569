"""What one replica may grant by itself while the store cannot be asked.

Each limit says which it is: ``open`` lets everything through uncounted,
``closed`` nothing, ``local`` counts here, against the limit divided by the
replicas that lived when the store was last heard of.  A window's share is of
what was left of it then; a slot's includes the leases held here from before.
At least one request passes where the division leaves nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from proxy.core.ledger import Claim, Grant, Settlement
from proxy.rules.buckets import Book, reserve
from proxy.rules.counters import RATE, SLOT, Line, window_of
from proxy.rules.settlement import settle
from proxy.stores.lines import Counters

CLOSED_WAIT_S: Final = 1.0
"""When to come back to a store that is down; it is asked in the background."""
MAX_NOTED: Final = 50_000
_FOREVER_US: Final = 10**15

Spot = tuple[str, str]
"""Tenant and counter."""


class Share:
    """Counts of this replica alone.  Times in microseconds of the wall clock."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._books: dict[str, Book] = {}
        self._left: dict[Spot, tuple[int, int]] = {}
        self._held: Counter[Spot] = Counter()
        self.replicas = 1

    def count(self, replicas: object) -> None:
        """Take the store's word on how many replicas live, if it has said."""
        if isinstance(replicas, int):
            self.replicas = max(1, replicas)

    def note(self, tenant: str, claims: tuple[Claim, ...], grant: Grant, now: int) -> None:
        """Remember what the store says is left of windows."""
        left = self._left
        for claim, remaining in zip(claims, grant.remaining, strict=True):
            if claim.limit.kind in ("window", "money"):
                line = self._counters.lines((claim,))[0][0]
                spot = (tenant, line.counter)
                left.pop(spot, None)  # so that the first in the dict is the oldest
                left[spot] = (window_of(line.a, now)[0], remaining)
        while len(left) > MAX_NOTED:
            del left[next(iter(left))]

    def hold(self, tenant: str, claims: tuple[Claim, ...], by: int) -> None:
        """Count slots taken (1) and given back (-1) through this replica."""
        for claim in claims:
            if claim.limit.kind == "slot":
                spot = (tenant, self._counters.lines((claim,))[0][0].counter)
                self._held[spot] += by
                if self._held[spot] <= 0:
                    del self._held[spot]

    def decide(self, tenant: str, lease: str, claims: tuple[Claim, ...], now: int) -> Grant:
        """Grant or refuse without the store."""
        for index, claim in enumerate(claims):
            if claim.limit.on_failure == "closed":
                return Grant(None, index, CLOSED_WAIT_S, was_uncounted=True)
        kept = [i for i, claim in enumerate(claims) if claim.limit.on_failure == "local"]
        is_open = len(kept) < len(claims)
        if not kept:
            return Grant(lease, was_uncounted=is_open)
        remaining = [claim.limit.cap for claim in claims]
        reset = [0.0] * len(claims)
        lines = self._counters.lines([claims[i] for i in kept])
        mine = [self._mine(tenant, line, amount, now) for line, amount in lines]
        for index, line in zip(kept, mine, strict=True):
            if line.kind == SLOT:
                used = self._held[tenant, line.counter]
                remaining[index] = max(0, line.cap - used - 1)
                if used >= line.cap:
                    return Grant(None, index, 0.0, is_local=True, was_uncounted=is_open)
        counted = [
            (index, (line, amount))
            for index, line, (_, amount) in zip(kept, mine, lines, strict=True)
            if line.kind != SLOT
        ]
        book = self._books.setdefault(tenant, Book(tenant))
        verdict = reserve(book, now, lease, [entry for _, entry in counted], _FOREVER_US)
        for at, (index, _) in enumerate(counted):
            remaining[index] = verdict.remaining[at]
            reset[index] = verdict.reset[at] / 1_000_000
        told = (tuple(remaining), tuple(reset), True, is_open)
        if verdict.denied < 0:
            return Grant(lease, None, 0.0, *told)
        wait = None if verdict.wait < 0 else verdict.wait / 1_000_000
        return Grant(None, counted[verdict.denied][0], wait, *told)

    def _mine(self, tenant: str, line: Line, amount: int, now: int) -> Line:
        """A counter as this replica may use it."""
        kind, unit, speed, cap, counter = line
        if kind == RATE:
            # The same ticks go by, each unit costs as many times more of them.
            unit *= self.replicas
            return Line(kind, unit, speed, max(cap, min(amount, cap // line.a) * unit), counter)
        if kind == SLOT:
            return Line(kind, unit, speed, max(1, cap // self.replicas), counter)
        window, left = self._left.get((tenant, counter), (-1, 0))
        if window != window_of(unit, now)[0]:
            left = cap
        return Line(kind, unit, speed, left // self.replicas, counter)

    def settle(
        self, tenant: str, lease: str, claims: tuple[Claim, ...], settlement: Settlement, now: int
    ) -> None:
        """Set a lease right that was decided here, if it still counts here."""
        book = self._books.get(tenant)
        if book is None or lease not in book.leases:
            return
        used = {
            line.counter: amount
            for (line, _), amount in zip(
                self._counters.lines(claims), settlement.actual, strict=True
            )
        }
        taken = book.leases[lease].taken
        settle(book, now, lease, [(line, used[line.counter]) for line, _, _ in taken], b"")

    def forget(self) -> None:
        """The store counts again: what was counted here is on its way there."""
        self._books.clear()
