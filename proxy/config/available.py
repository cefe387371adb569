"""What can be written but is not acted on in this version.

``serve`` refuses to start with such a setting in use, because a quota or a
redaction that is silently not applied is worse than none.  A section that
nothing refers to does no harm and is let be.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.nodes import Problem
from proxy.config.schema import Record, Settings

ROUTE = ("hedge", "shadow", "rollback", "escalate", "overflow", "cache", "guards", "redaction")
UPSTREAM = ("breaker", "pace", "health", "concurrency", "resume")
TENANT = ("limits", "redaction", "tools", "priority", "weight")


def unavailable(settings: Settings) -> list[Problem]:
    """Every setting in use that this version does not act on."""
    return list(_found(settings))


def _found(s: Settings) -> Iterator[Problem]:
    used = set()
    for route in s.routes:
        for name in ROUTE:
            if name in route.given and getattr(route, name):
                yield _not_yet(route, name)
        if route.on_exhausted != "error":
            yield _not_yet(route, "on_exhausted")
        used |= {t.upstream for t in (*route.targets, *route.fallback)}
    for name, upstream in s.upstreams.items():
        if name not in used:
            continue
        for setting in UPSTREAM:
            if setting in upstream.given and getattr(upstream, setting):
                yield _not_yet(upstream, setting)
        if upstream.balance != "round_robin":
            yield _not_yet(upstream, "balance")
    for tenant in s.tenants.values():
        for name in TENANT:
            if name in tenant.given:
                yield _not_yet(tenant, name)
    if s.jwt is not None:
        yield _not_yet(s, "jwt")
    if s.log.capture.is_on:
        yield _not_yet(s.log, "capture")
    if s.log.usage is not None:
        yield _not_yet(s.log, "usage")
    if s.telemetry.otlp:
        yield _not_yet(s.telemetry, "otlp")
    if s.alerts.webhook:
        yield _not_yet(s.alerts, "webhook")
    if not s.store.is_memory:
        yield _not_yet(s.store, "url", "a store other than memory://")


def _not_yet(record: Record, name: str, what: str = "") -> Problem:
    return Problem(
        record.place, f"{record.where}.{name}", f"{what or name} is not available in this version"
    )
