"""Choose the route and its targets; the choice itself is ``rules.planner``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from proxy.core.errors import ModelNotAllowed
from proxy.core.exchange import Exchange
from proxy.core.plan import Plan
from proxy.core.policy import Answer, Policy
from proxy.rules.globs import GlobSet
from proxy.rules.planner import Facts, RouteTable, plan
from proxy.wire.body import estimate_tokens, facts_of

MAX_KNOWN: Final = 4096
"""Plans that are remembered."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What of a tenant bounds its routing: models and regions.

    ``None`` is no bound.
    """

    models: GlobSet | None = None
    regions: frozenset[str] | None = None


class RoutePolicy(Policy):
    """Sets ``x.plan``."""

    name = "route"

    def __init__(self, table: RouteTable, scopes: Mapping[str, Scope]) -> None:
        self._table = table
        self._scopes = scopes
        self._known: dict[tuple[str, str, str], Plan] = {}

    async def on_request(self, x: Exchange) -> Answer | None:
        """Plan; 403 and 404 say which models there are."""
        scope = self._scopes[x.tenant]
        if scope.models is not None and not x.model and x.endpoint.is_metered:
            raise ModelNotAllowed(
                f"tenant {x.tenant!r} may use some models only, so the request must name one",
                param="model",
            )
        if not self._table.is_static or scope.regions is not None:
            x.plan = plan(self._table, facts_for(x, scope, self._table))
            x.asked_route = x.plan.route
            return None
        key = (x.tenant, x.model, x.path)
        found = self._known.get(key)
        if found is None:
            found = plan(self._table, facts_for(x, scope, self._table))
            if len(self._known) >= MAX_KNOWN:
                # Clients choose models and paths; the common ones come back.
                self._known.clear()
            self._known[key] = found
        x.plan = found
        x.asked_route = found.route
        return None


def replanner(table: RouteTable, scopes: Mapping[str, Scope]) -> Callable[[Exchange, str], Plan]:
    """Plans the same request for another model, which it will name upstream.

    The operator's choice: the tenant's own list of models does not bound it.
    """

    def replan(x: Exchange, model: str) -> Plan:
        facts = facts_for(x, replace(scopes[x.tenant], models=None), table)
        found = plan(table, replace(facts, model=model))
        targets = tuple(t if t.model else replace(t, model=model) for t in found.targets)
        return replace(found, targets=targets)

    return replan


def facts_for(x: Exchange, scope: Scope, table: RouteTable) -> Facts:
    """What the planner may know of ``x``; costly facts only if a rule asks."""
    has_tools = has_images = False
    tokens = 0
    if x.body is not None and table.reads_body:
        has_tools, has_images, _ = facts_of(x.body)
        tokens = estimate_tokens(x.body)
    return Facts(
        model=x.model,
        path=x.path,
        tenant=x.tenant,
        tags=x.tags,
        headers=x.headers,
        user=x.user,
        input_tokens=tokens,
        stream=x.stream,
        has_tools=has_tools,
        has_images=has_images,
        regions=scope.regions,
        models=scope.models,
        split_seed=x.id,
    )
