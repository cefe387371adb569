"""Our refusals in OpenAI's form: as a body, as headers, as a stream event.

What the official SDKs do with each decides the details: they retry 408, 409,
429 and 5xx unless told otherwise, honour ``retry-after-ms`` before
``retry-after``, and misbehave on waits of 0 or of more than 60 s.
"""

from __future__ import annotations

from math import ceil
from typing import Any, Final

import orjson

from proxy.core.endpoint import Dialect
from proxy.core.errors import ProxyError

MAX_SDK_WAIT: Final = 60.0
"""Seconds; on longer waits the SDKs retry after half a second instead."""

_RETRIED: Final = frozenset({408, 409, 429})


def _fields(error: ProxyError) -> dict[str, Any]:
    return {
        "message": error.message,
        "type": error.type,
        "param": error.param,
        "code": error.code,
    }


def error_body(error: ProxyError) -> bytes:
    """``{"error": {"message", "type", "param", "code"}}``."""
    return orjson.dumps({"error": _fields(error)})


def error_headers(error: ProxyError) -> list[tuple[bytes, bytes]]:
    """When to come back, or that coming back does not help."""
    wait = error.retry_after
    if wait is None:
        is_retried = error.status in _RETRIED
        return [(b"x-should-retry", b"false")] if is_retried and error.fault == "client" else []
    headers = [
        (b"retry-after", b"%d" % max(1, ceil(wait))),
        (b"retry-after-ms", b"%d" % max(1, ceil(wait * 1000))),
    ]
    if wait > MAX_SDK_WAIT:
        headers.append((b"x-should-retry", b"false"))
    return headers


def stream_error(error: ProxyError, dialect: Dialect, sequence_number: int = 0) -> bytes:
    """The error as one event of a stream that has begun.

    Chat clients raise on an ``error`` key; Responses clients on an event of
    type ``error``, some of them reading its fields flat and some nested.
    """
    fields = _fields(error)
    if dialect != "responses":
        return b"data: " + orjson.dumps({"error": fields}) + b"\n\n"
    event = {"type": "error", **_flat(fields), "sequence_number": sequence_number, "error": fields}
    return b"event: error\ndata: " + orjson.dumps(event) + b"\n\n"


def _flat(fields: dict[str, Any]) -> dict[str, Any]:
    return {"code": fields["code"], "message": fields["message"], "param": fields["param"]}
