"""A signed token taken apart (RFC 7515, compact form); nothing of it checked.

Base64 leaves bits over at the end of a part and lenient readers let them be
anything, so one token could be spelt in many ways.  Here it has one.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Any

import orjson

from proxy.core.errors import Unauthenticated


@dataclass(frozen=True, slots=True)
class Compact:
    """The parts of a token.  ``signed`` is what ``signature`` is over."""

    header: dict[str, Any]
    payload: bytes
    signed: bytes
    signature: bytes


def malformed() -> Unauthenticated:
    """The refusal of what is no token, whatever it looks like."""
    return Unauthenticated("the token is malformed")


def take_apart(token: str) -> Compact:
    """Raises ``Unauthenticated`` if this is not three parts and a header."""
    parts = token.split(".")
    if len(parts) != 3:
        raise malformed()
    header, payload, signature = map(_bytes, parts)
    signed = token[: token.rindex(".")].encode("ascii")
    return Compact(json_object(header), payload, signed, signature)


def json_object(data: bytes) -> dict[str, Any]:
    """A header, or claims."""
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise malformed() from exc
    if not isinstance(found, dict):
        raise malformed()
    return found


def _bytes(part: str) -> bytes:
    try:
        data = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError as exc:
        raise malformed() from exc
    if urlsafe_b64encode(data).rstrip(b"=").decode() != part:
        raise malformed()
    return data
