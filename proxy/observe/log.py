"""One JSON line a request: what happened, never what was said.

A line is built from the fields named here and no others, so that text, keys
and originals cannot reach it by accident; ``user`` is written as a hash.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import Any, Protocol

import orjson

from proxy.core.errors import ProxyError
from proxy.core.exchange import End, Exchange
from proxy.observe.faults import passed_on
from proxy.observe.metrics import status_of


class RequestLog(Protocol):
    """Where lines go.  Must not block: a slow reader loses lines, counted."""

    def write(self, line: bytes) -> None:
        """Take one line, its line break included."""
        ...


def line_for(x: Exchange, end: End, now: float, wall: float) -> bytes:
    """The log line of an exchange that ended at ``now`` (times in ms)."""
    started, target = x.started, x.target
    first_ms = b"%.2f" % ((x.first_byte_at - started) * 1000) if x.first_byte_at else b"null"
    # Half of the line is the same for thousands of requests, and the other
    # half numbers: to encode all of it anew takes twice as long.
    return (
        b'{"time":%.3f,"id":"%s",%s,"status":%d,"end":"%s","attempts":%d,"duration_ms":%.2f,'
        b'"upstream_ms":%.2f,"ttft_ms":%s,"events":%d,"bytes":%d%s}\n'
    ) % (
        wall,
        x.id.encode(),
        _named((
            x.tenant, x.key_name, x.user, x.method, x.endpoint.name, x.route,
            target.name if target is not None else "", x.model,
            target.model if target is not None else "", x.stream,
        )),
        status_of(x, end),
        end.kind.encode(),
        x.attempts,
        (now - started) * 1000,
        x.upstream_s * 1000,
        first_ms,
        x.events,
        x.sent_bytes,
        _more(x, end),
    )  # fmt: skip


_Names = tuple[str, str, str, str, str, str, str, str, str, bool]


@lru_cache(4096)
def _named(names: _Names) -> bytes:
    """Who asked whom for what, as the inside of a JSON object."""
    tenant, key, user, method, endpoint, route, target, model, upstream_model, stream = names
    named = {
        "tenant": tenant or None,
        "key": key or None,
        "user": hash_of(user) if user else None,
        "method": method,
        "endpoint": endpoint,
        "route": route or None,
        "target": target or None,
        "model": model[:200] or None,
        "upstream_model": upstream_model or None,
        "stream": stream,
    }
    return orjson.dumps(named)[1:-1]


def _more(x: Exchange, end: End) -> bytes:
    """What not every line has, as the rest of a JSON object."""
    line: dict[str, Any] = {}
    if x.usage is not None:
        line["tokens_in"] = x.usage.prompt
        line["tokens_out"] = x.usage.completion
        line["tokens_cached"] = x.usage.cached
    if x.cost_nanos is not None:
        line["cost_usd"] = x.cost_nanos / 1e9
    if x.queued_s:
        line["queue_ms"] = int(x.queued_s * 100_000) / 100
    if x.retried_s:
        line["retry_ms"] = int(x.retried_s * 100_000) / 100
    if x.finish:
        line["finish"] = x.finish
    line |= _wrong(x, end)
    if x.tags:
        line["tags"] = dict(x.tags)
    if x.notes:
        line["notes"] = x.notes
    return b"," + orjson.dumps(line)[1:-1] if line else b""


def _wrong(x: Exchange, end: End) -> dict[str, str]:
    """What went wrong and by whose fault, if anything did."""
    error = end.error
    if isinstance(error, ProxyError):
        return {"error": error.code or error.type, "fault": error.fault}
    if error is not None:
        return {"error": type(error).__name__} if end.kind == "refused" else {}
    found = passed_on(x, end)
    return {} if found is None else {"error": found[1], "fault": found[0]}


def hash_of(user: str) -> str:
    """A short stand-in for a user, the same for the same user."""
    return blake2b(user.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
