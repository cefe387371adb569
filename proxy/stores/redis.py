"""The ledger that replicas share, on a server of the Redis protocol.

One script call reserves, one settles; both carry their lease, so a lost
reply does no harm.  While the store cannot be asked nobody waits for it: each
limit's ``on_failure`` decides (``share``), and settlements wait in ``outbox``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Iterable
from typing import Any, Final

import hiredis

from proxy.core.ledger import Charge, Grant, Order, Row, Settlement
from proxy.core.ports import Clock
from proxy.stores.leases import Held, Keeping, Leases, book_key
from proxy.stores.lines import Counters
from proxy.stores.outbox import Outbox
from proxy.stores.outlived import Outlived, ended
from proxy.stores.pipe import Unanswered
from proxy.stores.scripts import Scripts
from proxy.stores.share import Share
from proxy.stores.store import Store, ask

log = logging.getLogger("sidestream.store")

REPLICAS: Final = b"ss:{replicas}"
BEAT_S: Final = 5.0
NEVER_US: Final = -1


class RedisLedger:
    """Implements ``core.ledger.Ledger``.

    Counts of what has happened are plain attributes, for metrics.
    """

    keeps_rows = True
    keeps_estimates = True

    def __init__(
        self, store: Store, scripts: Scripts, clock: Clock, keeping: Keeping | None = None
    ) -> None:
        self._store = store
        self._scripts = scripts
        self._clock = clock
        self._keeping = keeping or Keeping()
        self._ttl_us = round(self._keeping.lease_s * 1_000_000)
        self._rows = str(self._keeping.rows)
        self._counters = Counters()
        self._share = Share(self._counters)
        self._outbox = Outbox(store, scripts.settle)
        self._leases = Leases(store, scripts.extend, clock, self._keeping)
        self._name = secrets.token_hex(6)
        self._number = 0
        self._task: asyncio.Task[None] | None = None
        self.granted = 0
        self.denied = 0
        self.local = 0
        self.uncounted = 0
        self.closed = 0
        self.failures = 0
        self.errors = 0

    def look_after(self, tenants: Iterable[str]) -> None:
        """Find what others left behind of these, although nobody asks for them here."""
        self._leases.look_after(tenants)

    def start(self) -> None:
        """Connect, and keep leases, replicas and the outbox going."""
        self._store.on_up(self._on_up)
        self._store.start()
        self._task = asyncio.get_running_loop().create_task(self._beat())

    async def reserve(self, order: Order, amounts: tuple[int, ...], record: bytes = b"") -> Grant:
        """Take all of an order or nothing; see the port."""
        self._number += 1
        lease = f"{self._name}{self._number:x}"
        held = self._leases.take(lease, order, amounts)
        claims = held.claims
        packed = self._counters.pack(claims)
        args = (lease, self._ttl_us, packed, record)
        try:
            reply = await ask(self._store, self._scripts.reserve, held.key, args)
        except asyncio.CancelledError:
            # Whoever asked has left, but the store may have granted it.
            self._leases.drop(lease)
            self._give_back(lease, held)
            raise
        if not isinstance(reply, list):
            return self._without_store(lease, held, reply)
        grant = _grant(lease, reply)
        self._share.note(order.tenant, claims, grant, int(self._clock.wall() * 1_000_000))
        if grant.lease is None:
            self.denied += 1
            self._leases.drop(lease)
            return grant
        self.granted += 1
        held.begun = int(reply[3])
        held.is_granted = True
        self._share.hold(order.tenant, claims, 1)
        return grant

    async def peek(self, order: Order, amounts: tuple[int, ...]) -> Grant:
        """What ``reserve`` would say; see the port."""
        args = ("", 0, self._counters.pack(order.claims(amounts)), b"")
        reply = await ask(self._store, self._scripts.reserve, book_key(order.tenant), args)
        if isinstance(reply, list):
            return _grant(None, reply)
        return Grant(None, was_uncounted=True)

    def _without_store(self, lease: str, held: Held, why: object) -> Grant:
        if isinstance(why, hiredis.ReplyError):
            self.errors += 1
            if self.errors == 1:
                log.error("store refuses a reservation: %s", why)
        self.failures += 1
        now = int(self._clock.wall() * 1_000_000)
        grant = self._share.decide(held.tenant, lease, held.claims, now)
        if grant.lease is None:
            if grant.was_uncounted and not grant.is_local:
                self.closed += 1
            self._leases.drop(lease)
            if isinstance(why, Unanswered | hiredis.ReplyError):
                # It may be granted all the same, once the store wakes.
                self._give_back(lease, held)
            return grant
        self.local += grant.is_local
        self.uncounted += grant.was_uncounted
        self._share.hold(held.tenant, held.claims, 1)
        held.is_granted = True
        return grant

    def settle(self, lease: str, settlement: Settlement) -> None:
        """Set a lease right, once.  Raises ``ValueError`` for a wrong number of amounts."""
        held = self._leases.find(lease)
        if held is None:
            return
        if len(settlement.actual) != held.width:
            raise ValueError("a settlement has the amounts that were asked for")
        settlement = Settlement(held.order.each(settlement.actual), settlement.record)
        self._leases.drop(lease)
        self._share.hold(held.tenant, held.claims, -1)
        if not held.begun:
            now = int(self._clock.wall() * 1_000_000)
            self._share.settle(held.tenant, lease, held.claims, settlement, now)
        self._send(lease, held, settlement)

    def note(self, tenant: str, record: bytes) -> None:
        """Write a row for what no limit counts."""
        self._number += 1
        held = Held(Order(tenant, ()), (), self._clock.now())
        self._send(f"{self._name}{self._number:x}", held, Settlement((), record))

    def _give_back(self, lease: str, held: Held) -> None:
        self._send(lease, held, Settlement((0,) * len(held.claims)))

    def _send(self, lease: str, held: Held, settlement: Settlement) -> None:
        packed = self._counters.pack(held.claims, settlement.actual)
        self._outbox.put(held.key, (lease, packed, settlement.record, self._rows), held.begun)

    async def rows(self, tenant: str, after: str = "-", count: int = 200) -> list[tuple[str, Row]]:
        """The billing ledger of ``tenant`` after an id, oldest first, with the ids.

        Raises ``StoreDown``.
        """
        start = after if after == "-" else f"({after}"
        key = book_key(tenant).removesuffix(b":l") + b":u"
        reply = await self._store.call(key, "XRANGE", key, start, "+", "COUNT", count)
        return [(entry.decode(), _row(tenant, fields)) for entry, fields in reply]

    def _on_up(self) -> None:
        self._share.forget()
        self._outbox.flush()
        self._leases.renew()
        self._say_alive()

    def _say_alive(self) -> None:
        ttl = round(3 * BEAT_S * 1_000_000)
        self._store.run(self._scripts.beat, REPLICAS, (self._name, ttl), self._share.count)

    async def _beat(self) -> None:
        said = self._clock.now()
        while True:
            await asyncio.sleep(min(1.0, self._keeping.lease_s / 7))
            with Outlived("to look after settlements and leases"):
                if self._outbox.waiting and self._store.is_up:
                    self._outbox.flush()
                self._leases.renew_when_due()
            if self._clock.now() - said >= BEAT_S:
                said = self._clock.now()
                self._say_alive()

    async def close(self, within_s: float = 5.0) -> None:
        """Hand over what waits, for at most ``within_s``, and let go of the store."""
        with Outlived("to hand over settlements"), contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._outbox.waiting or self._outbox.in_flight:
                    if self._store.is_up:
                        self._outbox.flush()
                    await asyncio.sleep(0.01)
        if self._outbox.waiting:
            log.error("%d settlements could not be handed over", self._outbox.waiting)
        if self._task is not None:
            await ended(self._task)
            self._task = None
            await ask(self._store, self._scripts.beat, REPLICAS, (self._name, 0))
        await self._store.close()

    def status(self) -> dict[str, object]:
        """Plain facts for the status page."""
        box = self._outbox
        return {
            "kind": "redis",
            "is_up": self._store.is_up,
            "replicas": self._share.replicas,
            "open": len(self._leases),
            "granted": self.granted,
            "denied": self.denied,
            "local": self.local,
            "uncounted": self.uncounted,
            "closed": self.closed,
            "failures": self.failures,
            "settled": box.delivered,
            "late": box.late,
            "waiting": box.waiting,
            "lost": box.lost,
        }


def _grant(lease: str | None, reply: list[int]) -> Grant:
    remaining = tuple(reply[4::2])
    reset = tuple([us / 1_000_000 for us in reply[5::2]])
    if reply[0]:
        return Grant(lease, None, 0.0, remaining, reset)
    wait = None if reply[2] == NEVER_US else reply[2] / 1_000_000
    return Grant(None, reply[1] - 1, wait, remaining, reset)


def _row(tenant: str, fields: list[bytes]) -> Row:
    named = dict(zip(fields[::2], fields[1::2], strict=True))
    words = named[b"c"].decode().split()
    charges = tuple(
        Charge(counter, int(window), int(amount))
        for counter, window, amount in zip(words[::3], words[1::3], words[2::3], strict=True)
    )
    state: Any = named[b"s"].decode()
    return Row(tenant, named[b"l"].decode(), state, charges, named[b"r"])
