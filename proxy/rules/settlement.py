"""Setting leases right once they end, however they end: the reference model.

The other half of ``buckets``: what a lease took is corrected by what was
used, exactly once, and what nobody settles is found and marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from proxy.core.ledger import MAX_AMOUNT, Charge, Row, RowState
from proxy.rules.buckets import Book, Lease, current, drained
from proxy.rules.counters import MAX_LEVEL, RATE, SLOT, Line, window_of

FORGET_US: Final = 24 * 3600 * 1_000_000
"""How long a lease that was abandoned or charged late is remembered."""


def settle(
    book: Book,
    now: int,
    lease: str,
    actual: Sequence[tuple[Line, int]],
    record: bytes,
    born: int | None = None,
) -> Row | None:
    """Set ``lease`` right by what was used; the row for the ledger, if one is due.

    A lease that the book does not know was either settled before, or taken
    where this book cannot see (the store was down, or has forgotten).  Only
    the caller can tell: ``born`` is ``None`` when this settlement cannot have
    arrived before, else the ``born`` of the book that it may have reached.
    """
    held = book.leases.pop(lease, None)
    if held is not None:
        del book.expiries[lease]
        charges = _set_right(book, now, lease, held, actual)
        return _row(book, lease, "settled", charges, record)
    if lease in book.gone:
        forget, held = book.gone[lease]
        if held is None:
            return None
        book.gone[lease] = (forget, None)
        charges = _set_right(book, now, lease, held, actual)
        # A row says that the estimate stands, so another has to say otherwise.
        return Row(book.tenant, lease, "settled", tuple(charges), record)
    if born is not None and born in (0, book.born):
        return None
    return _charge_late(book, now, lease, actual, record)


def _set_right(
    book: Book, now: int, lease: str, held: Lease, actual: Sequence[tuple[Line, int]]
) -> list[Charge]:
    charges: list[Charge] = []
    cells = book.cells
    for (line, amount, token), (_, used) in zip(held.taken, actual, strict=True):
        kind, unit, speed, _, counter = line
        if kind == SLOT:
            _leave(book, counter, lease)
            continue
        cell = cells.get(counter)
        if kind == RATE:
            if used > amount:
                cell = drained(cell, now, speed)
                cell[0] = min(MAX_LEVEL, cell[0] + (used - amount) * unit)
                cells[counter], book.lines[counter] = cell, line
            elif used < amount and cell is not None:
                _refund(cell, now, held.at, token, (line, amount - used))
            continue
        if used != amount and cell is not None and cell[1] == token:
            cell[0] = min(MAX_AMOUNT, max(0, cell[0] + used - amount))
        charges.append(Charge(counter, token, used))
    return charges


def _refund(cell: list[int], now: int, at: int, token: int, back: tuple[Line, int]) -> None:
    """Give back of a charge made ``at`` what has not drained yet."""
    (_, unit, speed, _, _), amount = back
    level, cell_at, skip, since = cell
    if at < since:
        return  # the cell has been empty since that charge was made
    if now > cell_at:
        level -= (now - cell_at) * speed
        cell_at = now
    left = min(amount * unit, (token - cell_at - skip) * speed, level)
    if left > 0:
        cell[0] = level - left
        cell[1] = cell_at
        cell[2] = skip - (-left // speed)


def _charge_late(
    book: Book, now: int, lease: str, actual: Sequence[tuple[Line, int]], record: bytes
) -> Row | None:
    """Windows only: what a rate would have been charged has drained since."""
    charges: list[Charge] = []
    for line, amount in actual:
        if line.kind not in (RATE, SLOT):
            cell = current(book.cells.get(line.counter), window_of(line.a, now)[0])
            cell[0] = min(MAX_AMOUNT, cell[0] + amount)
            book.cells[line.counter], book.lines[line.counter] = cell, line
            charges.append(Charge(line.counter, cell[1], amount))
    book.born = book.born or now
    if actual:
        # With nothing to charge, twice does no harm: readers go by a lease's last row.
        book.gone[lease] = (now + FORGET_US, None)
    # Of what no limit counts nothing was held, so it is not late.
    return _row(book, lease, "late" if actual else "settled", charges, record)


def _row(
    book: Book, lease: str, state: RowState, charges: list[Charge], record: bytes
) -> Row | None:
    if not record and not any(c.amount for c in charges):
        return None
    return Row(book.tenant, lease, state, tuple(charges), record)


def _leave(book: Book, counter: str, lease: str) -> None:
    held = book.slots.get(counter)
    if held is not None:
        held.pop(lease, None)
        if not held:
            del book.slots[counter]


def extend(book: Book, now: int, lease: str, ttl: int) -> bool:
    """Let ``lease`` live ``ttl`` from ``now``, if it still does; never shorter."""
    expiry = book.expiries.get(lease, 0)
    if expiry <= now:
        return False
    expiry = max(expiry, now + ttl)
    book.expiries[lease] = expiry
    for line, _, _ in book.leases[lease].taken:
        if line.kind == SLOT:
            book.slots[line.counter][lease] = expiry
    return True


def sweep(book: Book, now: int) -> list[Row]:
    """Mark the leases that nobody settled in time; their estimates stand."""
    rows: list[Row] = []
    if now >= book.soonest:
        late = sorted((e, lease) for lease, e in book.expiries.items() if e <= now)
        for _, lease in late:
            held = book.leases.pop(lease)
            del book.expiries[lease]
            charges: list[Charge] = []
            for line, amount, token in held.taken:
                if line.kind == SLOT:
                    _leave(book, line.counter, lease)
                elif line.kind != RATE:
                    charges.append(Charge(line.counter, token, amount))
            book.gone[lease] = (now + FORGET_US, held)
            row = _row(book, lease, "abandoned", charges, held.record)
            if row is not None:
                rows.append(row)
        book.soonest = min(book.expiries.values(), default=MAX_AMOUNT)
    return rows


def forget_gone(book: Book, now: int) -> None:
    """Forget leases that have been remembered long enough."""
    for lease in [lease for lease, (forget, _) in book.gone.items() if forget <= now]:
        del book.gone[lease]
