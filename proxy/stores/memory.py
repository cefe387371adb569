"""The ledger of a single process: the reference model, kept in memory.

Nothing survives the process, so nothing has to be renewed or replayed: a
lease that is never settled can only be a bug, and runs out all the same.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from proxy.core.ledger import Claim, Grant, Row, Settlement
from proxy.core.ports import Clock
from proxy.rules.buckets import Book, reserve
from proxy.rules.settlement import drop_idle, extend, forget_gone, settle, sweep
from proxy.stores.lines import Counters, Lines, grant_of

_TIDY_EVERY: Final = 1024

Sink = Callable[[Row], None]


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
        self._counters = Counters()
        self._books: dict[str, Book] = {}
        self._open: dict[str, tuple[Book, Lines]] = {}
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

    def _now(self) -> int:
        return int(self._wall() * 1_000_000)

    def _book(self, tenant: str, now: int) -> Book:
        book = self._books.get(tenant)
        if book is None:
            book = self._books[tenant] = Book(tenant)
        elif now >= book.soonest:
            self._sweep(book, now)
        return book

    def _sweep(self, book: Book, now: int) -> None:
        for row in sweep(book, now):
            self.abandoned += 1
            self._put(row)

    def _put(self, row: Row) -> None:
        if self.sink is not None:
            self.sink(row)

    async def reserve(self, tenant: str, claims: tuple[Claim, ...], record: bytes = b"") -> Grant:
        """Take every claim or none; see the port."""
        now = self._now()
        book = self._book(tenant, now)
        lines = self._counters.lines(claims)
        self._number += 1
        lease = f"{self._prefix}{self._number:x}"
        verdict = reserve(book, now, lease, lines, self._lease_us, record)
        if verdict.denied >= 0:
            self.denied += 1
            return grant_of(None, verdict)
        self.granted += 1
        self._open[lease] = (book, lines)
        self._until_tidy -= 1
        if self._until_tidy <= 0:
            self._tidy(now)
        return grant_of(lease, verdict)

    async def peek(self, tenant: str, claims: tuple[Claim, ...]) -> Grant:
        """What ``reserve`` would say; see the port."""
        now = self._now()
        book = self._books.get(tenant, Book(tenant))
        return grant_of(None, reserve(book, now, "", self._counters.lines(claims)))

    def settle(self, lease: str, settlement: Settlement) -> None:
        """Set a lease right, once.  Raises ``ValueError`` for a wrong number of amounts."""
        held = self._open.get(lease)
        if held is None:
            return
        book, lines = held
        actual = [
            (line, max(0, amount))
            for (line, _), amount in zip(lines, settlement.actual, strict=True)
        ]
        del self._open[lease]
        self.settled += 1
        row = settle(book, self._now(), lease, actual, settlement.record)
        if row is not None:
            self._put(row)

    def note(self, tenant: str, record: bytes) -> None:
        """Write a row for what no limit counts."""
        self._number += 1
        self._put(Row(tenant, f"{self._prefix}{self._number:x}", "settled", (), record))

    def extend(self, lease: str, ttl_s: float) -> None:
        """Keep a lease for at least ``ttl_s`` from now."""
        held = self._open.get(lease)
        if held is not None:
            extend(held[0], self._now(), lease, round(ttl_s * 1_000_000))

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

    def _tidy(self, now: int) -> None:
        """Drop what says nothing any more.

        The next time comes after twice as many grants as counters are left,
        so that the cost of a grant does not grow with their number.
        """
        for tenant, book in list(self._books.items()):
            self._sweep(book, now)
            forget_gone(book, now)
            drop_idle(book, now)
            if not (book.cells or book.leases or book.gone):
                del self._books[tenant]
        for lease, (book, _) in list(self._open.items()):
            if lease not in book.leases and lease not in book.gone:
                del self._open[lease]
        left = len(self._open) + sum(len(book.cells) + 1 for book in self._books.values())
        self._until_tidy = max(_TIDY_EVERY, 2 * left)
