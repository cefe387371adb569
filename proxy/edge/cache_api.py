"""``POST /api/cache/erase`` and ``POST /api/cache/purge`` of the admin listener."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import orjson
from aiohttp import web

from proxy.core.cache import CannotPurge
from proxy.edge.admin import ADMIN_ONLY, has_token, refusal


class Purger(Protocol):
    """Who forgets what was kept.  Both raise ``CannotPurge``."""

    async def erase(self, tenant: str) -> None:
        """Make all that is kept for a tenant unreadable."""
        ...

    async def purge(self, *, tenant: str, key: bytes, route: str) -> None:
        """Forget one answer, or all of a route."""
        ...


class CacheApi:
    """The handlers; what they are asked stands in the query.

    ``token`` is the admin token of this moment, ``routes`` the names there are.
    """

    def __init__(
        self, purger: Purger, token: Callable[[], str], routes: Callable[[], frozenset[str]]
    ) -> None:
        self._purger = purger
        self._token = token
        self._routes = routes

    def add_to(self, app: web.Application) -> None:
        """Make the paths known."""
        app.router.add_post("/api/cache/erase", self._erase)
        app.router.add_post("/api/cache/purge", self._purge)

    def _refused(self, request: web.Request) -> web.Response | None:
        if not self._token():
            return refusal(403, "set admin.token in the configuration to use the admin API")
        return None if has_token(request, self._token()) else refusal(401, ADMIN_ONLY)

    async def _erase(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        tenant = request.query.get("tenant", "")
        if not tenant:
            return refusal(400, "say whose: ?tenant=NAME")
        try:
            await self._purger.erase(tenant)
        except CannotPurge as exc:
            return refusal(503, str(exc))
        return _done({"erased": {"tenant": tenant}})

    async def _purge(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        tenant, route = request.query.get("tenant", ""), request.query.get("route", "")
        try:
            key = bytes.fromhex(request.query.get("key", ""))
        except ValueError:
            return refusal(400, "key is in hexadecimal digits, as `cache-status` shows it")
        if bool(key) == bool(route):
            return refusal(400, "say what: ?route=NAME, or ?key=HEX&tenant=NAME")
        if route and route not in self._routes():
            return refusal(404, "there is no such route")
        try:
            await self._purger.purge(tenant=tenant, key=key, route=route)
        except CannotPurge as exc:
            return refusal(503, str(exc))
        return _done({"purged": {"route": route} if route else {"key": key.hex()}})


def _done(value: dict[str, dict[str, str]]) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")
