"""Read what routing must know: the body's model, whether it streams, for whom.

JSON is read whole, because the model may stand at its end.  Of a form only the
beginning is read, up to the model field; the rest streams through.  All else
is not read at all.
"""

from __future__ import annotations

from urllib.parse import parse_qs

from proxy.core.errors import BadRequest
from proxy.core.exchange import Exchange
from proxy.core.policy import Answer, Policy
from proxy.wire.body import form_boundary, form_fields, model_of, parse_json, stream_of, user_of


class ParsePolicy(Policy):
    """Fills ``raw``, ``body``, ``model``, ``stream`` and ``user``."""

    name = "parse"

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body

    async def on_request(self, x: Exchange) -> Answer | None:
        """Read as much as the endpoint asks for; 400 says what is wrong where."""
        if x.endpoint.is_socket and x.headers.get("upgrade", "").lower() != "websocket":
            raise BadRequest(f"{x.path} is a WebSocket; connect to it as one")
        kind = x.endpoint.body
        if kind == "json" and x.intake.has_body:
            x.raw = await x.intake.read(self._max_body)
            x.body = parse_json(x.raw)
            x.model = model_of(x.body)
            x.stream = stream_of(x.body)
            x.user = user_of(x.body)
        elif kind == "json" and x.method in ("POST", "PUT", "PATCH") and x.endpoint.needs_model:
            x.body = parse_json(b"")
        elif kind == "form" and x.intake.has_body:
            await self._form(x)
        if not x.user:
            x.user = x.subject
        if x.query:
            query = parse_qs(x.query)
            x.model = x.model or query.get("model", [""])[0]
            x.stream = x.stream or query.get("stream", [""])[0] == "true"
        if x.endpoint.needs_model and not x.model:
            raise BadRequest("you must provide a model parameter", param="model")
        return None

    async def _form(self, x: Exchange) -> None:
        boundary = form_boundary(x.headers.get("content-type", ""))
        if boundary is None:
            return
        beginning = await x.intake.peek(
            self._max_body, lambda data: "model" in form_fields(data, boundary)
        )
        fields = form_fields(beginning, boundary)
        x.model = fields.get("model", "")
        x.stream = fields.get("stream", "") == "true"
        x.user = fields.get("user", "")
