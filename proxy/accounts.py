"""Who counts and who is told: what limits stand on, and outlives a reload.

Part of the composition, beside ``app``: it chooses the ledger by the
configured store and holds it with what has been learned.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from proxy.config.nodes import ConfigError, Problem
from proxy.config.schema import Settings
from proxy.core.ledger import Ledger, Row
from proxy.core.ports import Clock
from proxy.core.switches import Switches, What
from proxy.edge.webhook import Webhook
from proxy.observe.metrics import Metrics
from proxy.rules.estimate import Estimator
from proxy.stores.address import parse_address
from proxy.stores.leases import Keeping
from proxy.stores.memory import MemoryLedger
from proxy.stores.outlived import Outlived
from proxy.stores.redis import RedisLedger
from proxy.stores.scripts import Scripts
from proxy.stores.store import Store
from proxy.stores.switches import SharedSwitches
from proxy.stores.usage_file import UsageFile

Gauge = tuple[str, str, dict[str, str], float]


def store_problems(settings: Settings) -> list[Problem]:
    """What is wrong with the store's URL."""
    if settings.store.is_memory:
        return []
    try:
        parse_address(settings.store.url.reveal())
    except ValueError as exc:
        return [settings.store.problem(".url", str(exc))]
    return []


def usage_notes(settings: Settings) -> list[Problem]:
    """Why the billing ledger could not be written, as far as can be seen from here."""
    usage = settings.log.usage
    if usage is None or not settings.store.is_memory:
        return []
    path = Path(usage.to).absolute()
    if path.is_dir():
        why = f"{path} is a folder"
    elif not path.parent.is_dir():
        why = f"there is no folder {path.parent}"
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        why = f"{path} may not be written"
    else:
        return []
    return [usage.problem(".to", f"{why}, so no use will be kept")]


def ledger_on(store: Store, scripts: Scripts, settings: Settings, clock: Clock) -> RedisLedger:
    """A ledger on ``store``, neither started; it starts and closes the store."""
    keeping = Keeping(
        lease_s=settings.store.lease,
        hold_s=settings.process.max_stream_duration + 300,
        rows=settings.store.rows,
    )
    return RedisLedger(store, scripts, clock, keeping)


class Accounts:
    """The ledger, the estimator, the switches, the alerts and the usage file."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        metrics: Metrics,
        store: Store | None,
        scripts: Scripts,
    ) -> None:
        self.estimator = Estimator()
        self.switches = Switches()
        self.alerts = Webhook(clock, metrics.add)
        self._metrics = metrics
        self._url = settings.store.url.reveal()
        self._file: UsageFile | None = None
        self._redis: RedisLedger | None = None
        self._shared: SharedSwitches | None = None
        self.ledger: Ledger
        if store is None:
            self._memory = MemoryLedger(
                clock, None, lease_s=settings.process.max_stream_duration + 300
            )
            self.ledger = self._memory
        else:
            self._redis = ledger_on(store, scripts, settings, clock)
            self.ledger = self._redis
            self._shared = SharedSwitches(store, self.switches)
        self.configure(settings)
        metrics.watch(self.gauges)

    def check(self, settings: Settings) -> None:
        """Raises ``ConfigError`` for a store that is another: what it has counted
        would be lost.
        """
        store = settings.store
        if store.url.reveal() != self._url:
            why = "the store cannot change while running; restart to use another"
            raise ConfigError([store.problem(".url", why)])

    def configure(self, settings: Settings) -> None:
        """Take over what may change at a reload."""
        self.alerts.url = settings.alerts.webhook.reveal()
        usage = settings.log.usage
        if self._redis is not None:
            self._redis.look_after(settings.tenants)
        else:
            self._memory.sink = None
            if self._file is not None:
                self._file.flush()
            if usage is not None:
                place = Path(usage.to), usage.rotate, usage.keep
                # The same as before, as it may hold what no disk has taken yet.
                if self._file is None:
                    self._file = UsageFile(*place)
                else:
                    self._file.move(*place)
                self._memory.sink = self._file.put

    def start(self) -> None:
        """Connect."""
        if self._redis is not None:
            self._redis.start()
        if self._shared is not None:
            self._shared.start()

    async def connected(self, within_s: float) -> None:
        """Wait a little for the store, and then go on without it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not self.ledger.status()["is_up"]:  # noqa: ASYNC110 - once, at the start
                    await asyncio.sleep(0.005)

    def sweep(self) -> None:
        """Write what waits; called a few times a second."""
        if self._file is not None:
            self._file.flush()

    async def switch(self, what: What, name: str, *, is_off: bool) -> None:
        """Switch a tenant or a route off or on, for all replicas.  Raises ``StoreDown``."""
        if self._shared is not None:
            await self._shared.put(what, name, is_off=is_off)
        else:
            self.switches.put(what, name, is_off=is_off)

    async def rows(self, tenant: str, after: str, count: int) -> list[tuple[str, Row]] | None:
        """Rows of a tenant's ledger in the store; ``None`` where there is no store."""
        if self._redis is None:
            return None
        return await self._redis.rows(tenant, after, count)

    def refused(self, tenant: str, limit: str) -> None:
        """Count a refusal."""
        self._metrics.add_labelled(
            "sidestream_limit_refusals",
            "Requests refused by a limit",
            {"tenant": self._metrics.tenant_label(tenant), "limit": limit},
        )

    def status(self) -> dict[str, Any]:
        """The store, for the status page."""
        return {"store": self.ledger.status(), "switched_off": self.switches.words()}

    def gauges(self) -> Iterable[Gauge]:
        """Values of this moment."""
        for name, value in self.ledger.status().items():
            if isinstance(value, int | float):  # a truth is a number too
                yield f"sidestream_store_{name}", f"The ledger's {name}", {}, float(value)
        yield "sidestream_switched_off", "Tenants and routes off", {}, len(self.switches.words())
        if self._file is not None:
            yield "sidestream_usage_rows_lost", "Rows the disk did not take", {}, self._file.lost

    async def close(self) -> None:
        """Hand over what waits and let go."""
        with Outlived("to send the last alerts"):
            await self.alerts.close()
        if self._shared is not None:
            await self._shared.close()
        await self.ledger.close()
        self.sweep()
