"""Token usage and finish reason out of answers.

An upstream's numbers are taken as numbers and nothing else: what is negative,
fractional, absurd or of another type counts as absent, and nothing raises.
"""

from __future__ import annotations

from typing import Any, Final

from proxy.core.exchange import Usage
from proxy.wire.events import event_of

WHOLE: Final = 64 * 1024
"""Bytes up to which a body is decoded; in a larger one usage is searched for."""

MAX_TOKENS: Final = 1_000_000_000
"""More than any request can use; a larger number is a fault, not a bill."""


def usage_of_body(data: bytes) -> tuple[Usage | None, str]:
    """Usage and finish reason of a whole JSON answer."""
    # It mostly stands at the end.
    if data.rfind(b'"usage"') < 0:
        return None, ""
    if len(data) > WHOLE:
        return _search(data), ""
    body = event_of(data)
    if body is None:
        # Both ends of an answer that was too large to keep.
        return _search(data), ""
    return _tiered(_read(body.get("usage")), body), _finish(body)


def usage_in(event: dict[str, Any]) -> Usage | None:
    """The usage in an event of any of the APIs, if it carries any."""
    found = _read(event.get("usage"))
    if found is not None:
        return _tiered(found, event)
    for name in ("response", "message"):
        inner = event.get(name)
        if isinstance(inner, dict):
            return _tiered(_read(inner.get("usage")), inner)
    return None


def merged(before: Usage | None, now: Usage) -> Usage:
    """What a stream has said so far: some say the prompt first and the answer last,
    some the sum so far with every event.
    """
    if before is None:
        return now
    return Usage(
        prompt=max(before.prompt, now.prompt),
        completion=max(before.completion, now.completion),
        cached=max(before.cached, now.cached),
        reasoning=max(before.reasoning, now.reasoning),
        audio_in=max(before.audio_in, now.audio_in),
        audio_out=max(before.audio_out, now.audio_out),
        tier=now.tier or before.tier,
    )


def _tiered(usage: Usage | None, said: dict[str, Any]) -> Usage | None:
    """``usage`` with the service tier beside it, if there is one that costs otherwise."""
    tier = said.get("service_tier")
    if usage is not None and isinstance(tier, str) and tier not in ("default", "auto"):
        usage.tier = tier[:20]
    return usage


def finish_in(event: dict[str, Any]) -> str:
    """The finish reason in an event; empty if it has none."""
    inner = event.get("response")
    if isinstance(inner, dict) and str(event.get("type")).startswith("response."):
        status = inner.get("status")
        return status if status in ("completed", "incomplete", "failed", "cancelled") else ""
    return _finish(event)


def _finish(body: dict[str, Any]) -> str:
    choices = body.get("choices")
    if isinstance(choices, list):
        if len(choices) == 1 and isinstance(choices[0], dict):
            reason = choices[0].get("finish_reason")
            return reason[:40] if isinstance(reason, str) else ""
        reasons = [c.get("finish_reason") for c in choices if isinstance(c, dict)]
        return next((r[:40] for r in reasons if isinstance(r, str)), "")
    for name in ("stop_reason", "status"):
        if isinstance(body.get(name), str):
            return str(body[name][:40])
    delta = body.get("delta")
    if isinstance(delta, dict) and isinstance(delta.get("stop_reason"), str):
        return str(delta["stop_reason"][:40])
    return ""


def _search(data: bytes) -> Usage | None:
    """The last usage object in bytes that are not decoded.

    A quote inside a JSON string is escaped, so a key with plain quotes on both
    sides and a colon after it is a key.
    """
    at = data.rfind(b'"usage"')
    while at >= 0:
        if at == 0 or data[at - 1 : at] != b"\\":
            found = _read(event_of(_balanced(data, at + 7)))
            if found is not None:
                return found
        at = data.rfind(b'"usage"', 0, at)
    return None


def _balanced(data: bytes, start: int) -> bytes:
    """The object after ``start``; empty if there is none of a sensible size."""
    piece = data[start : start + 4096].lstrip(b" \t\r\n")
    if not piece.startswith(b":"):
        return b""
    piece = piece[1:].lstrip(b" \t\r\n")
    if not piece.startswith(b"{"):
        return b""
    depth = 0
    for i, byte in enumerate(piece):
        depth += (byte == 0x7B) - (byte == 0x7D)
        if depth == 0:
            return piece[: i + 1]
    return b""


def _read(usage: object) -> Usage | None:
    """A usage object of any of the APIs."""
    if not isinstance(usage, dict):
        return None
    if len(usage) == 3:
        # The plain form, without details.
        prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if (
            type(prompt) is int
            and type(completion) is int
            and 0 <= prompt <= MAX_TOKENS
            and 0 <= completion <= MAX_TOKENS
        ):
            return Usage(prompt, completion)
    prompt = _number(usage, "prompt_tokens", "input_tokens")
    completion = _number(usage, "completion_tokens", "output_tokens")
    total = _number(usage, "total_tokens")
    if prompt is None and completion is None and total is None:
        return None
    if prompt is None:
        prompt = max(0, (total or 0) - (completion or 0))
    into = _details(usage, "prompt_tokens_details", "input_tokens_details")
    out = _details(usage, "completion_tokens_details", "output_tokens_details")
    cached = _number(into, "cached_tokens") or _number(usage, "cache_read_input_tokens") or 0
    if "input_tokens" in usage and "cache_read_input_tokens" in usage:
        # Anthropic counts what was read from and written to its cache apart.
        prompt += cached + (_number(usage, "cache_creation_input_tokens") or 0)
    if total is not None and total > prompt + (completion or 0):
        completion = total - prompt  # thinking that was left out
    return Usage(
        prompt=prompt,
        completion=completion or 0,
        cached=min(cached, prompt),
        reasoning=_number(out, "reasoning_tokens") or 0,
        audio_in=_number(into, "audio_tokens") or 0,
        audio_out=_number(out, "audio_tokens") or 0,
    )


def _details(usage: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        if isinstance(usage.get(name), dict):
            found: dict[str, Any] = usage[name]
            return found
    return {}


def _number(values: dict[str, Any], *names: str) -> int | None:
    for name in names:
        value = values.get(name)
        if type(value) is int and 0 <= value <= MAX_TOKENS:
            return value
    return None
