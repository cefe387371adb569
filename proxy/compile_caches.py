"""What the configuration asks of caches, as stages want to know it."""

from __future__ import annotations

from hashlib import blake2b

from proxy.config import schema
from proxy.config.schema import Settings
from proxy.core.cache import Terms, Vault
from proxy.rules.cacheable import CacheRule, When


def cache_rule(settings: Settings, route: schema.Route, vault: Vault) -> CacheRule:
    """What a route with a cache, which is ``vault``, keeps and answers."""
    assert route.cache is not None
    cache = settings.cache[route.cache]
    when = cache.when.temperature
    served = cache.ttl + cache.stale
    return CacheRule(
        name=route.cache,
        vault=vault,
        terms=Terms(float(cache.ttl), float(cache.stale), float(cache.negative)),
        when=When(when.sign, when.value, cache.when.seed == "given"),
        kept=served if route.on_exhausted == "stale" else 0.0,
        scope=cache.scope,
        version=cache.version,
        max_entry=cache.max_entry,
        listens=cache.client_control,
        charges=cache.charge_hits,
        policy=policy_of(settings, route),
    )


def policy_of(settings: Settings, route: schema.Route) -> str:
    """A digest of what shapes the answers of a route beside the request."""
    upstreams = [settings.upstreams[target.upstream] for target in route.targets]
    named = {route.redaction, *(tenant.redaction for tenant in settings.tenants.values())}
    redactions = [settings.redaction.get(name) for name in sorted(n for n in named if n)]
    guards = [settings.guards.get(name) for name in route.guards]
    places = [(u.kind, u.base_url, u.endpoints, u.api_version) for u in upstreams]
    shapes = (places, redactions, guards)
    return blake2b(repr(shapes).encode(), digest_size=8).hexdigest()


def marks_of(settings: Settings) -> dict[str, str]:
    """What first answers of each route stand under; none where clients' own keys are sent on."""
    return {
        route.name: f"{route.name}/{policy_of(settings, route)}"
        for route in settings.routes
        if not any(
            settings.upstreams[target.upstream].passthrough
            for target in (*route.targets, *route.fallback)
        )
    }
