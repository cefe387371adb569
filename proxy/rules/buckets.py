"""What admitting and settling do to a tenant's counts: the reference model.

Plain state, time given in (microseconds since 1970, whole).  The scripts of
``stores/lua`` do exactly the same to the same numbers, which a property test
holds; the ledger in memory runs on this very code.

A rate is the generic cell rate algorithm (ITU-T I.371) kept as a level that
drains, in *ticks* chosen so that both one unit and one microsecond are whole
numbers of them: nothing is ever rounded, so a limit is never one unit over.

A refund gives back only what has not drained yet: who overestimates must not
bank what time has already given.  A cell therefore counts in ``skip`` how far
refunds have moved it ahead of the clock, and each lease keeps the instant, on
that clock, at which its own charge is drained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from proxy.core.ledger import MAX_AMOUNT
from proxy.rules.counters import RATE, SLOT, Line, window_of

NEVER: Final = MAX_AMOUNT

Taken = tuple[Line, int, int]
"""One claim of a lease: what was taken, and the rate's drain instant or the
window it was taken from.
"""


class Lease(NamedTuple):
    """What stands behind a lease until it is settled."""

    at: int
    taken: tuple[Taken, ...]
    record: bytes


class Verdict(NamedTuple):
    """The answer to a reservation; times in microseconds.

    ``denied`` is the claim that stands longest in the way, -1 when granted;
    ``wait`` -1 says that it always will.
    """

    denied: int
    wait: int
    remaining: list[int]
    reset: list[int]


@dataclass(slots=True)
class Book:
    """One tenant's state.

    ``cells`` hold ``[level, at, skip, since]`` of a rate (``since``: when it
    was last empty) and ``[used, window]`` of a window, ``lines`` what each of
    them counts; ``slots`` the expiry of each lease in them.  ``gone`` are
    leases to remember after their end, with what stood behind them if an
    abandoned one may still be set right.  ``born`` tells a book from one that
    was lost and begun anew.
    """

    tenant: str
    born: int = 0
    cells: dict[str, list[int]] = field(default_factory=dict)
    lines: dict[str, Line] = field(default_factory=dict)
    slots: dict[str, dict[str, int]] = field(default_factory=dict)
    leases: dict[str, Lease] = field(default_factory=dict)
    expiries: dict[str, int] = field(default_factory=dict)
    gone: dict[str, tuple[int, Lease | None]] = field(default_factory=dict)
    soonest: int = MAX_AMOUNT


def drained(cell: list[int] | None, now: int, speed: int) -> list[int]:
    """A rate's cell as it is at ``now``; a new list, empty cells begin anew."""
    if cell is None:
        return [0, now, 0, now]
    level, at, skip, since = cell
    if now > at:
        level -= (now - at) * speed
        if level <= 0:
            return [0, now, 0, now]
        at = now
    return [level, at, skip, since] if level else [0, at, 0, at]


def current(cell: list[int] | None, window: int) -> list[int]:
    """A window's cell as it is in ``window``; a new list."""
    if cell is None or cell[1] < window:
        return [0, window]
    return cell.copy()


def reserve(  # noqa: C901, PLR0912 - a call for each claim costs a third of it
    book: Book,
    now: int,
    lease: str,
    claims: Sequence[tuple[Line, int]],
    ttl: int = 0,
    record: bytes = b"",
) -> Verdict:
    """Take all of ``claims`` for ``lease``, or nothing.

    No two claims may be on one counter.  Without a lease it only looks.  A
    lease that is known already (its answer was lost) is granted again and
    charged nothing more.
    """
    cells = book.cells
    fresh: list[list[int]] = []
    remaining: list[int] = []
    reset: list[int] = []
    denied, longest = -1, -1
    for line, amount in claims:
        kind, unit, speed, cap, counter = line
        wait = -1
        if kind == RATE:
            cell = drained(cells.get(counter), now, speed)
            room = cap - cell[0]
            cost = amount * unit
            remaining.append(room // unit if room > 0 else 0)
            reset.append(-(-cell[0] // speed))
            if cost > room:
                wait = NEVER if cost > cap else -((room - cost) // speed)
        elif kind == SLOT:
            cell = []
            used = _occupied(book, counter, now)
            remaining.append(cap - used if used < cap else 0)
            reset.append(0)
            if used >= cap:
                wait = 0
        else:
            window, end = window_of(unit, now)
            cell = current(cells.get(counter), window)
            used = cell[0]
            remaining.append(cap - used if used < cap else 0)
            reset.append(end - now)
            if used + amount > cap:
                wait = NEVER if amount > cap else end - now
        if wait > longest:
            denied, longest = len(fresh), wait
        fresh.append(cell)
    if lease and (lease in book.leases or lease in book.gone):
        return Verdict(-1, 0, remaining, reset)
    if denied >= 0:
        return Verdict(denied, -1 if longest == NEVER else longest, remaining, reset)
    if lease:
        book.born = book.born or now
        taken = _take(book, now + ttl, lease, claims, fresh)
        book.leases[lease] = Lease(now, taken, record)
        for index, (line, amount, _) in enumerate(taken):
            remaining[index] -= amount if line[0] != SLOT else 1
            if line[0] == RATE:
                reset[index] = -(-fresh[index][0] // line[2])
    return Verdict(-1, 0, remaining, reset)


def _occupied(book: Book, counter: str, now: int) -> int:
    held = book.slots.get(counter)
    if held is None:
        return 0
    # Nothing has expired yet, nearly always: then no expiry is looked at.
    return len(held) if now < book.soonest else sum(e > now for e in held.values())


def _take(
    book: Book,
    expiry: int,
    lease: str,
    claims: Sequence[tuple[Line, int]],
    fresh: list[list[int]],
) -> tuple[Taken, ...]:
    taken: list[Taken] = []
    cells = book.cells
    for (line, amount), cell in zip(claims, fresh, strict=True):
        kind, unit, speed, _, counter = line
        token = 0
        if kind == SLOT:
            book.slots.setdefault(counter, {})[lease] = expiry
        else:
            if kind == RATE:
                level = cell[0] = cell[0] + amount * unit
                token = cell[1] + cell[2] + level // speed
            else:
                cell[0] += amount
                token = cell[1]
            if counter not in cells:
                book.lines[counter] = line
            cells[counter] = cell
        taken.append((line, amount, token))
    book.expiries[lease] = expiry
    book.soonest = min(book.soonest, expiry)
    return tuple(taken)
