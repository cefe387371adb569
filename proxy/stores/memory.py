"""The ledger of a single process, kept in memory.

Nothing survives the process, so nothing has to be renewed or replayed: a
lease that is never settled can only be a bug, and runs out all the same.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from proxy.core.ledger import Charge, Claim, Grant, Limit, Row, RowState, Settlement
from proxy.core.ports import Clock
from proxy.rules.cells import Cell, Entry, Held, Outcome, abandon, reserve, settle
from proxy.rules.counters import line_of
from proxy.rules.settlement import FORGET_US

_TIDY_EVERY: Final = 1024

Sink = Callable[[Row], None]


class _Book:
    """One tenant's counters, by their names and by the limits that count on them."""

    __slots__ = ("cells", "entries")

    def __init__(self) -> None:
        self.cells: dict[str, Cell] = {}
        self.entries: dict[tuple[Limit, str], Entry] = {}


class MemoryLedger:
    """Implements ``core.ledger.Ledger``.

    ``lease_s`` is how long a lease lives without being extended; the longest
    exchange has to fit in it.  ``sink`` gets each row of the billing ledger
    as it is made; without one there is none.  Counters that are full again,
    windows that are over and tenants that have neither are dropped as the
    books grow.
    """

    keeps_estimates = False
    """A holder that dies takes the ledger with it."""

    def __init__(self, clock: Clock, sink: Sink | None, *, lease_s: float = 3900.0) -> None:
        self._wall = clock.wall
        self.sink = sink
        self._lease_us = round(lease_s * 1_000_000)
        self._books: dict[str, _Book] = {}
        self._open: dict[str, tuple[str, Held]] = {}
        self._gone: dict[str, tuple[str, Held]] = {}
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

    def _entry(self, tenant: str, limit: Limit, scope: str, now: int) -> Entry:
        book = self._books.get(tenant)
        if book is None:
            book = self._books[tenant] = _Book()
        line = line_of(limit, scope)
        cell = book.cells.get(line.counter)
        if cell is None:
            cell = book.cells[line.counter] = Cell(line, now)
        entry = book.entries[limit, scope] = (cell, *line[:4])
        return entry

    def _ask(
        self, tenant: str, claims: tuple[Claim, ...], now: int, lease: str, held: Held | None
    ) -> Outcome:
        if now >= self._soonest:
            self._sweep(now)
        book = self._books.get(tenant)
        known = book.entries if book is not None else {}
        entries = []
        amounts = []
        for limit, scope, amount in claims:
            entries.append(known.get((limit, scope)) or self._entry(tenant, limit, scope, now))
            amounts.append(max(0, amount))
        return reserve(entries, amounts, now, lease, held)

    async def reserve(self, tenant: str, claims: tuple[Claim, ...], record: bytes = b"") -> Grant:
        """Take every claim or none; see the port."""
        now = int(self._wall() * 1_000_000)
        self._number += 1
        lease = f"{self._prefix}{self._number:x}"
        held = Held(now, now + self._lease_us, record)
        found = self._ask(tenant, claims, now, lease, held)
        if found.denied >= 0:
            self.denied += 1
            return _refusal(found)
        self.granted += 1
        self._open[lease] = (tenant, held)
        self._soonest = min(self._soonest, held.expires)
        self._until_tidy -= 1
        if self._until_tidy <= 0:
            self._tidy(now)
        return Grant(lease, None, 0.0, tuple(found.remaining), tuple(found.reset))

    async def peek(self, tenant: str, claims: tuple[Claim, ...]) -> Grant:
        """What ``reserve`` would say; see the port."""
        found = self._ask(tenant, claims, int(self._wall() * 1_000_000), "", None)
        if found.denied >= 0:
            return _refusal(found)
        return Grant(None, None, 0.0, tuple(found.remaining), tuple(found.reset))

    def settle(self, lease: str, settlement: Settlement) -> None:
        """Set a lease right, once.  Raises ``ValueError`` for a wrong number of amounts."""
        found = self._open.get(lease) or self._gone.get(lease)
        if found is None:
            return
        tenant, held = found
        actual, record = settlement
        if len(actual) != len(held.taken):
            raise ValueError("a settlement has one amount for each claim")
        was_open = self._open.pop(lease, None) is not None
        self._gone.pop(lease, None)
        self.settled += 1
        now = int(self._wall() * 1_000_000)
        used = [max(0, amount) for amount in actual]
        charges = settle(held, used, now, lease, keeps_rows=self.sink is not None)
        if self.sink is not None and (record or not was_open or any(c.amount for c in charges)):
            self._put(tenant, lease, "settled", charges, record)

    def note(self, tenant: str, record: bytes) -> None:
        """Write a row for what no limit counts."""
        self._number += 1
        self._put(tenant, f"{self._prefix}{self._number:x}", "settled", [], record)

    def _put(
        self, tenant: str, lease: str, state: RowState, charges: list[Charge], record: bytes
    ) -> None:
        if self.sink is not None:
            self.sink(Row(tenant, lease, state, tuple(charges), record))

    def extend(self, lease: str, ttl_s: float) -> None:
        """Keep a lease for at least ``ttl_s`` from now."""
        found = self._open.get(lease)
        if found is not None:
            held = found[1]
            now = int(self._wall() * 1_000_000)
            if held.expires > now:
                held.expires = max(held.expires, now + round(ttl_s * 1_000_000))

    async def close(self, within_s: float = 5.0) -> None:
        """Nothing waits; see the port."""

    def status(self) -> dict[str, object]:
        """Plain facts for the status page."""
        return {
            "kind": "memory",
            "is_up": True,
            "tenants": len(self._books),
            "counters": sum(len(book.cells) for book in self._books.values()),
            "open": len(self._open),
            "granted": self.granted,
            "denied": self.denied,
            "settled": self.settled,
            "abandoned": self.abandoned,
        }

    def _sweep(self, now: int) -> None:
        """Mark the leases that nobody settled in time; their estimates stand."""
        late = sorted(
            (h.expires, lease) for lease, (_, h) in self._open.items() if h.expires <= now
        )
        for _, lease in late:
            tenant, held = self._open.pop(lease)
            charges = abandon(held, lease)
            held.expires = now + FORGET_US
            self._gone[lease] = (tenant, held)
            self.abandoned += 1
            if held.record or any(charge.amount for charge in charges):
                self._put(tenant, lease, "abandoned", charges, held.record)
        self._soonest = min(
            (held.expires for _, held in self._open.values()), default=now + self._lease_us
        )

    def _tidy(self, now: int) -> None:
        """Drop what says nothing any more.

        The next time comes after twice as many grants as counters are left,
        so that the cost of a grant does not grow with their number.
        """
        for lease, (_, held) in list(self._gone.items()):
            if held.expires <= now:
                del self._gone[lease]
        used = {
            id(cell)
            for _, held in (*self._open.values(), *self._gone.values())
            for cell, _, _ in held.taken
        }
        for tenant, book in list(self._books.items()):
            book.entries.clear()
            for counter, cell in list(book.cells.items()):
                if id(cell) not in used and cell.is_idle(now):
                    del book.cells[counter]
            if not book.cells:
                del self._books[tenant]
        left = len(self._open) + sum(len(book.cells) + 1 for book in self._books.values())
        self._until_tidy = max(_TIDY_EVERY, 2 * left)


def _refusal(found: Outcome) -> Grant:
    wait = None if found.wait < 0 else found.wait / 1_000_000
    return Grant(None, found.denied, wait, tuple(found.remaining), tuple(found.reset))
