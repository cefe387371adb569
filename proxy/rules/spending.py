"""What a request really used, however it ended."""

from __future__ import annotations

from typing import Final

from proxy.core.exchange import End, Exchange, Usage

GENERATES: Final = frozenset({"chat", "completions", "responses", "responses_compact", "messages"})
"""Endpoints whose answers are tokens; all others are paid for by their input."""

_OPENING: Final = {"chat": 1, "responses": 4, "plain": 0}
"""Events with which a stream of each dialect begins before it says anything."""


def used_by(x: Exchange, end: End) -> Usage | None:
    """Tokens to charge for; ``None`` if nothing was asked of an upstream.

    What the upstream counted is the truth.  Where it said nothing: a refusal
    or a failure costs nothing; a stream costs its prompt and a token for each
    event that was delivered; any other answer costs what was estimated, and
    one that nobody waited for costs its prompt.
    """
    if x.usage is not None:
        return x.usage
    if not x.attempts:
        return None
    estimate = x.estimate
    if estimate is None or x.upstream_status >= 400:
        return Usage(estimated=True)
    is_gone = end.kind == "client_gone"
    if not x.upstream_status and not is_gone:
        return Usage(estimated=True)
    if x.events:
        delivered = max(0, x.events - _OPENING[x.endpoint.dialect])
        return Usage(estimate.prompt, delivered, estimated=True)
    if is_gone or x.stream:
        return Usage(estimate.prompt, 0, estimated=True)
    if end.kind == "complete":
        return estimate
    return Usage(estimated=True)
