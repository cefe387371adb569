"""The line of the billing ledger: who used what of which model, and what it cost."""

from __future__ import annotations

import orjson

from proxy.core.exchange import Exchange, Usage
from proxy.observe.log import hash_of


def record_of(x: Exchange, usage: Usage, nanos: int, wall: float, end: str = "") -> bytes:
    """One JSON object; ``nanos`` are billionths of a dollar, ``end`` how it ended.

    Without an ``end`` it is the estimate that stands if nobody settles.
    """
    target = x.target
    return orjson.dumps(
        {
            "time": int(wall * 1000) / 1000,
            "id": x.id,
            "tenant": x.tenant,
            "key": x.key_name,
            "user": hash_of(x.user) if x.user else "",
            "endpoint": x.endpoint.name,
            "route": x.route,
            "target": target.name if target is not None else "",
            "model": (target.model if target is not None else "") or x.model,
            "in": usage.prompt,
            "cached": usage.cached,
            "out": usage.completion,
            "reasoning": usage.reasoning,
            "nanos": nanos,
            "status": x.status,
            "end": end,
            "estimated": usage.estimated,
        }
    )
