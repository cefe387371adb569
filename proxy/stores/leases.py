"""The leases that this process has taken and not settled, kept alive.

A lease runs out unless its holder renews it, so that a crash frees what it
held within ``lease_s``; the same call finds what others have left behind.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from proxy.core.ledger import Order
from proxy.core.ports import Clock
from proxy.stores.scripts import Script
from proxy.stores.store import Store

SEEN_S: Final = 600.0
"""How long a tenant without a request is looked after for leases left behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How long things are kept.

    A lease lives ``lease_s`` without a sign from its holder, who renews it
    for at most ``hold_s``; ``rows`` bounds the billing ledger of a tenant.
    """

    lease_s: float = 30.0
    hold_s: float = 3900.0
    rows: int = 100_000


class Held:
    """One lease.  ``begun`` says which book it stands in, 0 if in none we know of;
    ``width`` is how many amounts were asked for.
    """

    __slots__ = ("at", "begun", "claims", "is_granted", "key", "order", "tenant", "width")

    def __init__(self, order: Order, amounts: tuple[int, ...], at: float) -> None:
        self.order = order
        self.tenant = order.tenant
        self.key = book_key(order.tenant)
        self.claims = order.claims(amounts)
        self.width = len(amounts)
        self.at = at
        self.begun = 0
        self.is_granted = False


def book_key(tenant: str) -> bytes:
    """The hash that a tenant's book stands by; the hash tag is never empty."""
    return f"ss:{{t.{tenant}}}:l".encode()


class Leases:
    """What is held, by lease; ``name`` makes this process's leases its own."""

    def __init__(self, store: Store, extend: Script, clock: Clock, keeping: Keeping) -> None:
        self._store = store
        self._extend = extend
        self._clock = clock
        self._keeping = keeping
        self._ttl_us = round(keeping.lease_s * 1_000_000)
        self._rows = str(keeping.rows)
        self._open: dict[str, Held] = {}
        self._seen: dict[bytes, float] = {}
        self._renewed = 0.0

    def __len__(self) -> int:
        return len(self._open)

    def take(self, lease: str, order: Order, amounts: tuple[int, ...]) -> Held:
        """Begin to hold a lease that is being asked for."""
        now = self._clock.now()
        held = self._open[lease] = Held(order, amounts, now)
        if self._seen.get(held.key, 0.0) < now:
            self._seen[held.key] = now
        return held

    def look_after(self, tenants: Iterable[str]) -> None:
        """Look for leases left behind of these tenants, whoever asks here."""
        self._seen.update((book_key(tenant), math.inf) for tenant in tenants)

    def find(self, lease: str) -> Held | None:
        """The lease, if it is held."""
        return self._open.get(lease)

    def drop(self, lease: str) -> None:
        """Hold it no more."""
        del self._open[lease]

    def renew_when_due(self) -> None:
        """Renew three times in the life of a lease."""
        if self._clock.now() - self._renewed >= self._keeping.lease_s / 3.5:
            self.renew()

    def renew(self) -> None:
        """Keep all that is held, and have the store look for what is left behind."""
        now = self._renewed = self._clock.now()
        mine: defaultdict[bytes, list[str]] = defaultdict(list)
        for lease, held in self._open.items():
            if held.is_granted and now - held.at < self._keeping.hold_s:
                mine[held.key].append(lease)
        for key, at in list(self._seen.items()):
            if key not in mine and now - at > SEEN_S:
                del self._seen[key]
                continue
            args = (self._ttl_us, self._rows, *mine.get(key, ()))
            self._store.run(self._extend, key, args, _ignore)


def _ignore(reply: object) -> None:
    """Renewed again soon, whatever became of it."""
