"""The ledger of a single process, kept in memory.

Nothing survives the process, so nothing has to be renewed or replayed: a
lease that is never settled can only be a bug, and runs out all the same.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from proxy.core.ledger import Charge, Grant, Order, Row, RowState, Settlement
from proxy.core.ports import Clock
from proxy.rules.cells import (
    Cell,
    Held,
    Outcome,
    Seat,
    abandon,
    charges_of,
    look,
    settle,
    take,
)
from proxy.rules.counters import Line, line_of
from proxy.rules.settlement import FORGET_US

_TIDY_EVERY: Final = 1024

Sink = Callable[[Row], None]
_new: Final = tuple.__new__


class MemoryLedger:
    """Implements ``core.ledger.Ledger``.

    ``lease_s`` is how long a lease lives; the longest exchange has to fit in
    it.  ``sink`` gets each row of the billing ledger as it is made; without one
    there is none.  Counters that are full again, windows that are over and
    tenants that have neither are dropped as the books grow.
    """

    keeps_estimates = False
    """A holder that dies takes the ledger with it."""

    def __init__(self, clock: Clock, sink: Sink | None, *, lease_s: float = 3900.0) -> None:
        self._wall = clock.wall
        self.sink = sink
        self._lease_us = round(lease_s * 1_000_000)
        self._books: dict[str, dict[str, Cell]] = {}
        self._known: dict[Order, Seat] = {}
        self._open: dict[str, Held] = {}
        self._gone: dict[str, Held] = {}
        self._soonest = 0
        self._prefix = secrets.token_hex(4)
        self._number = 0
        self._until_tidy = _TIDY_EVERY
        self.granted = 0
        self.denied = 0
        self.settled = 0
        self.abandoned = 0

    @property
    def keeps_rows(self) -> bool:
        """Whether somebody takes the rows."""
        return self.sink is not None

    def _seat(self, order: Order, now: int) -> tuple[Seat, list[str]]:
        """The counters of an order, and which of them had to be made."""
        book = self._books.setdefault(order.tenant, {})
        made: list[str] = []
        counted: list[tuple[Cell, Line, int]] = []
        for limit, scope, place in order.spots:
            line = line_of(limit, scope)
            cell = book.get(line.counter)
            if cell is None:
                cell = book[line.counter] = Cell(line, now)
                made.append(line.counter)
            counted.append((cell, line, place))
        seat = self._known[order] = Seat(order.tenant, counted)
        return seat, made

    def _unseat(self, order: Order, made: list[str]) -> None:
        """Counters that were made only to be asked say nothing."""
        del self._known[order]
        book = self._books[order.tenant]
        for counter in made:
            del book[counter]
        if not book:
            del self._books[order.tenant]

    async def reserve(self, order: Order, amounts: tuple[int, ...], record: bytes = b"") -> Grant:
        """Take all of an order or nothing; see the port."""
        now = int(self._wall() * 1_000_000)
        if now >= self._soonest:
            self._sweep(now)
        if amounts and min(amounts) < 0:
            amounts = _positive(amounts)
        self._until_tidy -= 1
        seat = self._known.get(order)
        made: list[str] = []
        if seat is None:
            seat, made = self._seat(order, now)
        held = Held(seat, amounts, now, now + self._lease_us, record)
        found = take(held)
        if found is None:
            self.denied += 1
            if made:
                self._unseat(order, made)
            return _looked(look(seat, amounts, now))
        self.granted += 1
        self._number += 1
        lease = f"{self._prefix}{self._number:x}"
        self._open[lease] = held
        self._soonest = min(self._soonest, held.expires)
        if self._until_tidy <= 0:
            self._tidy(now)
        remaining, reset = found
        return _new(Grant, (lease, None, 0.0, tuple(remaining), tuple(reset), False, False))

    async def peek(self, order: Order, amounts: tuple[int, ...]) -> Grant:
        """What ``reserve`` would say; see the port."""
        now = int(self._wall() * 1_000_000)
        if now >= self._soonest:
            self._sweep(now)
        seat, made = self._seat(order, now)
        self._unseat(order, made)
        return _looked(look(seat, _positive(amounts), now))

    def settle(self, lease: str, settlement: Settlement) -> None:
        """Set a lease right, once.  Raises ``ValueError`` for a wrong number of amounts."""
        held = self._open.get(lease) or self._gone.get(lease)
        if held is None:
            return
        used, record = settlement
        if len(used) != len(held.amounts):
            raise ValueError("a settlement has the amounts that were asked for")
        if used and min(used) < 0:
            used = _positive(used)
        was_open = self._open.pop(lease, None) is not None
        if not was_open:
            del self._gone[lease]
        self.settled += 1
        settle(held, used, int(self._wall() * 1_000_000))
        if self.sink is not None:
            charges = charges_of(held, used)
            if record or not was_open or any(charge.amount for charge in charges):
                self._put(held.seat.tenant, lease, "settled", charges, record)

    def note(self, tenant: str, record: bytes) -> None:
        """Write a row for what no limit counts."""
        self._number += 1
        self._put(tenant, f"{self._prefix}{self._number:x}", "settled", (), record)

    def _put(
        self, tenant: str, lease: str, state: RowState, charges: tuple[Charge, ...], record: bytes
    ) -> None:
        if self.sink is not None:
            self.sink(Row(tenant, lease, state, charges, record))

    async def close(self, within_s: float = 5.0) -> None:
        """Nothing waits; see the port."""

    def status(self) -> dict[str, object]:
        """Plain facts for the status page."""
        return {
            "kind": "memory",
            "is_up": True,
            "tenants": len(self._books),
            "counters": sum(len(book) for book in self._books.values()),
            "open": len(self._open),
            "granted": self.granted,
            "denied": self.denied,
            "settled": self.settled,
            "abandoned": self.abandoned,
        }

    def _sweep(self, now: int) -> None:
        """Mark the leases that nobody settled in time; their estimates stand."""
        late = sorted((h.expires, lease) for lease, h in self._open.items() if h.expires <= now)
        for _, lease in late:
            held = self._open.pop(lease)
            abandon(held)
            charges = charges_of(held, held.amounts)
            held.expires = now + FORGET_US
            self._gone[lease] = held
            self.abandoned += 1
            if held.record or any(charge.amount for charge in charges):
                self._put(held.seat.tenant, lease, "abandoned", charges, held.record)
        self._soonest = min(
            (held.expires for held in self._open.values()), default=now + self._lease_us
        )

    def _tidy(self, now: int) -> None:
        """Drop what says nothing any more.

        The next time comes after twice as many grants as counters are left,
        so that the cost of a grant does not grow with their number.
        """
        for lease, held in list(self._gone.items()):
            if held.expires <= now:
                del self._gone[lease]
        used = {
            id(cell)
            for held in (*self._open.values(), *self._gone.values())
            for cell, *_ in (*held.seat.slots, *held.seat.windows, *held.seat.rates)
        }
        self._known.clear()
        for tenant, book in list(self._books.items()):
            for counter, cell in list(book.items()):
                if id(cell) not in used and cell.is_idle(now):
                    del book[counter]
            if not book:
                del self._books[tenant]
        left = len(self._open) + sum(len(book) + 1 for book in self._books.values())
        self._until_tidy = max(_TIDY_EVERY, 2 * left)


def _positive(amounts: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([max(0, amount) for amount in amounts])


def _looked(found: Outcome) -> Grant:
    denied, wait, remaining, reset = found
    left = (tuple(remaining), tuple(reset))
    if denied < 0:
        return Grant(None, None, 0.0, *left)
    return Grant(None, denied, None if wait < 0 else wait / 1_000_000, *left)
