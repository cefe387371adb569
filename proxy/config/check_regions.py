"""What a tenant may not send to a region must not get there by any way."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.nodes import Problem
from proxy.config.schema import Route, Settings, Tenant

Found = Iterator[Problem]


def region_problems(s: Settings) -> Found:
    """Tenants bound to regions whom a route that is open to them leads elsewhere."""
    for name, tenant in s.tenants.items():
        if not tenant.regions:
            continue
        for route in s.routes:
            if route.match.admits(name):
                yield from _targets(s, tenant, route)
                yield from _guards(s, tenant, route)
                yield from _cache(s, tenant, route)


def _targets(s: Settings, tenant: Tenant, route: Route) -> Found:
    """Of targets the planner leaves out those elsewhere; one must remain."""
    regions = [
        s.upstreams[t.upstream].region
        for t in (*route.targets, *route.fallback)
        if t.upstream in s.upstreams
    ]
    if regions and not set(regions) & set(tenant.regions):
        yield tenant.problem(
            ".regions", f"route {route.name!r} has no target in {', '.join(tenant.regions)}"
        )


def _guards(s: Settings, tenant: Tenant, route: Route) -> Found:
    for named in route.guards:
        guard = s.guards.get(named)
        if guard is None or guard.kind in ("patterns", "schema"):
            continue
        upstream = s.upstreams.get(guard.upstream) if guard.upstream is not None else None
        region = upstream.region if upstream is not None else guard.region
        what = f"guard {named!r} of route {route.name!r} sends texts to a judge"
        yield from _sent(tenant, what, region)


def _cache(s: Settings, tenant: Tenant, route: Route) -> Found:
    cache = s.cache.get(route.cache) if route.cache is not None else None
    if cache is None or cache.semantic is None or cache.semantic.mode == "off":
        return
    for one, sends in (
        (cache.semantic.embed, "questions to be embedded"),
        (cache.semantic.judge, "questions and answers to be judged"),
    ):
        upstream = s.upstreams.get(one.upstream or "") if one is not None else None
        if upstream is not None:
            what = f"the semantic cache of route {route.name!r} sends {sends}"
            yield from _sent(tenant, what, upstream.region)


def _sent(tenant: Tenant, what: str, region: str) -> Found:
    if region not in tenant.regions:
        where = f"in {region}" if region else "in no region that is named"
        yield tenant.problem(".regions", f"{what} {where}")
