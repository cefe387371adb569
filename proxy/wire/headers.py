"""Which headers cross the proxy.

Hop-by-hop headers belong to one connection (RFC 9110, section 7.6.1); the
client's credentials belong to us; what we own is dropped, so that it cannot
be forged from either side.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
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
    b"x-forwarded-port", b"openai-organization", b"openai-project", b"via", b"origin",
    b"access-control-request-method", b"access-control-request-headers",
}  # fmt: skip
_METERED: Final = _REQUEST | {b"accept-encoding"}
_ANSWER: Final = _HOP | {
    b"content-length", b"set-cookie", b"server-timing", b"alt-svc", b"openai-organization",
    b"openai-project", b"strict-transport-security", b"idempotent-replayed",
    # Which sites may read an answer is said by our configuration alone.
    b"access-control-allow-origin", b"access-control-allow-credentials",
    b"access-control-allow-methods", b"access-control-allow-headers",
    b"access-control-expose-headers", b"access-control-max-age",
}  # fmt: skip
_OURS: Final = b"x-sidestream-"


def dropped(*, is_metered: bool, more: frozenset[bytes] = frozenset()) -> frozenset[bytes]:
    """Lower-case names of the headers of a request that stay here.

    ``is_metered`` endpoints are asked for uncompressed answers, so the
    client's ``accept-encoding`` stays; ``more`` are names that the upstream
    must not get from a tenant, or gets from us.
    """
    return (_METERED if is_metered else _REQUEST) | more


def request_lines(raw: tuple[tuple[bytes, bytes], ...], drop: frozenset[bytes]) -> list[bytes]:
    """Header lines of a client that go upstream, each with its line break."""
    lines = []
    for pair in raw:
        lower = pair[0].lower()
        if lower in drop:
            if lower == b"connection" and (named := _listed(pair[1])):
                rest = tuple(h for h in raw if h[0].lower() != b"connection")
                return request_lines(rest, drop | named)
            continue
        if lower[0] != 120 or not lower.startswith(_OURS):  # most do not begin with an x
            lines.append(b"%s: %s\r\n" % pair)
    return lines


class AnswerHeaders:
    """What an upstream's headers say, read once.

    ``kept`` goes to the client.  ``length``, ``transfer`` and ``encoding`` are
    values as they came, ``kind`` the media type in lower case;
    ``lengths`` counts content-lengths, of which there may be one.
    """

    __slots__ = ("encoding", "kept", "kind", "length", "lengths", "transfer")

    def __init__(self, raw: tuple[tuple[bytes, bytes], ...]) -> None:
        self.length: bytes | None = None
        self.transfer: bytes | None = None
        self.encoding = b""
        self.kind = b""
        self.lengths = 0
        kept: Headers = []
        named: frozenset[bytes] = frozenset()
        for pair in raw:
            name, value = pair
            lower = name.lower()
            if lower in _ANSWER:
                if lower == b"content-length":
                    self.length = value
                    self.lengths += 1
                elif lower == b"transfer-encoding":
                    self.transfer = value if self.transfer is None else self.transfer + b"," + value
                elif lower == b"connection":
                    named = named | _listed(value)
                continue
            if lower == b"content-type":
                self.kind = value.partition(b";")[0].strip().lower()
            elif lower == b"content-encoding":
                self.encoding = value.strip().lower()
            if lower.startswith(_OURS) or b"\r" in value or b"\n" in value:
                continue
            kept.append(pair)
        self.kept = _without(kept, named) if named else kept


def patience_of(headers: Mapping[str, str]) -> float | None:
    """Seconds that a client waits for an answer to begin, if its SDK says so.

    The Python SDK sends its read time-out, the Node SDK its time-out; what is
    no time counts as not said.
    """
    told = headers.get("x-stainless-read-timeout") or headers.get("x-stainless-timeout")
    if not told:
        return None
    try:
        seconds = float(told)
    except ValueError:
        return None
    return seconds if seconds > 0 and isfinite(seconds) else None


def _listed(value: bytes) -> frozenset[bytes]:
    """Names that a Connection header makes hop-by-hop."""
    names = frozenset(name.strip().lower() for name in value.split(b","))
    return names - {b"close", b"keep-alive", b"upgrade", b""}


def _without(headers: Headers, names: frozenset[bytes]) -> Headers:
    return [h for h in headers if h[0].lower() not in names]
