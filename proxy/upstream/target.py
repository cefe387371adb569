"""An upstream as the forwarding leg sees it: where, how and with which key."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import orjson

from proxy.core.errors import BadRequest
from proxy.core.exchange import Exchange
from proxy.core.plan import Target
from proxy.rules.retries import RetryBudget
from proxy.upstream.deadlines import Deadlines
from proxy.upstream.gate import Gate
from proxy.upstream.pool import Pool
from proxy.upstream.providers import Provider
from proxy.wire.forms import form_boundary, with_form_field
from proxy.wire.headers import request_lines
from proxy.wire.tokens import capped

log = logging.getLogger("sidestream.upstream")

_CRLF: Final = b"\r\n"
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_KEYS: Final = ("openai-insecure-api-key.", "openai-organization.", "openai-project.")
MAX_REMEMBERED: Final = 1024

WARN_S: Final = 60.0
"""Seconds between two warnings of one upstream."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of an upstream: its pool, the Host it is called by, its path."""

    pool: Pool
    host: bytes
    base_path: str
    beginnings: dict[tuple[str, str, str, str], bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Upstream:
    """One entry of ``upstreams``, made ready: nothing is computed per request
    that could be computed when the configuration was read.

    ``static`` holds the credentials and fixed headers as bytes, ``drops`` the
    names of a client's headers that stay here.  ``passthrough`` upstreams get
    the client's own credentials and none of ours.  ``salts`` keeps tenants from
    finding each other's prompts in a shared prefix cache by its speed.  ``gate``
    is there where it is given only so much at once.  Until ``silent_until`` the
    log is not told again that our key is refused.
    """

    name: str
    provider: Provider
    endpoints: Sequence[Endpoint]
    deadlines: Deadlines
    socket_deadlines: Deadlines
    static: bytes
    drops: frozenset[bytes]
    drops_metered: frozenset[bytes]
    asks_usage: bool
    passthrough: bool
    budget: RetryBudget
    salts: Callable[[str], str] | None = None
    region: str = ""
    gate: Gate | None = None
    turn: int = 0
    silent_until: float = 0.0

    def choose(self) -> Endpoint:
        """The next endpoint, in turn."""
        if len(self.endpoints) == 1:
            return self.endpoints[0]
        self.turn = (self.turn + 1) % len(self.endpoints)
        return self.endpoints[self.turn]

    def refused_key(self, status: int, now: float) -> None:
        """Say in the log that it does not take our key: clients take it for theirs."""
        if status in (401, 403) and not self.passthrough and now >= self.silent_until:
            self.silent_until = now + WARN_S
            log.warning(
                "upstream %s: the provider refuses our key (status %d), and clients are given that "
                "answer; look at its api_key and what it may do",
                self.name,
                status,
            )


@dataclass(slots=True)
class Outgoing:
    """A request in the form in which one target gets it.

    ``body`` is ``None`` where the client's body is streamed through.
    ``hides_usage`` says that the usage event was our wish, not the client's.
    """

    body: bytes | None
    hides_usage: bool = False


def outgoing(x: Exchange, target: Target, upstream: Upstream) -> Outgoing:
    """What of the body is sent to ``target``; the client's own bytes if they fit."""
    body = x.body
    if body is None:
        return Outgoing(x.raw)
    provider = upstream.provider
    changes: dict[str, Any] = {}
    if upstream.salts is not None and x.endpoint.dialect != "plain":
        changes["cache_salt"] = upstream.salts(x.tenant)
    if target.model and target.model != x.model and "model" in body:
        changes["model"] = target.model
    hides = False
    if x.stream and upstream.asks_usage and x.endpoint.dialect == "chat":
        options = body.get("stream_options")
        if options is None:
            options = {}
        if not isinstance(options, dict):
            raise BadRequest("stream_options must be an object", param="stream_options")
        if options.get("include_usage") is not True:
            hides = not x.keeps_usage
            changes["stream_options"] = {**options, "include_usage": True}
    if x.max_output is not None:
        changes.update(capped(body, x.max_output, x.endpoint.name, _output_field(x, provider)))
    fit = provider.body_for(body) if provider.changes_bodies else body
    if not changes and fit is body and x.raw is not None:
        return Outgoing(x.raw, hides)
    return Outgoing(orjson.dumps({**fit, **changes}), hides)


def _output_field(x: Exchange, provider: Provider) -> str:
    """The field that bounds an answer where the client named none."""
    if x.endpoint.dialect == "responses":
        return "max_output_tokens"
    return provider.output_field if x.endpoint.name == "chat" else "max_tokens"


def head_bytes(
    x: Exchange, target: Target, upstream: Upstream, endpoint: Endpoint, body: bytes | None
) -> bytes:
    """Request line and headers, to the blank line."""
    is_metered = x.endpoint.is_metered or x.endpoint.body == "json"
    drop = upstream.drops_metered if is_metered else upstream.drops
    if x.intake.is_encoded and x.raw is not None:
        drop = drop | {b"content-encoding"}  # ``raw`` is what was inside
    lines = request_lines(x.raw_headers, drop)
    lines.insert(0, _begin(x, target, upstream, endpoint))
    if x.endpoint.is_socket:
        lines.append(b"connection: Upgrade\r\nupgrade: websocket\r\n")
        if protocols := _without_keys(x.headers.get("sec-websocket-protocol", "")):
            lines.append(b"sec-websocket-protocol: %s\r\n" % protocols)
    if upstream.passthrough:
        lines += credentials_of(x.headers)
    lines.append(upstream.static)
    if is_metered:
        lines.append(b"accept-encoding: identity\r\n")
    if body is not None:
        if body or x.method in _WITH_BODY:
            lines.append(b"content-length: %d\r\n" % len(body))
    elif x.intake.has_body:
        length = x.intake.length
        lines.append(
            b"transfer-encoding: chunked\r\n"
            if length is None
            else b"content-length: %d\r\n" % length
        )
    elif x.method in _WITH_BODY:
        lines.append(b"content-length: 0\r\n")
    lines.append(_CRLF)
    return b"".join(lines)


def _begin(x: Exchange, target: Target, upstream: Upstream, endpoint: Endpoint) -> bytes:
    """Request line and Host, remembered for the paths without ids in them."""
    model = target.model or x.model
    names_model = upstream.provider.kind == "azure" or x.endpoint.is_socket
    key = (x.method, x.path, x.query, model if names_model else "")
    known = endpoint.beginnings.get(key)
    if known is None:
        query = _query(x, model) if x.endpoint.is_socket else x.query
        path = upstream.provider.path_for(endpoint.base_path, x.path, query, model)
        line = f"{x.method} {path} HTTP/1.1\r\nHost: ".encode("utf-8", "surrogateescape")
        known = line + endpoint.host + _CRLF
        if len(endpoint.beginnings) >= MAX_REMEMBERED:
            endpoint.beginnings.clear()  # paths with ids in them; the common ones come back
        endpoint.beginnings[key] = known
    return known


def _query(x: Exchange, model: str) -> str:
    """The query with the model that the target has; a socket names it there."""
    pairs = parse_qsl(x.query, keep_blank_values=True)
    return urlencode([(name, model if name == "model" else value) for name, value in pairs])


async def rewrite_form(x: Exchange, model: str, limit: int) -> None:
    """Put the target's model into a form that still streams from the client."""
    boundary = form_boundary(x.headers.get("content-type", ""))
    if boundary is not None:
        beginning = await x.intake.peek(limit, lambda _: True)
        x.intake.edit(with_form_field(beginning, boundary, "model", model))


def _without_keys(protocols: str) -> bytes:
    """Subprotocols less those in which browsers carry a key."""
    names = [name.strip() for name in protocols.split(",")]
    kept = [n for n in names if n and not n.startswith(_KEYS)]
    return ", ".join(kept).encode("ascii", "replace")


def credentials_of(headers: Mapping[str, str]) -> list[bytes]:
    """The client's own credentials, for a ``passthrough`` upstream."""
    lines = []
    for name in ("authorization", "api-key", "x-api-key"):
        if (value := headers.get(name)) is not None:
            lines.append(f"{name}: {value}\r\n".encode("utf-8", "surrogateescape"))
    return lines
