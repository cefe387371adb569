"""What may be kept of whom, with whose keys and under which name."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.nodes import Problem
from proxy.config.schema import Settings
from proxy.core.cache import FIRST

Found = Iterator[Problem]


def cache_problems(settings: Settings) -> list[Problem]:
    """Problems of the caches that routes have."""
    return [*_named(settings), *_shared(settings), *_asked(settings)]


def _named(s: Settings) -> Found:
    if FIRST in s.cache:
        yield s.cache[FIRST].problem("", f"{FIRST!r} is the cache of first answers")


def _shared(s: Settings) -> Found:
    """A cache shared by all must hold nothing that is anybody's."""
    redacted = {name for name, tenant in s.tenants.items() if tenant.redaction}
    for route in s.routes:
        cache = s.cache.get(route.cache) if route.cache is not None else None
        if cache is None:
            continue
        for target in route.asked():
            upstream = s.upstreams.get(target.upstream)
            if upstream is not None and upstream.passthrough:
                yield route.problem(
                    ".cache",
                    f"answers of {target.upstream!r} are got with clients' own keys (passthrough),"
                    " so they are not to be shared",
                )
        if cache.scope != "global":
            continue
        if route.match.path and all("/embeddings" in path for path in route.match.path):
            continue
        if route.redaction is None and (not redacted or redacted != set(s.tenants)):
            yield route.problem(
                ".cache", f"the cache {route.cache!r} is global, so redaction is needed"
            )


def _asked(s: Settings) -> Found:
    """Who makes embeddings, and who judges, is asked in nobody's name."""
    for route in s.routes:
        cache = s.cache.get(route.cache) if route.cache is not None else None
        if cache is None or cache.semantic is None or cache.semantic.mode == "off":
            continue
        for one in (cache.semantic.embed, cache.semantic.judge):
            upstream = s.upstreams.get(one.upstream or "") if one is not None else None
            if one is not None and upstream is not None and upstream.passthrough:
                yield one.problem(
                    ".upstream",
                    f"{one.upstream!r} has no key of its own (passthrough), so it cannot be asked",
                )
