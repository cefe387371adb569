"""What two requests must have in common to be given the same answer.

Every field of the body counts but those named here, so a field that nobody
has heard of yet makes another key and never a wrong answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import orjson

IGNORED: Final = frozenset(
    {"stream", "stream_options", "user", "safety_identifier", "metadata", "service_tier"}
)
"""Fields that do not change what is answered."""

IGNORED_PREFIX: Final = "prompt_cache_"

_NEUTRAL: Final = frozenset(
    {
        b"accept", b"accept-charset", b"accept-encoding", b"accept-language", b"api-key",
        b"authorization", b"baggage", b"cache-control", b"connection", b"content-length",
        b"content-type", b"cookie", b"date", b"dnt", b"expect", b"forwarded", b"host",
        b"idempotency-key", b"keep-alive", b"newrelic", b"openai-organization", b"openai-project",
        b"origin", b"pragma", b"priority", b"proxy-authorization", b"referer", b"sentry-trace",
        b"te", b"trailer", b"transfer-encoding", b"true-client-ip", b"uber-trace-id", b"user-agent",
        b"via", b"x-amzn-trace-id", b"x-api-key", b"x-client-request-id",
        b"x-cloud-trace-context", b"x-correlation-id", b"x-real-ip", b"x-request-id",
        b"x-span-id", b"x-trace-id",
    }
)  # fmt: skip
_NEUTRAL_PREFIXES: Final = (
    b"x-stainless-", b"x-forwarded-", b"x-sidestream-", b"trace", b"x-b3-", b"x-datadog-",
    b"x-envoy-", b"sec-", b"cf-", b"if-",
)  # fmt: skip
"""Headers that say how a request came, and not what is asked."""

MAX_EXACT: Final = 2.0**63
"""From here on a number may be an integer that the parser has rounded."""

_ODD_NUMBER: Final = re.compile(rb"(?:\.0|[0-9]e\+[0-9]+)[,}\]]")


def canonical(body: dict[str, Any]) -> bytes:
    """The fields that count, the same bytes for the same meaning.

    Keys are sorted at every level, and 1.0 is written as 1.
    """
    kept = {k: v for k, v in body.items() if k not in IGNORED and not k.startswith(IGNORED_PREFIX)}
    data = orjson.dumps(kept, option=orjson.OPT_SORT_KEYS)
    # A walk in Python costs more than all else here together, and searching
    # for a pattern more than for bytes.
    if (b".0" not in data and not has_exponent(data)) or _ODD_NUMBER.search(data) is None:
        return data
    return orjson.dumps(_plain(kept), option=orjson.OPT_SORT_KEYS)


def has_exponent(data: bytes) -> bool:
    """Whether a number of 16 digits or more may stand in canonical bytes."""
    # One byte is found many times faster than two.
    return b"+" in data and b"e+" in data


def has_twice(raw: bytes, body: dict[str, Any], canonical: bytes = b"") -> bool:
    """Whether a name stands twice in an object of ``raw``, at any depth.

    ``body`` is what our reader made of it, with the last value of each name;
    another may take the first.  Names and strings have two quotes each, so one
    that was dropped is missed in the bytes of the body.  Those of ``canonical``,
    which are there already, are enough where nothing was left out of them.
    """
    if b"\\" in raw and b"\\u0022" in raw:
        # It reads as a quote that is not one in the bytes.
        return _names_twice(raw)
    quotes = raw.count(b'"')
    return quotes != canonical.count(b'"') and quotes != orjson.dumps(body).count(b'"')


def _names_twice(raw: bytes) -> bool:
    found = False

    def note(pairs: list[tuple[str, Any]]) -> None:
        nonlocal found
        found = found or len({name for name, _ in pairs}) < len(pairs)

    json.loads(raw, object_pairs_hook=note, parse_int=str, parse_float=str)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < MAX_EXACT else value
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value


def headers_that_count(raw: Sequence[tuple[bytes, bytes]]) -> str:
    """The headers that an upstream may heed; as with fields, those we do not
    know count.
    """
    for name, _ in raw:
        if not _is_neutral(name):
            break
    else:
        return ""
    return repr(sorted([(name.lower(), value) for name, value in raw if not _is_neutral(name)]))


# The same few names come with every request; what an SDK sends is a dozen.
@lru_cache(256)
def _is_neutral(name: bytes) -> bool:
    lower = name.lower()
    return lower in _NEUTRAL or lower.startswith(_NEUTRAL_PREFIXES)


def material(facts: Sequence[str | int], body: bytes) -> bytes:
    """What is hashed: the facts around a canonical body, and the body.

    The facts are a JSON array, so that no two sets of them run together.
    """
    try:
        return orjson.dumps(facts) + b"\n" + body
    except orjson.JSONEncodeError:
        # A header of a client that is no UTF-8.
        return ascii(facts).encode() + b"\n" + body
