"""An upstream as the forwarding leg sees it: where, how and with which key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from proxy.core.errors import BadRequest
from proxy.core.exchange import Exchange
from proxy.core.plan import Target
from proxy.rules.retries import RetryBudget
from proxy.upstream.connection import Deadlines
from proxy.upstream.pool import Pool
from proxy.upstream.providers import Provider
from proxy.wire.headers import request_headers

_CRLF: Final = b"\r\n"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of an upstream: its pool, the Host it is called by, its path."""

    pool: Pool
    host: bytes
    base_path: str


@dataclass(slots=True)
class Upstream:
    """One entry of ``upstreams``, made ready: nothing is computed per request
    that could be computed when the configuration was read.

    ``static`` holds the credentials and fixed headers as bytes.  ``passthrough``
    upstreams get the client's own credentials and none of ours.
    """

    name: str
    provider: Provider
    endpoints: Sequence[Endpoint]
    deadlines: Deadlines
    static: bytes
    static_names: frozenset[bytes]
    asks_usage: bool
    passthrough: bool
    budget: RetryBudget
    region: str = ""
    turn: int = 0

    def choose(self) -> Endpoint:
        """The next endpoint, in turn."""
        if len(self.endpoints) == 1:
            return self.endpoints[0]
        self.turn = (self.turn + 1) % len(self.endpoints)
        return self.endpoints[self.turn]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request in the form in which one target gets it.

    ``body`` is ``None`` where the client's body is streamed through.
    ``hides_usage`` says that the usage event was our wish, not the client's.
    """

    path: str
    body: bytes | None
    hides_usage: bool


def outgoing(x: Exchange, target: Target, upstream: Upstream, base_path: str) -> Outgoing:
    """What of ``x`` is sent to ``target``; the client's own bytes if they fit."""
    provider = upstream.provider
    model = target.model or x.model
    path = provider.path_for(base_path, x.path, x.query, model)
    if x.body is None:
        return Outgoing(path, x.raw, hides_usage=False)
    changes: dict[str, Any] = {}
    if model != x.model and "model" in x.body:
        changes["model"] = model
    hides = False
    if x.stream and upstream.asks_usage and x.endpoint.dialect == "chat":
        options = x.body.get("stream_options")
        if options is None:
            options = {}
        if not isinstance(options, dict):
            raise BadRequest("stream_options must be an object", param="stream_options")
        if not options.get("include_usage"):
            hides = True
            changes["stream_options"] = {**options, "include_usage": True}
    body = provider.body_for(x.body)
    if not changes and body is x.body and x.raw is not None:
        return Outgoing(path, x.raw, hides_usage=hides)
    return Outgoing(path, orjson.dumps({**body, **changes}), hides_usage=hides)


def head_bytes(x: Exchange, out: Outgoing, upstream: Upstream, host: bytes) -> bytes:
    """Request line and headers, to the blank line."""
    is_metered = x.endpoint.is_metered or x.endpoint.body == "json"
    parts = [
        x.method.encode(), b" ", out.path.encode("ascii", "surrogateescape"), b" HTTP/1.1\r\n",
        b"Host: ", host, _CRLF,
    ]  # fmt: skip
    if x.endpoint.is_socket:
        parts.append(b"connection: Upgrade\r\nupgrade: websocket\r\n")
    strip = upstream.provider.strip_headers
    skip = upstream.static_names
    if x.raw is not None and "content-encoding" in x.headers:
        skip = skip | {b"content-encoding"}  # ``raw`` is what was inside
    for name, value in request_headers(x.raw_headers, is_metered=is_metered, strip=strip):
        lower = name.lower()
        if lower == b"sec-websocket-protocol":
            value = _without_keys(value)
        if lower not in skip and value:
            parts += (name, b": ", value, _CRLF)
    if upstream.passthrough:
        parts += credentials_of(x.headers)
    parts.append(upstream.static)
    if is_metered:
        parts.append(b"accept-encoding: identity\r\n")
    if out.body is not None:
        if out.body or x.method in ("POST", "PUT", "PATCH"):
            parts.append(b"content-length: %d\r\n" % len(out.body))
    elif x.intake.has_body:
        if x.intake.length is not None:
            parts.append(b"content-length: %d\r\n" % x.intake.length)
        else:
            parts.append(b"transfer-encoding: chunked\r\n")
    elif x.method in ("POST", "PUT", "PATCH"):
        parts.append(b"content-length: 0\r\n")
    parts.append(_CRLF)
    return b"".join(parts)


def _without_keys(protocols: bytes) -> bytes:
    """Subprotocols less those in which browsers carry a key."""
    names = [name.strip() for name in protocols.split(b",")]
    return b", ".join(
        n
        for n in names
        if not n.startswith(
            (b"openai-insecure-api-key.", b"openai-organization.", b"openai-project.")
        )
    )


def credentials_of(headers: Mapping[str, str]) -> list[bytes]:
    """The client's own credentials, for a ``passthrough`` upstream."""
    lines = []
    for name in ("authorization", "api-key", "x-api-key"):
        if (value := headers.get(name)) is not None:
            lines.append(f"{name}: {value}\r\n".encode("utf-8", "surrogateescape"))
    return lines
