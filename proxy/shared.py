"""What replicas share, and what outlives a reload: the store, and caches on it."""

from __future__ import annotations

import asyncio
import base64
import os
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Final, TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from proxy.compile_caches import cache_rule
from proxy.config import schema
from proxy.config.nodes import ConfigError
from proxy.config.schema import Settings
from proxy.config.units import Size
from proxy.core.cache import FIRST, CannotPurge, Gone
from proxy.core.fills import Flights
from proxy.core.ports import Clock
from proxy.meanings import Meanings
from proxy.observe.caching import CacheMeter
from proxy.rules.cacheable import CacheRule
from proxy.rules.prices import Price
from proxy.stores.address import parse_address
from proxy.stores.cache_memory import Memory
from proxy.stores.cache_redis import MOST, Shared
from proxy.stores.opening import open_store
from proxy.stores.pipe import StoreDown
from proxy.stores.scripts import Scripts, load_scripts
from proxy.stores.sealed import Master
from proxy.stores.store import Store
from proxy.stores.vault import SealedVault
from proxy.tasks import LoopTasks
from proxy.upstream.target import Upstream

T = TypeVar("T")

FIRST_ANSWERS: Final = Size(32 << 20)
"""Bytes of memory for idempotent replays."""

HEADS: Final = 64 << 10
"""Bytes that an answer's head and seal may add to it."""


def open_shared(settings: Settings) -> tuple[Store | None, Scripts]:
    """The store of ``settings.store``, not started yet; ``None`` for memory."""
    scripts = load_scripts()
    if settings.store.is_memory:
        return None, scripts
    try:
        address = parse_address(settings.store.url.reveal())
    except ValueError as exc:
        raise ConfigError([settings.store.problem(".url", str(exc))]) from None
    chance = random.Random().random  # noqa: S311 - jitter, not a secret
    return open_store(address, scripts, chance, timeout_s=settings.store.timeout), scripts


class Caches:
    """The caches of this process: vaults by name, and what they have in common."""

    def __init__(
        self,
        store: Store | None,
        scripts: Scripts,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
    ) -> None:
        self.shared = Shared(store, scripts)
        self.tasks = LoopTasks(loop)
        self.flights = Flights()
        self.meter = CacheMeter()
        self._clock = clock
        self._vaults: dict[tuple[str, bytes], SealedVault] = {}
        self._next: dict[tuple[str, bytes], tuple[SealedVault, schema.Cache]] = {}
        self._own = os.urandom(32)
        self.meanings = Meanings(self.shared, self.tasks, clock)
        self._erased: list[Callable[[str], None]] = []
        self.shared.on_purge(self._forget)
        self.shared.on_drop(self._drop)

    def on_erase(self, told: Callable[[str], None]) -> None:
        """Call ``told`` with the tenant that was erased in this process."""
        self._erased.append(told)

    def _forget(self, scope: str) -> None:
        for vault in self._vaults.values():
            vault.forget(scope)
        self.meanings.forget(scope)

    def _drop(self, scope: str, name: bytes) -> int:
        here = sum(vault.drop(scope, name) for vault in self._vaults.values())
        self.flights.purge(self._names(scope, name) if name else ())
        return here

    def _names(self, scope: str, name: bytes) -> set[bytes]:
        """Under what else an answer may be kept."""
        return {name}.union(*(vault.names(scope, name) for vault in self._vaults.values()))

    def vault(self, name: str, cache: schema.Cache) -> SealedVault:
        """The vault of a cache; the same one as before if its keys are."""
        keys = self._secrets(cache)
        ident = (name, blake2b(b"".join(keys)).digest())
        found = self._vaults.get(ident) or (self._next[ident][0] if ident in self._next else None)
        if found is None:
            memory = Memory(cache.max_size)
            masters = tuple(Master(key) for key in keys)
            found = SealedVault(
                self.shared, self._clock, masters, memory, is_own_key=not cache.encrypt
            )
        self._next[ident] = found, cache
        return found

    def adopt(self) -> None:
        """Keep the vaults that were asked for since ``rules``, within their bounds."""
        self.meanings.adopt()
        self._vaults = {ident: vault for ident, (vault, _) in self._next.items()}
        for vault, cache in self._next.values():
            vault.memory.limit = cache.max_size
            vault.most = max(MOST, cache.max_entry + HEADS)

    def _secrets(self, cache: schema.Cache) -> tuple[bytes, ...]:
        """The master key, and the one before if there is one."""
        given = [s for s in (cache.encrypt, cache.encrypt_before) if s]
        return tuple(base64.b64decode(secret.reveal()) for secret in given) or (self._own,)

    def first_answers(self, settings: Settings) -> SealedVault:
        """The vault of idempotent replays, under the key of the first cache that has one."""
        keyed = [cache for _, cache in sorted(settings.cache.items()) if cache.encrypt]
        of = keyed[0] if keyed else schema.Cache()
        cache = schema.Cache(
            encrypt=of.encrypt, encrypt_before=of.encrypt_before, max_size=FIRST_ANSWERS
        )
        return self.vault(FIRST, cache)

    def rules(
        self,
        settings: Settings,
        upstreams: Mapping[str, Upstream],
        find_price: Callable[[str], Price | None],
    ) -> dict[str, CacheRule]:
        """What the cache stage needs to know, by route.

        First of what a configuration asks for; ``adopt`` puts it in force.
        Raises ``ConfigError`` where a semantic cache cannot work.
        """
        self._next = {}
        likenesses = self.meanings.likenesses(
            settings, upstreams, lambda cache: self._secrets(cache)[0], find_price
        )
        return {
            route.name: replace(
                cache_rule(settings, route, self.vault(route.cache, settings.cache[route.cache])),
                likeness=likenesses.get(route.cache),
            )
            for route in settings.routes
            if route.cache is not None
        }

    def status(self) -> dict[str, object]:
        """Plain facts for ``/status``."""
        return {
            "shared": self.shared.is_up if self.shared.has_store else None,
            "store_failures": self.shared.failures,
            "store_odd": self.shared.odd,
            "flights": len(self.flights),
            "caches": {
                name: {"entries": len(vault.memory), "bytes": vault.memory.size}
                for (name, _), vault in self._vaults.items()
            },
            "semantic": self.meanings.status(),
        }

    def collect(self) -> Iterator[Metric]:
        """Metric families of the caches."""
        yield from self.meter.collect()
        yield from self.meanings.collect()
        size = GaugeMetricFamily("sidestream_cache_bytes", "Bytes in memory", labels=("cache",))
        kept = GaugeMetricFamily("sidestream_cache_entries", "Answers in memory", labels=("cache",))
        stored = CounterMetricFamily("sidestream_cache_stored", "Answers kept", labels=("cache",))
        rejected = CounterMetricFamily(
            "sidestream_cache_rejected",
            "Stored values that could not be opened: altered, or sealed by another key",
            labels=("cache", "reason"),
        )
        for (name, _), vault in self._vaults.items():
            size.add_metric((name,), vault.memory.size)
            kept.add_metric((name,), len(vault.memory))
            stored.add_metric((name,), vault.counts.stored)
            for reason, number in vault.counts.rejected.items():
                rejected.add_metric((name, reason), number)
        yield from (size, kept, stored, rejected)
        yield CounterMetricFamily(
            "sidestream_cache_store_failures",
            "Times the shared cache could not be asked",
            value=self.shared.failures,
        )
        yield CounterMetricFamily(
            "sidestream_cache_store_odd",
            "Things the shared cache holds or answers that no replica has put there",
            value=self.shared.odd,
        )

    async def erase(self, tenant: str) -> None:
        """Make all that is kept for a tenant unreadable.  Raises ``CannotPurge``."""
        try:
            await _told(self.shared.erase(f"t.{tenant}"))
        finally:
            for told in self._erased:
                told(tenant)

    async def purge(self, *, tenant: str = "", key: bytes = b"", route: str = "") -> Gone | None:
        """Forget one answer of a tenant, or all of a route.  Raises ``CannotPurge``."""
        if route:
            await _told(self.shared.purge(route))
            return None
        scope = f"t.{tenant}" if tenant else "g"
        here = self._drop(scope, key)
        return Gone(here, await _told(self.shared.drop(scope, key, self._names(scope, key))))


async def _told(work: Awaitable[T]) -> T:
    try:
        return await work
    except StoreDown as exc:
        raise CannotPurge("done here, but the store cannot be told just now; try again") from exc
