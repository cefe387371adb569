"""Read what routing must know: the body's model, whether it streams, for whom.

JSON is read whole, because the model may stand at its end.  Of a form only the
beginning is read, up to the model field; the rest streams through.  All else
is not read at all.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs

import orjson

from proxy.core.errors import BadRequest, UnsupportedEncoding
from proxy.core.exchange import Exchange
from proxy.core.policy import Answer, Policy
from proxy.wire.body import checked_name, model_of, parse_json, stream_of, user_of
from proxy.wire.forms import form_boundary, form_fields, is_enough_of

MAX_KNOWN: Final = 4096
"""Bodies that are remembered."""

MAX_REMEMBERED: Final = 16 * 1024
"""Bytes of a body up to which to know it again is worth a digest."""


class ParsePolicy(Policy):
    """Fills ``raw``, ``body``, ``model``, ``stream`` and ``user``.

    With ``remembers``, a body that came before and was good is not read
    again, unless another stage looks into it.
    """

    name = "parse"

    def __init__(self, max_body: int, *, remembers: bool = False) -> None:
        self._max_body = max_body
        self._longest = MAX_REMEMBERED if remembers else -1
        self._known: dict[tuple[bytes, str], tuple[str, bool, str]] = {}

    async def on_request(self, x: Exchange) -> Answer | None:
        """Read as much as the endpoint asks for; 400 says what is wrong where."""
        if x.endpoint.is_socket and x.headers.get("upgrade", "").lower() != "websocket":
            raise BadRequest(f"{x.path} is a WebSocket; connect to it as one")
        kind = x.endpoint.body
        if kind == "json" and x.intake.has_body:
            x.raw = await x.intake.read(self._max_body)
            if len(x.raw) <= self._longest:
                self._remembered(x)
            else:
                _read(x, x.raw)
        elif kind == "json" and x.method in ("POST", "PUT", "PATCH") and x.endpoint.needs_model:
            x.body = parse_json(b"")
        elif kind == "form" and x.intake.has_body:
            await self._form(x)
        if x.subject:
            # Whom a token speaks for is known; what a body says is not.
            x.user = x.subject
        if x.query:
            query = parse_qs(x.query)
            if x.endpoint.is_socket or x.method in ("GET", "HEAD"):
                # With a body, an upstream goes by that.
                x.model = x.model or checked_name(query.get("model", [""])[0])
            x.stream = x.stream or query.get("stream", [""])[0] == "true"
        if x.endpoint.needs_model and not x.model:
            raise BadRequest("you must provide a model parameter", param="model")
        return None

    def _remembered(self, x: Exchange) -> None:
        """What the same bytes said before; by tenant, as nobody is to learn
        from the time it takes what others have sent.
        """
        assert x.raw is not None
        seen = (x.digest(), x.tenant)
        known = self._known.get(seen)
        if known is not None:
            x.model, x.stream, x.user = known
            x.reads = orjson.loads
            return
        _read(x, x.raw)
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[seen] = (x.model, x.stream, x.user)

    async def _form(self, x: Exchange) -> None:
        boundary = form_boundary(x.headers.get("content-type", ""))
        if boundary is None:
            return
        if x.intake.is_encoded:
            raise UnsupportedEncoding("send the form without content-encoding")
        beginning = await x.intake.peek(self._max_body, is_enough_of(boundary, "model"))
        fields = form_fields(beginning, boundary)
        x.model = checked_name(fields.get("model", ""))
        x.stream = fields.get("stream", "") == "true"
        x.user = fields.get("user", "")


def _read(x: Exchange, raw: bytes) -> None:
    body = x.body = parse_json(raw)
    x.model = model_of(body)
    x.stream = stream_of(body)
    x.user = user_of(body)
