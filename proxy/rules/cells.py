"""Admitting and settling at speed: what ``buckets`` and ``settlement`` say, in place.

The model makes new lists for everything and is easy to believe; here the same
numbers are changed where they stand, in one pass, and a refusal takes back
what the pass had taken.  A property test holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from proxy.core.ledger import MAX_AMOUNT, Charge
from proxy.rules.counters import MAX_LEVEL, RATE, SECOND_US, SLOT, Line, window_of

NEVER: Final = MAX_AMOUNT


_new: Final = tuple.__new__
_REFUSED: Final = -1


class Cell:
    """One counter of one tenant.

    Of a rate ``level`` is in ticks at ``at``, ``skip`` how far refunds moved
    it ahead of the clock, ``since`` when it was last empty.  Of a window
    ``level`` is what was used in ``window``, which began and ends with ``at``
    and ``until`` where these were last looked up.  Of a slot it is how many
    leases are in it.  Times in microseconds.
    """

    __slots__ = ("at", "level", "line", "since", "skip", "until", "window")

    def __init__(self, line: Line, now: int) -> None:
        self.line = line
        self.level = 0
        self.at = now
        self.skip = 0
        self.since = now
        self.until = 0
        self.window = -1

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

    def turn(self, now: int, per: int) -> None:
        """Be in the window that ``now`` is in; a later one begins at nothing."""
        window, self.until = window_of(per, now)
        self.at = now
        if window > self.window:
            self.window = window
            self.level = 0

    def is_idle(self, now: int) -> bool:
        """Whether it says nothing any more: whole, over, or empty."""
        line = self.line
        if line.kind == RATE:
            return not self.drain(now, line.speed)
        return not self.level or (line.kind != SLOT and self.window < window_of(line.a, now)[0])


Entry = tuple[Cell, int, int, int, int, int]
"""A cell as one spot of an order sees it: the cell, then kind, ``a``, speed and cap of
its line, and which of the amounts it counts."""


class Held:
    """What stands behind a lease: when it was taken, what, and until when it lives.

    ``tokens`` say for each entry what settling has to know: of a rate the
    instant at which the charge is drained, of a window which one it was, of a
    slot whether it is still in it.
    """

    __slots__ = ("amounts", "at", "entries", "expires", "record", "tenant", "tokens")

    def __init__(
        self, tenant: str, entries: Sequence[Entry], amounts: Sequence[int], at: int, record: bytes
    ) -> None:
        self.tenant = tenant
        self.entries = entries
        self.amounts = amounts
        self.at = at
        self.record = record
        self.expires = at
        self.tokens: list[int] = []


class Outcome(NamedTuple):
    """``denied`` is -1 when granted; ``wait`` -1 says never; the rest follow the entries."""

    denied: int
    wait: int
    remaining: list[int]
    reset: list[float]
    tokens: list[int]


def reserve(
    entries: Sequence[Entry], amounts: Sequence[int], now: int, *, looks: bool = False
) -> Outcome:
    """Take all or nothing; who only ``looks`` takes nothing."""
    remaining: list[int] = []
    reset: list[float] = []
    tokens: list[int] = []
    denied, longest = -1, -1
    for cell, kind, a, speed, cap, place in entries:
        amount = amounts[place]
        if kind == RATE:
            before = cell.drain(now, speed)
            level = before + amount * a
            if level <= cap:
                cell.level = level
                tokens.append(cell.at + cell.skip + level // speed)
                remaining.append((cap - level) // a)
                reset.append(-(-level // speed) / SECOND_US)
                continue
            wait = NEVER if amount * a > cap else -((cap - level) // speed)
            remaining.append((cap - before) // a if cap > before else 0)
            reset.append(-(-before // speed) / SECOND_US)
        elif kind == SLOT:
            left = cap - cell.level
            reset.append(0.0)
            if left > 0:
                cell.level += 1
                tokens.append(1)
                remaining.append(left - 1)
                continue
            remaining.append(0)
            wait = 0
        else:
            if not cell.at <= now < cell.until:
                cell.turn(now, a)
            reset.append((cell.until - now) / SECOND_US)
            left = cap - cell.level
            if amount <= left:
                cell.level += amount
                tokens.append(cell.window)
                remaining.append(left - amount)
                continue
            remaining.append(max(0, left))
            wait = NEVER if amount > cap else cell.until - now
        if wait > longest:
            denied, longest = len(tokens), wait
        tokens.append(_REFUSED)
    if denied < 0 and not looks:
        return _new(Outcome, (-1, 0, remaining, reset, tokens))
    found = Outcome(denied, -1 if longest == NEVER else max(longest, 0), remaining, reset, tokens)
    _take_back(entries, amounts, found)
    return found


def _take_back(entries: Sequence[Entry], amounts: Sequence[int], found: Outcome) -> None:
    """Undo a pass; nothing has happened to the cells in between."""
    for i, (cell, kind, a, speed, _, place) in enumerate(entries):
        if found.tokens[i] == _REFUSED:
            continue
        amount = 1 if kind == SLOT else amounts[place]
        cell.level -= amount * a if kind == RATE else amount
        found.remaining[i] += amount
        if kind == RATE:
            found.reset[i] = -(-cell.level // speed) / SECOND_US


def settle(held: Held, used: Sequence[int], now: int, *, keeps_rows: bool) -> list[Charge]:
    """Set what was taken right by what was used; the charges, if rows are kept."""
    charges: list[Charge] = []
    amounts = held.amounts
    for (cell, kind, a, speed, _, place), token in zip(held.entries, held.tokens, strict=True):
        more = used[place] - amounts[place]
        if kind == RATE:
            if more > 0:
                cell.level = min(MAX_LEVEL, cell.drain(now, speed) + more * a)
            elif more < 0 and held.at >= cell.since:
                level = cell.drain(now, speed)
                left = min(-more * a, (token - cell.at - cell.skip) * speed, level)
                if left > 0:
                    cell.level = level - left
                    cell.skip -= -left // speed
        elif kind == SLOT:
            cell.level -= token
        else:
            if more and cell.window == token:
                level = cell.level + more
                cell.level = level if 0 <= level <= MAX_AMOUNT else min(MAX_AMOUNT, max(0, level))
            if keeps_rows:
                charges.append(Charge(cell.line.counter, token, used[place]))
    return charges


def abandon(held: Held) -> list[Charge]:
    """Nobody settled in time: slots are free, the estimates stand."""
    charges = []
    for i, (cell, kind, _, _, _, place) in enumerate(held.entries):
        if kind == SLOT:
            cell.level -= held.tokens[i]
            held.tokens[i] = 0
        elif kind != RATE:
            charges.append(Charge(cell.line.counter, held.tokens[i], held.amounts[place]))
    return charges
