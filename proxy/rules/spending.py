"""What a request really used, however it ended."""

from __future__ import annotations

from typing import Final

from proxy.core.exchange import End, Exchange, Usage

GENERATES: Final = frozenset({"chat", "completions", "responses", "responses_compact", "messages"})
"""Endpoints whose answers are tokens; all others are paid for by their input."""

_OPENING: Final = {"chat": 1, "responses": 4, "plain": 0}
"""Events with which a stream of each dialect begins before it says anything."""


ENVELOPE: Final = 260
"""Bytes of an event around its text, at most."""
TEXT_BYTES: Final = 6


def used_by(x: Exchange, end: End) -> Usage | None:
    """Tokens to charge for; ``None`` if nothing was asked of an upstream.

    What the upstream counted is the truth.  Where it said nothing: a refusal
    or a failure costs nothing; a stream costs its prompt and a token for each
    event that was delivered; any other answer costs what was estimated, and
    one that nobody waited for costs its prompt.
    """
    if x.usage is not None:
        return x.usage if end.kind == "complete" else _at_least(x.usage, _delivered(x))
    if not x.attempts:
        return None
    estimate = x.estimate
    if estimate is None or x.upstream_status >= 400:
        return Usage(estimated=True)
    is_gone = end.kind == "client_gone"
    if not x.upstream_status and not is_gone:
        return Usage(estimated=True)
    if x.events:
        return Usage(estimate.prompt, _delivered(x), estimated=True)
    if is_gone or x.stream:
        return Usage(estimate.prompt, 0, estimated=True)
    if end.kind == "complete":
        return estimate
    return Usage(estimated=True)


def _delivered(x: Exchange) -> int:
    """Tokens of the events that reached the client: one each, or more in large ones."""
    if not x.stream:
        return 0
    events = max(0, x.events - _OPENING[x.endpoint.dialect])
    return max(events, (x.sent_bytes - ENVELOPE * x.events) // TEXT_BYTES)


def _at_least(usage: Usage, completion: int) -> Usage:
    """What was reported before the end, or what was delivered if that is more."""
    if usage.completion < completion:
        usage.completion = completion
        usage.estimated = True
    return usage


def to_reserve(x: Exchange) -> tuple[int, int]:
    """The tokens to reserve: a prompt that is hardly ever larger, an answer as it will
    be bounded.
    """
    estimate = x.estimate
    if estimate is None:
        return 0, 0
    prompt, completion = estimate.prompt, estimate.completion
    if x.max_output is not None and completion > x.max_output * x.choices:
        completion = x.max_output * x.choices
    return max(prompt, x.prompt_most), completion
