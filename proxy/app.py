"""Composition: the one place that names every class, and the order of stages.

Settings become the tables and objects that requests meet.  What must outlive
a reload (connection pools, the room, metrics) is kept here by key; everything
else is built anew for each generation.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from proxy.compile import (
    callers_of,
    catalog_of,
    prices_of,
    redactions_of,
    route_table,
    scopes_of,
    specs_of,
)
from proxy.config.schema import Settings
from proxy.core.exchange import Exchange
from proxy.core.pipeline import Pipeline
from proxy.core.policy import Policy
from proxy.core.ports import Clock
from proxy.edge.client_leg import Labels
from proxy.edge.cors import Cors
from proxy.edge.server import Generation
from proxy.observe.log import RequestLog
from proxy.observe.metrics import Metrics
from proxy.policies.admit import AdmitPolicy, Room
from proxy.policies.authenticate import AuthenticatePolicy
from proxy.policies.catalog import CatalogPolicy
from proxy.policies.parse import ParsePolicy
from proxy.policies.record import RecordPolicy
from proxy.policies.redact import RedactPolicy
from proxy.policies.route import RoutePolicy
from proxy.redact.memory import Conversations
from proxy.redact.ruleset import Ruleset
from proxy.redact.vault import TenantKey
from proxy.rules.prices import PriceTable, cost_nanos, load_prices
from proxy.upstream.attempts import Forwarder
from proxy.upstream.fleet import Fleet
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

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        metrics: Metrics,
        room: Room,
        log: RequestLog | None,
        is_draining: Callable[[], bool],
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._room = room
        self._log = log
        self._is_draining = is_draining
        self._chance = random.Random().random  # noqa: S311 - jitter, not a secret
        self._fleet = Fleet(loop, clock.now)
        self._conversations = Conversations()
        self._master = secrets.token_bytes(32)  # of pseudonyms, where none is configured
        self._shipped = load_prices(PRICES.read_bytes())

    def generation(self, settings: Settings) -> Generation:
        """Everything that serves requests under ``settings``."""
        table = route_table(settings)
        forward = Forwarder(
            self._fleet.upstreams(specs_of(settings)),
            self._price(settings),
            self._clock,
            self._chance,
            max_body=settings.process.max_body,
        )
        stages: tuple[Policy, ...] = (
            # First in, so last out: it sees how everything ended.
            RecordPolicy(self._metrics, self._log, self._clock),
            # Cheap refusals before any key is looked at.
            AdmitPolicy(self._room, self._is_draining),
            AuthenticatePolicy(*callers_of(settings), self._clock),
            # Only of a caller that is known is a body read.
            ParsePolicy(settings.process.max_body),
            CatalogPolicy(catalog_of(settings, table), CREATED),
            RoutePolicy(table, scopes_of(settings)),
            # Before anything is kept or counted: what is beyond it has no originals.
            RedactPolicy(
                *self._redactions(settings),
                self._conversations,
                self._metrics.redacted,
                settings.process.max_body,
            ),
        )
        pipeline = Pipeline(stages, forward, Framer)
        return Generation(pipeline, Cors(settings.cors.origins), Labels())

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

    def _price(self, settings: Settings) -> Callable[[Exchange], None]:
        prices = PriceTable(self._shipped, prices_of(settings))

        def price(x: Exchange) -> None:
            if x.usage is None:
                return
            named = x.target.model if x.target is not None and x.target.model else x.model
            found = prices.find(named)
            x.cost_nanos = cost_nanos(found, x.usage) if found is not None else None

        return price

    def sweep(self) -> None:
        """Enforce deadlines; called a few times a second."""
        self._fleet.sweep(self._clock.now())

    def status(self) -> dict[str, Any]:
        """What this process depends on, for ``/status``."""
        return {
            "in_flight": self._room.in_flight,
            "draining": self._is_draining(),
            "upstreams": self._fleet.status(),
        }

    def gauges(self) -> Iterable[tuple[str, str, dict[str, str], float]]:
        """Values of this moment, for ``/metrics``."""
        yield "sidestream_in_flight", "Exchanges going on", {}, self._room.in_flight
        for upstream, endpoint, busy, idle in self._fleet.counts():
            labels = {"upstream": upstream, "endpoint": endpoint}
            yield (
                "sidestream_upstream_connections",
                "Connections to upstreams",
                {**labels, "state": "busy"},
                busy,
            )
            yield (
                "sidestream_upstream_connections",
                "Connections to upstreams",
                {**labels, "state": "idle"},
                idle,
            )

    def close(self) -> None:
        """Let go of idle connections."""
        self._fleet.close()
