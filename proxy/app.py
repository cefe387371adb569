"""Composition: the one place that names every class, and the order of stages.

Settings become the tables and objects that requests meet.  What must outlive
a reload (connection pools, the room, metrics) is kept here by key; everything
else is built anew for each generation.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from proxy.accounts import Accounts
from proxy.compile import (
    callers_of,
    catalog_of,
    issuer_of,
    prices_of,
    pricing,
    redactions_of,
    route_table,
    scopes_of,
    specs_of,
)
from proxy.compile_caches import marks_of
from proxy.config.schema import Settings
from proxy.core.fills import Fills
from proxy.core.pipeline import Pipeline
from proxy.core.policy import Policy
from proxy.core.ports import Clock
from proxy.edge.client_leg import Labels
from proxy.edge.cors import Cors
from proxy.edge.server import Generation
from proxy.guarding import Guarding, Guards
from proxy.identity.fetched import Keyring
from proxy.limits import allowance_table, leading
from proxy.observe.log import RequestLog
from proxy.observe.metrics import Metrics
from proxy.observe.queues import Queues
from proxy.policies.admit import AdmitPolicy, Room
from proxy.policies.authenticate import AuthenticatePolicy
from proxy.policies.cache import CachePolicy
from proxy.policies.catalog import CatalogPolicy
from proxy.policies.embeddings import EmbeddingsPolicy
from proxy.policies.guard import GuardPolicy
from proxy.policies.idempotency import IdempotencyPolicy
from proxy.policies.measure import MeasurePolicy
from proxy.policies.parse import ParsePolicy
from proxy.policies.quota import Means, QuotaPolicy
from proxy.policies.record import RecordPolicy
from proxy.policies.redact import RedactPolicy
from proxy.policies.route import RoutePolicy, replanner
from proxy.policies.switch import SwitchPolicy
from proxy.policies.tools import ToolsPolicy
from proxy.policies.watch import WatchPolicy
from proxy.redact.memory import Conversations
from proxy.redact.pseudonyms import TenantKey
from proxy.redact.ruleset import Ruleset
from proxy.rules.cached import CacheMeans
from proxy.rules.planner import RouteTable
from proxy.rules.prices import PriceTable, load_prices
from proxy.shared import Caches
from proxy.stores.outlived import Outlived
from proxy.upstream.attempts import Forwarder
from proxy.upstream.fleet import Fleet
from proxy.upstream.target import Upstream
from proxy.upstream.tokenize import ExactCount
from proxy.wire.sse import Framer

CREATED: Final = 1_767_225_600
"""``created`` of listed models: 2026-01-01; the wire wants a number."""

PRICES: Final = Path(__file__).parent / "rules" / "prices.json"


def has_price() -> Callable[[str], bool]:
    """Whether the shipped table knows a model's price."""
    table = PriceTable(load_prices(PRICES.read_bytes()), {})
    return lambda model: table.find(model) is not None


class App:
    """Builds generations, and holds what they share."""

    def __init__(  # noqa: PLR0913 - what it composes
        self,
        *,
        clock: Clock,
        metrics: Metrics,
        room: Room,
        log: RequestLog | None,
        is_draining: Callable[[], bool],
        accounts: Accounts,
        caches: Caches,
    ) -> None:
        self._accounts = accounts
        self._clock = clock
        self._metrics = metrics
        self._room = room
        self._log = log
        self._is_draining = is_draining
        self._caches = caches
        self._chance = random.Random().random  # noqa: S311 - jitter, not a secret
        self._keyring = Keyring(clock, metrics.add)
        queues = Queues(lambda: self._fleet.gates())  # noqa: PLW0108 - it comes next
        metrics.include(queues.collect)
        self._fleet = Fleet(asyncio.get_running_loop(), clock.now, queues)
        self._conversations = Conversations()
        caches.on_erase(self._conversations.erase)
        self._master = secrets.token_bytes(32)  # of pseudonyms, where none is configured
        self._shipped = load_prices(PRICES.read_bytes())
        self._guarding = Guarding(clock, metrics)

    def generation(self, settings: Settings) -> Generation:
        """What serves requests under ``settings``, once it is adopted.

        May raise; what serves now is not touched.
        """
        table = route_table(settings)
        prices = PriceTable(self._shipped, prices_of(settings))
        price = pricing(prices)
        specs = specs_of(settings)
        upstreams = self._fleet.upstreams(specs)
        forward = Forwarder(
            upstreams, price, self._clock, self._chance, max_body=settings.process.max_body
        )
        guards = self._guarding.made(settings, specs)
        record = RecordPolicy(self._metrics, self._log, self._clock, price)
        fills = Fills(
            self._caches.flights,
            self._caches.tasks,
            self._clock,
            # Their pipeline is made of the stages that use it.
            lambda x, leg, stage: pipeline.run(x, leg, after=stage),
            record.on_end,
        )
        stages = (
            # First in, so last out: it sees how everything ended.
            record,
            *self._arriving(settings, table, guards),
            *self._answering(settings, guards, upstreams, prices, fills),
            *self._counting(settings, table, upstreams, prices),
        )
        # What the configuration gives nothing to do costs nothing either.
        stages = tuple(stage for stage in stages if not stage.is_idle)
        pipeline = Pipeline(stages, forward, Framer)
        return Generation(pipeline, Cors(settings.cors.origins), Labels())

    def adopt(self) -> None:
        """Put in force what is shared of the generation that was made last."""
        self._fleet.adopt()
        self._keyring.adopt()
        self._caches.adopt()

    def _arriving(
        self, settings: Settings, table: RouteTable, guards: Guards
    ) -> tuple[Policy, ...]:
        """Who asks for what, where it leads, and whether that may be."""
        guarding = self._guarding
        issuer = issuer_of(settings, self._keyring, self._clock)
        origins = frozenset(settings.cors.origins)
        return (
            # Cheap refusals before any key is looked at.
            AdmitPolicy(self._room, self._is_draining),
            AuthenticatePolicy(*callers_of(settings), self._clock, issuer, origins),
            # Only of a caller that is known is a body read.
            # What a cache answers comes again and again.
            ParsePolicy(settings.process.max_body, remembers=bool(settings.cache)),
            CatalogPolicy(catalog_of(settings, table), CREATED),
            RoutePolicy(table, scopes_of(settings)),
            # Both of a tenant and of a route, so after both are known.
            SwitchPolicy(self._accounts.switches),
            # Before anything is judged, kept or counted: beyond it there are no originals.
            RedactPolicy(
                *self._redactions(settings),
                self._conversations,
                self._metrics.redacted,
                settings.process.max_body,
            ),
            # Only what a tenant may use is worth judging.
            ToolsPolicy(guards.toolboxes),
            # Behind whatever changes texts: judges see what the upstream will.
            GuardPolicy(
                guards.requests, guards.panel, guarding.verdicts, guarding.count, guarding.rest
            ),
        )

    def _redactions(
        self, settings: Settings
    ) -> tuple[dict[str, Ruleset], dict[str, Ruleset], Callable[[Ruleset, str], TenantKey]]:
        """Rulesets of tenants, of routes, and the keys of their pseudonyms."""
        made = redactions_of(settings)
        keys: dict[tuple[bytes, str], TenantKey] = {}

        def key_for(rules: Ruleset, tenant: str) -> TenantKey:
            master = rules.key or self._master
            key = keys.get((master, tenant))
            if key is None:
                key = keys[master, tenant] = TenantKey(master, tenant)
            return key

        tenants = {n: made[t.redaction] for n, t in settings.tenants.items() if t.redaction}
        routes = {r.name: made[r.redaction] for r in settings.routes if r.redaction}
        return tenants, routes, key_for

    def _answering(
        self,
        settings: Settings,
        guards: Guards,
        upstreams: Mapping[str, Upstream],
        prices: PriceTable,
        fills: Fills,
    ) -> tuple[Policy, ...]:
        """Answers that are here already, and what may be kept of others."""
        caches, clock = self._caches, self._clock
        rules = caches.rules(settings, upstreams, prices.find)
        means = CacheMeans(rules, caches.shared, fills, caches.meter, clock)
        return (
            # What was answered already is not asked for again, whatever it was.
            IdempotencyPolicy(caches.first_answers(settings), fills, clock, marks_of(settings)),
            # Before what a request costs its tenant: a hit costs nothing.
            CachePolicy(means, caches.meanings.finder),
            EmbeddingsPolicy(means),
            # Behind the caches, so that no answer is kept that was stopped.
            WatchPolicy(guards.answers, guards.panel, self._guarding.count),
        )

    def _counting(
        self,
        settings: Settings,
        table: RouteTable,
        upstreams: Mapping[str, Upstream],
        prices: PriceTable,
    ) -> tuple[Policy, ...]:
        """What a request takes of its tenant's limits."""
        allowances = allowance_table(settings)
        accounts = self._accounts
        return (
            # What it will cost depends on the target.
            MeasurePolicy(
                allowances, accounts.estimator, prices.find, ExactCount(upstreams, self._clock.now)
            ),
            # Last, so that nothing is reserved for what another stage refuses.
            QuotaPolicy(
                allowances,
                Means(
                    ledger=accounts.ledger,
                    has_ledger=not settings.store.is_memory or settings.log.usage is not None,
                    alerts=accounts.alerts,
                    clock=self._clock,
                    find_price=prices.find,
                    price=pricing(prices),
                    replan=replanner(table, scopes_of(settings)),
                    may_lead=leading(settings, accounts.switches),
                    refused=accounts.refused,
                ),
            ),
        )

    def sweep(self) -> None:
        """Enforce deadlines, write and fetch what is due; called a few times a second."""
        fleet = partial(self._fleet.sweep, self._clock.now())
        for step in (fleet, self._accounts.sweep, self._keyring.sweep):
            with Outlived("a sweep"):
                step()

    def status(self) -> dict[str, Any]:
        """What this process depends on, for ``/status``."""
        return {
            "in_flight": self._room.in_flight,
            "draining": self._is_draining(),
            "upstreams": self._fleet.status(),
            **self._accounts.status(),
            "queues": self._fleet.gates(),
            "cache": self._caches.status(),
        }

    def gauges(self) -> Iterable[tuple[str, str, dict[str, str], float]]:
        """Values of this moment, for ``/metrics``."""
        yield "sidestream_in_flight", "Exchanges going on", {}, self._room.in_flight
        for upstream, endpoint, busy, idle in self._fleet.counts():
            for state, number in (("busy", busy), ("idle", idle)):
                labels = {"upstream": upstream, "endpoint": endpoint, "state": state}
                yield "sidestream_upstream_connections", "Connections to upstreams", labels, number

    def close(self) -> None:
        """Let go of idle connections."""
        self._fleet.close()
        self._keyring.close()

    async def leave(self) -> None:
        """Let go of what takes a moment to close."""
        await self._guarding.close()
