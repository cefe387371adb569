"""The admin API: what was used, what is left, and the kill switch.

    GET  /api/usage?by=tenant,model&since=7d&until=…&tenant=…&format=csv
    GET  /api/limits/{tenant}?user=…&key=…&model=…
    GET  /api/disabled
    POST /api/disable   {"tenant": "acme"}  or  {"route": "chat"}
    POST /api/enable    the same

All of it needs the admin token.
"""

from __future__ import annotations

from typing import Any, Protocol

import orjson
from aiohttp import web

from proxy.core.switches import What
from proxy.edge.admin import ADMIN_ONLY, has_token, refusal

NO_TOKEN = "set admin.token in the configuration to use the admin API"  # noqa: S105 - a message


class Unavailable(Exception):
    """It cannot be done just now or not as configured; the message says why."""


class Control(Protocol):
    """What the API asks of the program.

    ``ValueError`` is a wrong question, ``LookupError`` a name that is not
    configured; their texts are for the one who asks.
    """

    async def usage(self, query: dict[str, str]) -> bytes:
        """The billing ledger added up; JSON, or CSV where ``format`` says so."""
        ...

    async def limits(self, tenant: str, query: dict[str, str]) -> dict[str, Any]:
        """What is left of every limit."""
        ...

    def switched_off(self) -> list[str]:
        """``tenant:acme``, ``route:chat``."""
        ...

    async def switch(self, what: What, name: str, *, is_off: bool) -> None:
        """Switch one off or on."""
        ...


class Api:
    """The handlers; ``token`` may change."""

    def __init__(self, control: Control, token: str) -> None:
        self._control = control
        self.token = token

    def add_to(self, app: web.Application) -> None:
        """Add the paths."""
        app.router.add_get("/api/usage", self._usage)
        app.router.add_get("/api/limits/{tenant}", self._limits)
        app.router.add_get("/api/disabled", self._disabled)
        app.router.add_post("/api/disable", self._disable)
        app.router.add_post("/api/enable", self._enable)

    def _refused(self, request: web.Request) -> web.Response | None:
        if not self.token:
            return refusal(403, NO_TOKEN)
        return None if has_token(request, self.token) else refusal(401, ADMIN_ONLY)

    async def _usage(self, request: web.Request) -> web.Response:
        if refused := self._refused(request):
            return refused
        query = dict(request.query)
        try:
            body = await self._control.usage(query)
        except ValueError as exc:
            return refusal(400, str(exc))
        except Unavailable as exc:
            return refusal(503, str(exc))
        kind = "text/csv" if query.get("format") == "csv" else "application/json"
        return web.Response(body=body, content_type=kind)

    async def _limits(self, request: web.Request) -> web.Response:
        if refused := self._refused(request):
            return refused
        try:
            found = await self._control.limits(request.match_info["tenant"], dict(request.query))
        except LookupError as exc:
            return refusal(404, str(exc.args[0]))
        except Unavailable as exc:
            return refusal(503, str(exc))
        return _json(found)

    async def _disabled(self, request: web.Request) -> web.Response:
        return self._refused(request) or _json({"disabled": self._control.switched_off()})

    async def _disable(self, request: web.Request) -> web.Response:
        return await self._switch(request, is_off=True)

    async def _enable(self, request: web.Request) -> web.Response:
        return await self._switch(request, is_off=False)

    async def _switch(self, request: web.Request, *, is_off: bool) -> web.Response:
        if refused := self._refused(request):
            return refused
        try:
            body = orjson.loads(await request.read())
        except orjson.JSONDecodeError:
            body = None
        wanted: What | None = None
        if isinstance(body, dict) and len(body) == 1:
            wanted = "tenant" if "tenant" in body else "route" if "route" in body else None
        if wanted is None or not isinstance(name := body[wanted], str):
            return refusal(400, 'send {"tenant": NAME} or {"route": NAME}')
        try:
            await self._control.switch(wanted, name, is_off=is_off)
        except LookupError as exc:
            return refusal(404, str(exc.args[0]))
        except Unavailable as exc:
            return refusal(503, str(exc))
        return _json({"disabled": self._control.switched_off()})


def _json(value: object) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")
