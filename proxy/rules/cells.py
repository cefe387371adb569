"""Admitting and settling at speed: what ``buckets`` and ``settlement`` say, in place.

The model makes new lists for everything and is easy to believe; here the same
numbers are changed where they stand, in one pass, and a refusal takes back
what the pass had taken.  A property test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from proxy.core.ledger import MAX_AMOUNT, Charge
from proxy.rules.counters import MAX_LEVEL, RATE, SECOND_US, SLOT, Line, window_of

NEVER: Final = MAX_AMOUNT
_NOT_TAKEN: Final = -1


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


Rate = tuple[Cell, int, int, int, int, int]
"""Cell, ticks a unit, speed, cap in ticks, which amount it counts, index in the order."""
Window = tuple[Cell, int, int, int, int]
"""Cell, kind of window, cap, which amount it counts, index in the order."""
Slot = tuple[Cell, int, int]
"""Cell, cap, index in the order."""


class Seat:
    """The counters of an order, by kind; ``size`` is how many."""

    __slots__ = ("rates", "size", "slots", "tenant", "windows")

    def __init__(self, tenant: str, counted: Iterable[tuple[Cell, Line, int]]) -> None:
        self.tenant = tenant
        rates: list[Rate] = []
        windows: list[Window] = []
        slots: list[Slot] = []
        self.size = 0
        for i, (cell, (kind, a, speed, cap, _), place) in enumerate(counted):
            if kind == RATE:
                rates.append((cell, a, speed, cap, place, i))
            elif kind == SLOT:
                slots.append((cell, cap, i))
            else:
                windows.append((cell, a, cap, place, i))
            self.size = i + 1
        self.rates, self.windows, self.slots = tuple(rates), tuple(windows), tuple(slots)


class Held:
    """What stands behind a lease: when it was taken, what, and until when it lives.

    ``tokens`` say for each counter what settling has to know: of a rate the
    instant at which the charge is drained, of a window which one it was, of a
    slot whether it is still in it.
    """

    __slots__ = ("amounts", "at", "expires", "record", "seat", "tokens")

    def __init__(
        self, seat: Seat, amounts: Sequence[int], at: int, expires: int, record: bytes
    ) -> None:
        self.seat = seat
        self.amounts = amounts
        self.at = at
        self.expires = expires
        self.record = record
        self.tokens = [_NOT_TAKEN] * seat.size


class Outcome(NamedTuple):
    """``denied`` is -1 when granted; ``wait`` -1 says never; the rest follow the order."""

    denied: int
    wait: int
    remaining: list[int]
    reset: list[float]


def take(held: Held) -> tuple[list[int], list[float]] | None:
    """Take all, and say what remains and the seconds until it is whole; or take
    nothing, and why not is for ``look`` to say.
    """
    seat, amounts, now, tokens = held.seat, held.amounts, held.at, held.tokens
    remaining = [0] * seat.size
    reset = [0.0] * seat.size
    for cell, cap, i in seat.slots:
        left = cap - cell.level
        if left <= 0:
            _give_back(held)
            return None
        cell.level += 1
        tokens[i] = 1
        remaining[i] = left - 1
    for cell, per, cap, place, i in seat.windows:
        if not cell.at <= now < cell.until:
            cell.turn(now, per)
        level = cell.level + amounts[place]
        if level > cap:
            _give_back(held)
            return None
        cell.level = level
        tokens[i] = cell.window
        remaining[i] = cap - level
        reset[i] = (cell.until - now) / SECOND_US
    for cell, unit, speed, cap, place, i in seat.rates:
        # What ``drain`` does; the call would take as long as that.
        at, level = cell.at, cell.level
        if now > at:
            level -= (now - at) * speed
            cell.at = at = now
        if level <= 0:
            level = cell.skip = 0
            cell.since = at
        was, level = level, level + amounts[place] * unit
        if level > cap:
            cell.level = was
            _give_back(held)
            return None
        cell.level = level
        tokens[i] = at + cell.skip + level // speed
        remaining[i] = (cap - level) // unit
        reset[i] = -(-level // speed) / SECOND_US
    return remaining, reset


def _give_back(held: Held) -> None:
    """Undo a pass that was broken off; nothing has happened to the cells in between."""
    seat, amounts, tokens = held.seat, held.amounts, held.tokens
    for cell, _, i in seat.slots:
        if tokens[i] != _NOT_TAKEN:
            cell.level -= 1
    for cell, _, _, place, i in seat.windows:
        if tokens[i] != _NOT_TAKEN:
            cell.level -= amounts[place]
    for cell, unit, _, _, place, i in seat.rates:
        if tokens[i] != _NOT_TAKEN:
            cell.level -= amounts[place] * unit


def look(seat: Seat, amounts: Sequence[int], now: int) -> Outcome:
    """What is left, and what stands in the way if anything does; takes nothing."""
    remaining = [0] * seat.size
    reset = [0.0] * seat.size
    waits = [-1] * seat.size
    for cell, cap, i in seat.slots:
        remaining[i] = max(0, cap - cell.level)
        waits[i] = -1 if remaining[i] else 0
    for cell, per, cap, place, i in seat.windows:
        cell.turn(now, per)
        amount = amounts[place]
        remaining[i] = max(0, cap - cell.level)
        reset[i] = (cell.until - now) / SECOND_US
        if cell.level + amount > cap:
            waits[i] = NEVER if amount > cap else cell.until - now
    for cell, unit, speed, cap, place, i in seat.rates:
        level = cell.drain(now, speed)
        cost = amounts[place] * unit
        remaining[i] = max(0, cap - level) // unit
        reset[i] = -(-level // speed) / SECOND_US
        if level + cost > cap:
            waits[i] = NEVER if cost > cap else -((cap - level - cost) // speed)
    longest = max(waits, default=-1)
    denied = waits.index(longest) if longest >= 0 else -1
    return Outcome(denied, -1 if longest == NEVER else max(longest, 0), remaining, reset)


def settle(held: Held, used: Sequence[int], now: int) -> None:
    """Set what was taken right by what was used."""
    seat, amounts, tokens = held.seat, held.amounts, held.tokens
    for cell, _, i in seat.slots:
        cell.level -= tokens[i]
    for cell, _, _, place, i in seat.windows:
        more = used[place] - amounts[place]
        if more and cell.window == tokens[i]:
            level = cell.level + more
            cell.level = level if 0 <= level <= MAX_AMOUNT else min(MAX_AMOUNT, max(0, level))
    for cell, unit, speed, _, place, i in seat.rates:
        more = used[place] - amounts[place]
        if more < 0:
            if held.at < cell.since:
                continue  # the cell has been empty since that charge was made
            at, level = cell.at, cell.level
            if now > at:
                level -= (now - at) * speed
                at = now
            left = min(-more * unit, (tokens[i] - at - cell.skip) * speed, level)
            if left > 0:
                cell.level = level - left
                cell.at = at
                cell.skip -= -left // speed
        elif more:
            cell.level = min(MAX_LEVEL, cell.drain(now, speed) + more * unit)


def abandon(held: Held) -> None:
    """Nobody settled in time: slots are free, the estimates stand."""
    for cell, _, i in held.seat.slots:
        cell.level -= held.tokens[i]
        held.tokens[i] = 0


def charges_of(held: Held, amounts: Sequence[int]) -> tuple[Charge, ...]:
    """What a row says that windows were charged."""
    tokens = held.tokens
    return tuple(
        Charge(cell.line.counter, tokens[i], amounts[place])
        for cell, _, _, place, i in held.seat.windows
    )
