"""Admitting and settling at speed: what ``buckets`` and ``settlement`` say, in place.

The model makes new lists for everything and is easy to believe; here the same
numbers are changed where they stand, in one pass, and a refusal takes back
what the pass had taken.  A property test holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from proxy.core.ledger import MAX_AMOUNT, Charge
from proxy.rules.counters import MAX_LEVEL, RATE, SLOT, Line, window_of

NEVER: Final = MAX_AMOUNT


class Cell:
    """One counter of one tenant.

    Of a rate ``level`` is in ticks at ``at``, ``skip`` how far refunds moved
    it ahead of the clock, ``since`` when it was last empty.  Of a window
    ``level`` is what was used in ``window``, which began and ends with ``at``
    and ``until`` where these were last looked up.  ``held`` are the leases in
    a slot.  Times in microseconds.
    """

    __slots__ = ("at", "held", "level", "line", "since", "skip", "until", "window")

    def __init__(self, line: Line, now: int) -> None:
        self.line = line
        self.level = 0
        self.at = now
        self.skip = 0
        self.since = now
        self.until = 0
        self.window = -1
        self.held: set[str] = set()

    def drain(self, now: int, speed: int) -> int:
        """The level of a rate at ``now``; an empty one begins anew."""
        at = self.at
        if now > at:
            level = self.level - (now - at) * speed
            self.at = now
            if level <= 0:
                self.level = self.skip = 0
                self.since = now
                return 0
            self.level = level
            return level
        if not self.level:
            self.skip = 0
            self.since = at
        return self.level

    def turn(self, now: int, per: int) -> int:
        """The end of the window that ``now`` is in; a later one begins at nothing."""
        if self.at <= now < self.until:
            return self.until
        window, self.until = window_of(per, now)
        self.at = now
        if window > self.window:
            self.window = window
            self.level = 0
        return self.until

    def is_idle(self, now: int) -> bool:
        """Whether it says nothing any more: whole, over, or empty."""
        line = self.line
        if line.kind == SLOT:
            return not self.held
        if line.kind == RATE:
            return not self.drain(now, line.speed)
        return self.window < window_of(line.a, now)[0]


Entry = tuple[Cell, int, int, int, int]
"""A cell as one limit sees it: the cell, then kind, ``a``, speed and cap of its line."""


class Held:
    """What stands behind a lease: when it was taken, what, and until when it lives."""

    __slots__ = ("at", "expires", "record", "taken")

    def __init__(self, at: int, expires: int, record: bytes) -> None:
        self.at = at
        self.expires = expires
        self.record = record
        self.taken: list[tuple[Cell, int, int]] = []


class Outcome(NamedTuple):
    """``denied`` is -1 when granted; ``wait`` -1 says never; the rest follow the claims."""

    denied: int
    wait: int
    remaining: list[int]
    reset: list[float]


def reserve(
    entries: Sequence[Entry], amounts: Sequence[int], now: int, lease: str, held: Held | None
) -> Outcome:
    """Take all for ``lease`` or nothing; without ``held`` it only looks."""
    remaining: list[int] = []
    reset: list[float] = []
    taken: list[tuple[Cell, int, int]] = []
    denied, longest = -1, -1
    for (cell, kind, a, speed, cap), amount in zip(entries, amounts, strict=True):
        if kind == RATE:
            level = cell.drain(now, speed)
            room = cap - level
            cost = amount * a
            if cost <= room:
                cell.level = level = level + cost
                taken.append((cell, amount, cell.at + cell.skip + level // speed))
                remaining.append((room - cost) // a)
                reset.append(-(-level // speed) / 1_000_000)
                continue
            wait = NEVER if cost > cap else -((room - cost) // speed)
            remaining.append(room // a if room > 0 else 0)
            reset.append(-(-level // speed) / 1_000_000)
        elif kind == SLOT:
            left = cap - len(cell.held)
            reset.append(0.0)
            if left > 0:
                cell.held.add(lease)
                taken.append((cell, amount, 0))
                remaining.append(left - 1)
                continue
            remaining.append(0)
            wait = 0
        else:
            until = cell.turn(now, a)
            reset.append((until - now) / 1_000_000)
            left = cap - cell.level
            if amount <= left:
                cell.level += amount
                taken.append((cell, amount, cell.window))
                remaining.append(left - amount)
                continue
            remaining.append(max(0, left))
            wait = NEVER if amount > cap else until - now
        if wait > longest:
            denied, longest = len(remaining) - 1, wait
        taken.append((cell, -1, 0))
    if denied < 0 and held is not None:
        held.taken = taken
        return Outcome(-1, 0, remaining, reset)
    _take_back(entries, taken, lease, remaining, reset)
    return Outcome(denied, -1 if longest == NEVER else max(longest, 0), remaining, reset)


def _take_back(
    entries: Sequence[Entry],
    taken: Sequence[tuple[Cell, int, int]],
    lease: str,
    remaining: list[int],
    reset: list[float],
) -> None:
    """Undo a pass; nothing has happened to the cells in between."""
    for i, ((cell, kind, a, speed, _), (_, amount, _)) in enumerate(
        zip(entries, taken, strict=True)
    ):
        if amount < 0:
            continue
        if kind == SLOT:
            cell.held.discard(lease)
            remaining[i] += 1
            continue
        cell.level -= amount * a if kind == RATE else amount
        remaining[i] += amount
        if kind == RATE:
            reset[i] = -(-cell.level // speed) / 1_000_000


def settle(
    held: Held, amounts: Sequence[int], now: int, lease: str, *, keeps_rows: bool
) -> list[Charge]:
    """Set what was taken right by what was used; the charges, if rows are kept."""
    charges: list[Charge] = []
    for (cell, amount, token), used in zip(held.taken, amounts, strict=True):
        kind, a, speed, _, counter = cell.line
        if kind == SLOT:
            cell.held.discard(lease)
        elif kind == RATE:
            if used > amount:
                cell.level = min(MAX_LEVEL, cell.drain(now, speed) + (used - amount) * a)
            elif used < amount and held.at >= cell.since:
                level = cell.drain(now, speed)
                left = min((amount - used) * a, (token - cell.at - cell.skip) * speed, level)
                if left > 0:
                    cell.level = level - left
                    cell.skip -= -left // speed
        else:
            if used != amount and cell.window == token:
                cell.level = min(MAX_AMOUNT, max(0, cell.level + used - amount))
            if keeps_rows:
                charges.append(Charge(counter, token, used))
    return charges


def abandon(held: Held, lease: str) -> list[Charge]:
    """Nobody settled in time: slots are free, the estimates stand."""
    charges = []
    for cell, amount, token in held.taken:
        if cell.line.kind == SLOT:
            cell.held.discard(lease)
        elif cell.line.kind != RATE:
            charges.append(Charge(cell.line.counter, token, amount))
    return charges
