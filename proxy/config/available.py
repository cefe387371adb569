"""What can be written but is not acted on in this version.

``serve`` refuses to start with such a setting in use, because a quota or a
redaction that is silently not applied is worse than none.  A section that
nothing refers to does no harm and is let be.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.nodes import Problem
from proxy.config.schema import Record, Settings

ROUTE = ("hedge", "shadow", "rollback", "escalate", "overflow")
UPSTREAM = ("breaker", "pace", "health", "resume")


def unavailable(settings: Settings) -> list[Problem]:
    """Every setting in use that this version does not act on."""
    return list(_found(settings))


def _found(s: Settings) -> Iterator[Problem]:
    for route in s.routes:
        yield from _given(route, ROUTE)
    used = {t.upstream for route in s.routes for t in (*route.targets, *route.fallback)}
    for name, upstream in s.upstreams.items():
        if name in used:
            yield from _given(upstream, UPSTREAM)
            if upstream.balance != "round_robin":
                yield _not_yet(upstream, "balance")
    if s.log.capture.is_on:
        yield _not_yet(s.log, "capture")
    yield from _given(s.telemetry, ("otlp",))


def _given(record: Record, names: tuple[str, ...]) -> Iterator[Problem]:
    """Those of ``names`` that were written and mean something."""
    for name in names:
        if name in record.given and getattr(record, name):
            yield _not_yet(record, name)


def _not_yet(record: Record, name: str) -> Problem:
    return record.problem(f".{name}", f"{name} is not available in this version")
