"""One JSON line a request: what happened, never what was said.

A line is built from the fields named here and no others, so that text, keys
and originals cannot reach it by accident; ``user`` is written as a hash.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Protocol

import orjson

from proxy.core.errors import ProxyError
from proxy.core.exchange import End, Exchange
from proxy.observe.metrics import status_of


class RequestLog(Protocol):
    """Where lines go.  Must not block: a slow reader loses lines, counted."""

    def write(self, line: bytes) -> None:
        """Take one line, its line break included."""
        ...


def line_for(x: Exchange, end: End, now: float, wall: float) -> bytes:
    """The log line of an exchange that ended at ``now`` (times in ms)."""
    started, target = x.started, x.target
    line: dict[str, Any] = {
        "time": int(wall * 1000) / 1000,
        "id": x.id,
        "tenant": x.tenant or None,
        "key": x.key_name or None,
        "user": hash_of(x.user) if x.user else None,
        "method": x.method,
        "endpoint": x.endpoint.name,
        "route": x.route or None,
        "target": target.name if target is not None else None,
        "model": x.model[:200] or None,
        "upstream_model": (target.model or None) if target is not None else None,
        "stream": x.stream,
        "status": status_of(x, end),
        "end": end.kind,
        "attempts": x.attempts,
        "duration_ms": int((now - started) * 100_000) / 100,
        "upstream_ms": int(x.upstream_s * 100_000) / 100,
        "ttft_ms": int((x.first_byte_at - started) * 100_000) / 100 if x.first_byte_at else None,
        "events": x.events,
        "bytes": x.sent_bytes,
    }
    if x.usage is not None:
        line["tokens_in"] = x.usage.prompt
        line["tokens_out"] = x.usage.completion
        line["tokens_cached"] = x.usage.cached
    if x.cost_nanos is not None:
        line["cost_usd"] = x.cost_nanos / 1e9
    if x.queued_s:
        line["queue_ms"] = int(x.queued_s * 100_000) / 100
    if x.finish:
        line["finish"] = x.finish
    if isinstance(end.error, ProxyError):
        line["error"] = end.error.code or end.error.type
        line["fault"] = end.error.fault
    elif end.error is not None and end.kind == "refused":
        line["error"] = type(end.error).__name__
    if x.tags:
        line["tags"] = dict(x.tags)
    if x.notes:
        line["notes"] = x.notes
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def hash_of(user: str) -> str:
    """A short stand-in for a user, the same for the same user."""
    return blake2b(user.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
