"""Whose turn it is at a contended upstream: fair in tokens between tenants.

The virtual token counter of Sheng et al., "Fairness in Serving Large Language
Models" (OSDI 2024), with lengths predicted: each tenant has a counter of the
work it was given, and of those that wait the one with the smallest goes next.
Work is input tokens plus twice the output tokens, divided by the tenant's
weight; it is charged when a turn begins, by estimate, and corrected when it
ends.  Who begins to wait is lifted to the smallest counter among those that
wait, so that nobody saves up while idle.  Equal counters: who holds less for
their weight.  Within one tenant, first come, first served.

Priorities stand above counters: a level is served only when no level before it
waits.  So that none waits forever, a turn of a lower level that has waited
``patience`` makes its level due, and every ``EVERY``-th turn goes to a level
that is due.  In a queue that is full each lower level keeps as large a part of
the places.  A flood of interactive requests thus leaves an eighth of the turns
to those who have waited long.

Pure: time is given in, in seconds.  A choice costs one look at each tenant
that waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Final, Generic, TypeVar

LEVELS: Final = 3
"""Priorities: 0 interactive, 1 batch, 2 internal."""

EVERY: Final = 8
"""Of so many turns, one goes to a lower level that has waited long."""

FOREVER: Final = float("inf")


class Turn:
    """One request that waits for its turn or has it.

    ``cost`` is the work expected of it, above 0; ``since`` is when it began to
    wait and ``until`` when it gives up.
    """

    __slots__ = ("account", "cost", "is_waiting", "priority", "since", "tenant", "until", "weight")

    account: Account  # of the queue; set when the turn is pushed or admitted

    def __init__(
        self, tenant: str, priority: int, weight: int, cost: float, until: float = FOREVER
    ) -> None:
        self.tenant = tenant
        self.priority = priority
        self.weight = weight
        self.cost = cost
        self.since = 0.0
        self.until = until
        self.is_waiting = False


class Account:
    """One tenant at one level: its counter, who of it waits, how many are served.

    ``backlog`` is the cost of all that wait.
    """

    __slots__ = ("backlog", "counter", "holding", "waiting", "weight")

    def __init__(self, counter: float) -> None:
        self.counter = counter
        self.backlog = 0.0
        self.holding = 0
        self.weight = 1
        self.waiting: deque[Any] = deque()  # turns of the queue's own kind


class _Level:
    """The tenants of one priority; ``busy`` are those of which some wait."""

    __slots__ = ("accounts", "busy", "last")

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.busy: dict[str, Account] = {}
        self.last: Account | None = None

    def floor(self) -> float:
        """What a tenant that wakes is lifted to.

        While nobody waits that is the counter of who was served last.
        """
        if self.busy:
            return min(account.counter for account in self.busy.values())
        return self.last.counter if self.last is not None else 0.0

    def depth(self) -> int:
        """How many wait."""
        return sum(len(account.waiting) for account in self.busy.values())

    def oldest(self) -> float:
        """Since when somebody has waited."""
        since: float = min(account.waiting[0].since for account in self.busy.values())
        return since

    def tidy(self) -> None:
        """Forget who is idle and would be lifted anyway; keep counters small."""
        served = [a for a in self.accounts.values() if a.waiting or a.holding]
        if not served:
            self.accounts.clear()
            self.last = None
            return
        floor = min(account.counter for account in served)
        for tenant, account in [*self.accounts.items()]:
            if account.waiting or account.holding or account.counter > floor:
                account.counter -= floor
            else:
                del self.accounts[tenant]
                account.counter = 0.0  # it may be ``last``


T = TypeVar("T", bound=Turn)


class FairQueue(Generic[T]):
    """Those who wait, and what all tenants were given.

    Every turn that was admitted or popped is settled exactly once; one that
    was pushed is popped, removed, displaced or overdue.
    """

    __slots__ = ("_levels", "_passed", "patience", "waiting")

    def __init__(self, patience: float = FOREVER) -> None:
        self._levels = tuple(_Level() for _ in range(LEVELS))
        self._passed = 0  # turns given while a lower level waited
        self.patience = patience
        self.waiting = 0

    def _wake(self, turn: T) -> Account:
        level = self._levels[turn.priority]
        account = level.accounts.get(turn.tenant)
        if account is None:
            account = level.accounts[turn.tenant] = Account(level.floor())
        elif not account.waiting:
            account.counter = max(account.counter, level.floor())
        account.weight = turn.weight
        turn.account = account
        return account

    def _charge(self, turn: T) -> None:
        account = turn.account
        account.counter += turn.cost / turn.weight
        account.holding += 1
        self._levels[turn.priority].last = account

    def admit(self, turn: T) -> None:
        """A turn that need not wait, because nobody does."""
        self._wake(turn)
        self._charge(turn)

    def push(self, turn: T) -> None:
        """A turn that waits, from ``turn.since`` on."""
        account = self._wake(turn)
        account.waiting.append(turn)
        account.backlog += turn.cost
        self._levels[turn.priority].busy[turn.tenant] = account
        turn.is_waiting = True
        self.waiting += 1

    def _drop(self, turn: T) -> None:
        account = turn.account
        account.backlog -= turn.cost
        turn.is_waiting = False
        self.waiting -= 1
        if not account.waiting:
            account.backlog = 0.0
            del self._levels[turn.priority].busy[turn.tenant]

    def pop(self, now: float) -> T | None:
        """The next, charged; ``None`` if nobody waits."""
        level = self._next_level(now)
        if level is None:
            return None
        account = min(level.busy.values(), key=_precedence)
        turn: T = account.waiting.popleft()
        self._drop(turn)
        self._charge(turn)
        return turn

    def _next_level(self, now: float) -> _Level | None:
        levels = [level for level in self._levels if level.busy]
        if len(levels) < 2:
            return levels[0] if levels else None
        self._passed += 1
        if self._passed >= EVERY:
            late = min(levels[1:], key=_Level.oldest)
            if now - late.oldest() >= self.patience:
                self._passed = 0
                return late
        return levels[0]

    def remove(self, turn: T) -> None:
        """Whoever waited for it has left."""
        if turn.is_waiting:
            turn.account.waiting.remove(turn)
            self._drop(turn)

    def settle(self, turn: T, cost: float) -> None:
        """A turn is over, and was this much work."""
        account = turn.account
        account.counter += (cost - turn.cost) / turn.weight
        account.holding -= 1

    def displace(self, turn: T, limit: int) -> T | None:
        """Who must leave a queue of ``limit`` for ``turn``; ``None``: it is refused itself.

        Always the newest turn of whoever has most waiting for their weight:
        of a lower level, while that has over an ``EVERY``-th of the queue; of
        a higher one, if this level has less than that; else of its own level,
        if anybody there has more than ``turn`` would.
        """
        kept = limit // EVERY
        own = self._levels[turn.priority]
        for level in reversed(self._levels[turn.priority + 1 :]):
            if level.depth() > kept:
                return self._push_out(level)
        if own.depth() < kept:
            for level in reversed(self._levels[: turn.priority]):
                if level.busy:
                    return self._push_out(level)
        if not own.busy:
            return None
        account = own.busy.get(turn.tenant)
        crowd = ((len(account.waiting) if account is not None else 0) + 1) / turn.weight
        most = max(own.busy.values(), key=_crowd)
        return None if most is account or _crowd(most) <= crowd else self._push_out(own)

    def _push_out(self, level: _Level) -> T:
        most = max(level.busy.values(), key=_crowd)
        victim: T = most.waiting.pop()
        self._drop(victim)
        return victim

    def overdue(self, now: float) -> list[T]:
        """Those who have waited as long as they may; they no longer do."""
        late = [turn for turn in self if turn.until <= now]
        for turn in late:
            self.remove(turn)
        return late

    def __iter__(self) -> Iterator[T]:
        for level in self._levels:
            for account in level.busy.values():
                yield from account.waiting

    def ahead(self, turn: T) -> int:
        """About how many of those that wait would go before ``turn``."""
        total = 0
        for level in self._levels[: turn.priority]:
            total += level.depth()
        level = self._levels[turn.priority]
        if not level.busy:
            return total
        own = level.accounts.get(turn.tenant)
        start = level.floor()
        if own is not None:
            start = own.counter if own.waiting else max(own.counter, start)
            start += own.backlog / turn.weight
            total += len(own.waiting)
        for other in level.busy.values():
            lead = (start - other.counter) * other.weight
            if other is not own and lead > 0:
                # What the other is given until its counter has come as far.
                mean = other.backlog / len(other.waiting)
                total += min(len(other.waiting), int(lead / mean) + 1)
        return total

    def tidy(self) -> None:
        """Forget idle tenants and rebase counters; called now and then."""
        for level in self._levels:
            if level.accounts:
                level.tidy()

    def depths(self) -> dict[str, int]:
        """How many of each tenant wait."""
        found: dict[str, int] = {}
        for level in self._levels:
            for tenant, account in level.busy.items():
                found[tenant] = found.get(tenant, 0) + len(account.waiting)
        return found


def _precedence(account: Account) -> tuple[float, float]:
    return account.counter, account.holding / account.weight


def _crowd(account: Account) -> float:
    return len(account.waiting) / account.weight
