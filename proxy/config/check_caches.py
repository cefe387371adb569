"""What may be kept of whom, and who may see it on the way."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from proxy.config.nodes import Problem
from proxy.config.schema import Cache, Record, Route, Settings, Tenant
from proxy.config.schema.content import Embed

Found = Iterator[Problem]


def cache_problems(settings: Settings) -> list[Problem]:
    """Problems of the caches that routes have."""
    return [*_shared(settings), *_embedders(settings)]


def _at(record: Record, path: str, message: str) -> Problem:
    return Problem(record.place, f"{record.where}{path}", message)


def _shared(s: Settings) -> Found:
    """A cache shared by all must hold nothing that is anybody's."""
    redacted = {name for name, tenant in s.tenants.items() if tenant.redaction}
    for route in s.routes:
        cache = s.cache.get(route.cache) if route.cache is not None else None
        if cache is None:
            continue
        more = (route.escalate.to,) if route.escalate is not None else ()
        for target in (*route.targets, *route.fallback, *more):
            upstream = s.upstreams.get(target.upstream)
            if upstream is not None and upstream.passthrough:
                yield _at(
                    route, ".cache",
                    f"answers of {target.upstream!r} are got with clients' own keys (passthrough),"
                    " so they are not to be shared",
                )  # fmt: skip
        if cache.scope != "global":
            continue
        if route.match.path and all("/embeddings" in path for path in route.match.path):
            continue
        if route.redaction is None and (not redacted or redacted != set(s.tenants)):
            yield _at(
                route, ".cache", f"the cache {route.cache!r} is global, so redaction is needed"
            )


def _embedders(s: Settings) -> Found:
    """Who makes embeddings sees what is asked."""
    for route in s.routes:
        cache = s.cache.get(route.cache) if route.cache is not None else None
        embed = _embed_of(cache)
        upstream = s.upstreams.get(embed.upstream or "") if embed is not None else None
        if embed is None or upstream is None:
            continue
        if upstream.passthrough:
            yield _at(
                embed, ".upstream",
                f"{embed.upstream!r} has no key of its own (passthrough), so it cannot be asked",
            )  # fmt: skip
        for name, tenant in s.tenants.items():
            if tenant.regions and _reaches(name, route) and upstream.region not in tenant.regions:
                yield _out_of_region(tenant, route, upstream.region)


def _embed_of(cache: Cache | None) -> Embed | None:
    if cache is None or cache.semantic is None or cache.semantic.mode == "off":
        return None
    return cache.semantic.embed


def _reaches(tenant: str, route: Route) -> bool:
    return not route.match.tenant or any(fnmatchcase(tenant, g) for g in route.match.tenant)


def _out_of_region(tenant: Tenant, route: Route, region: str) -> Problem:
    where = f"in {region}" if region else "in no region that is named"
    return _at(
        tenant, ".regions",
        f"the semantic cache of route {route.name!r} sends questions to be embedded {where}",
    )  # fmt: skip
