"""Composition: the one place that names every class, and the order of stages.

Settings become the tables and objects that requests meet.  What must outlive
a reload (connection pools, the room, metrics) is kept here by key; everything
else is built anew for each generation.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from proxy.accounts import Accounts
from proxy.compile import (
    callers_of,
    catalog_of,
    issuer_of,
    prices_of,
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
from proxy.guarding import Guarding
from proxy.identity.fetched import Keyring
from proxy.limits import allowance_table
from proxy.observe.log import RequestLog
from proxy.observe.metrics import Metrics
from proxy.observe.queues import Queues
from proxy.policies.admit import AdmitPolicy, Room
from proxy.policies.authenticate import AuthenticatePolicy
from proxy.policies.catalog import CatalogPolicy
from proxy.policies.guard import GuardPolicy
from proxy.policies.measure import MeasurePolicy
from proxy.policies.parse import ParsePolicy
from proxy.policies.quota import Means, QuotaPolicy
from proxy.policies.record import RecordPolicy
from proxy.policies.route import RoutePolicy, replanner
from proxy.policies.switch import SwitchPolicy
from proxy.policies.tools import ToolsPolicy
from proxy.policies.watch import WatchPolicy
from proxy.rules.prices import PriceTable, cost_nanos, load_prices
from proxy.upstream.attempts import Forwarder
from proxy.upstream.fleet import Fleet
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
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        metrics: Metrics,
        room: Room,
        log: RequestLog | None,
        is_draining: Callable[[], bool],
        accounts: Accounts,
    ) -> None:
        self._accounts = accounts
        self._clock = clock
        self._metrics = metrics
        self._room = room
        self._log = log
        self._is_draining = is_draining
        self._chance = random.Random().random  # noqa: S311 - jitter, not a secret
        self._keyring = Keyring(clock, metrics.add)
        queues = Queues(lambda: self._fleet.gates())  # noqa: PLW0108 - it comes next
        metrics.include(queues.collect)
        self._fleet = Fleet(loop, clock.now, queues)
        self._shipped = load_prices(PRICES.read_bytes())
        self._guarding = Guarding(clock, metrics)

    def generation(self, settings: Settings) -> Generation:
        """Everything that serves requests under ``settings``."""
        table = route_table(settings)
        prices = PriceTable(self._shipped, prices_of(settings))
        price = _pricing(prices)
        specs = specs_of(settings)
        upstreams = self._fleet.upstreams(specs)
        forward = Forwarder(
            upstreams, price, self._clock, self._chance, max_body=settings.process.max_body
        )
        scopes = scopes_of(settings)
        allowances = allowance_table(settings)
        accounts, guarding = self._accounts, self._guarding
        guards = guarding.made(settings, specs)
        stages: tuple[Policy, ...] = (
            # First in, so last out: it sees how everything ended.
            RecordPolicy(self._metrics, self._log, self._clock),
            # Cheap refusals before any key is looked at.
            AdmitPolicy(self._room, self._is_draining),
            AuthenticatePolicy(
                *callers_of(settings), self._clock, issuer_of(settings, self._keyring, self._clock)
            ),
            # Only of a caller that is known is a body read.
            ParsePolicy(settings.process.max_body),
            CatalogPolicy(catalog_of(settings, table), CREATED),
            RoutePolicy(table, scopes),
            # Both of a tenant and of a route, so after both are known.
            SwitchPolicy(accounts.switches),
            # Only what a tenant may use is worth judging.
            ToolsPolicy(guards.toolboxes),
            # Behind whatever changes texts: judges see what the upstream will.
            GuardPolicy(
                guards.requests, guards.panel, guarding.verdicts, guarding.count, guarding.rest
            ),
            WatchPolicy(guards.answers, guards.panel, guarding.count),
            # What it will cost depends on the target.
            MeasurePolicy(
                allowances, accounts.estimator, prices.find, ExactCount(upstreams, self._clock.now)
            ),
            # Last, so that nothing is reserved for what another stage refuses.
            QuotaPolicy(
                allowances,
                Means(
                    ledger=accounts.ledger,
                    alerts=accounts.alerts,
                    clock=self._clock,
                    find_price=prices.find,
                    price=price,
                    replan=replanner(table, scopes),
                    refused=accounts.refused,
                ),
            ),
        )
        pipeline = Pipeline(stages, forward, Framer)
        return Generation(pipeline, Cors(settings.cors.origins), Labels())

    def sweep(self) -> None:
        """Enforce deadlines, write and fetch what is due; called a few times a second."""
        self._fleet.sweep(self._clock.now())
        self._accounts.sweep()
        self._keyring.sweep()

    def status(self) -> dict[str, Any]:
        """What this process depends on, for ``/status``."""
        return {
            "in_flight": self._room.in_flight,
            "draining": self._is_draining(),
            "upstreams": self._fleet.status(),
            **self._accounts.status(),
            "queues": self._fleet.gates(),
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
        self._keyring.close()

    async def leave(self) -> None:
        """Let go of what takes a moment to close."""
        await self._guarding.close()


def _pricing(prices: PriceTable) -> Callable[[Exchange], None]:
    """What sets an exchange's cost from its usage."""

    def price(x: Exchange) -> None:
        if x.usage is not None:
            found = prices.find(x.billed)
            x.cost_nanos = cost_nanos(found, x.usage) if found is not None else None

    return price
