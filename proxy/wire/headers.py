"""Which headers cross the proxy.

Hop-by-hop headers belong to one connection (RFC 9110, section 7.6.1); the
client's credentials belong to us; what we own is dropped, so that it cannot
be forged from either side.
"""

from __future__ import annotations

from typing import Final

Headers = list[tuple[bytes, bytes]]

_HOP: Final = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer",
        b"transfer-encoding", b"upgrade", b"proxy-authenticate", b"proxy-authorization",
    }
)  # fmt: skip
_REQUEST: Final = _HOP | {
    b"host", b"content-length", b"expect", b"authorization", b"api-key", b"x-api-key", b"cookie",
    b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip",
    b"x-forwarded-port", b"openai-organization", b"openai-project", b"via",
}  # fmt: skip
_METERED: Final = _REQUEST | {b"accept-encoding"}
_ANSWER: Final = _HOP | {
    b"content-length", b"set-cookie", b"server-timing", b"alt-svc", b"openai-organization",
    b"openai-project", b"strict-transport-security",
}  # fmt: skip
_OURS: Final = b"x-sidestream-"
_UNSAFE: Final = frozenset(b"\r\n\0")


def request_headers(
    raw: tuple[tuple[bytes, bytes], ...], *, is_metered: bool, strip: frozenset[bytes]
) -> Headers:
    """What of a client's headers goes upstream.

    ``is_metered`` endpoints are asked for uncompressed answers, so the
    client's ``accept-encoding`` stays here; ``strip`` are lower-case names
    that the upstream must not get from a tenant.
    """
    drop = _METERED if is_metered else _REQUEST
    kept = []
    named: frozenset[bytes] = frozenset()
    for name, value in raw:
        lower = name.lower()
        if lower in drop:
            if lower == b"connection":
                named = named | _listed(value)
            continue
        if lower in strip or lower.startswith(_OURS) or not _UNSAFE.isdisjoint(value):
            continue
        kept.append((name, value))
    return _without(kept, named) if named else kept


def answer_headers(raw: tuple[tuple[bytes, bytes], ...]) -> Headers:
    """What of an upstream's headers goes to the client."""
    kept = []
    named: frozenset[bytes] = frozenset()
    for name, value in raw:
        lower = name.lower()
        if lower in _ANSWER:
            if lower == b"connection":
                named = named | _listed(value)
            continue
        if lower.startswith(_OURS) or not _UNSAFE.isdisjoint(value):
            continue
        kept.append((name, value))
    return _without(kept, named) if named else kept


def _listed(value: bytes) -> frozenset[bytes]:
    """Names that a Connection header makes hop-by-hop."""
    names = frozenset(name.strip().lower() for name in value.split(b","))
    return names - {b"close", b"keep-alive", b"upgrade", b""}


def _without(headers: Headers, names: frozenset[bytes]) -> Headers:
    return [h for h in headers if h[0].lower() not in names]
