"""What may be kept of whom, and who may see it on the way."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.nodes import Problem
from proxy.config.schema import Record, Route, Settings, Tenant

Found = Iterator[Problem]


def cache_problems(settings: Settings) -> list[Problem]:
    """Problems of the caches that routes have."""
    return [*_shared(settings), *_asked(settings)]


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


def _asked(s: Settings) -> Found:
    """Who makes embeddings sees what is asked, and who judges also what is answered."""
    for route in s.routes:
        cache = s.cache.get(route.cache) if route.cache is not None else None
        if cache is None or cache.semantic is None or cache.semantic.mode == "off":
            continue
        for one, sends in (
            (cache.semantic.embed, "questions to be embedded"),
            (cache.semantic.judge, "questions and answers to be judged"),
        ):
            upstream = s.upstreams.get(one.upstream or "") if one is not None else None
            if one is None or upstream is None:
                continue
            if upstream.passthrough:
                yield _at(
                    one, ".upstream",
                    f"{one.upstream!r} has no key of its own (passthrough), so it cannot be asked",
                )  # fmt: skip
            for name, tenant in s.tenants.items():
                if tenant.regions and route.match.admits(name):
                    yield from _out_of_region(tenant, route, sends, upstream.region)


def _out_of_region(tenant: Tenant, route: Route, sends: str, region: str) -> Found:
    if region not in tenant.regions:
        where = f"in {region}" if region else "in no region that is named"
        yield _at(
            tenant, ".regions", f"the semantic cache of route {route.name!r} sends {sends} {where}"
        )
