"""``POST /api/cache/erase`` and ``POST /api/cache/purge`` of the admin listener.

A name that nobody has is refused: what was misspelt must not look as if it
were done.  ``force=true`` takes the name of a tenant that is configured no more.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

import orjson
from aiohttp import web

from proxy.core.cache import CannotPurge, Gone
from proxy.edge.admin import ADMIN_ONLY, has_token, refusal

log = logging.getLogger("sidestream.cache")

COMMAND: Final = "sidestream-command"
"""``user-agent`` of the command, which is told what is wrong in its own words."""

KEY_BYTES: Final = 20
"""Of a key of the cache."""

MAX_COMPARED: Final = 1000
"""Names among which the nearest is looked for, while requests wait."""


class Known(NamedTuple):
    """Names in the configuration, and whether a cache of it is global."""

    tenants: frozenset[str]
    routes: frozenset[str]
    has_global: bool


class _Words(NamedTuple):
    """How one says it."""

    tenant: str
    what: str
    force: str


_HTTP: Final = _Words("?tenant=NAME", "?route=NAME, or ?key=HEX&tenant=NAME", "&force=true")
_COMMAND: Final = _Words("--tenant NAME", "--route NAME, or --key HEX --tenant NAME", "--force")


class Purger(Protocol):
    """Who forgets what was kept.  Both raise ``CannotPurge``."""

    async def erase(self, tenant: str) -> None:
        """Make all that is kept for a tenant unreadable."""
        ...

    async def purge(self, *, tenant: str, key: bytes, route: str) -> Gone | None:
        """Forget one answer, and say where it was, or all of a route."""
        ...


class CacheApi:
    """The handlers; what they are asked stands in the query.

    ``token`` is the admin token of this moment, ``known`` the names there are.
    """

    def __init__(
        self, purger: Purger, token: Callable[[], str], known: Callable[[], Known]
    ) -> None:
        self._purger = purger
        self._token = token
        self._known = known

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
            return refusal(400, f"say whose: {_words(request).tenant}")
        if (unknown := self._unknown(request, tenant)) is not None:
            return unknown
        try:
            await self._purger.erase(tenant)
        except CannotPurge as exc:
            log.info("the cache of tenant %r was erased in this process only", tenant[:100])
            return refusal(503, str(exc))
        log.info("the cache of tenant %r was erased", tenant[:100])
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
            return refusal(400, f"say what: {_words(request).what}")
        if key and len(key) != KEY_BYTES:
            return refusal(400, f"a key has {2 * KEY_BYTES} digits, as `cache-status` shows it")
        if route and tenant:
            return refusal(400, "a route is purged for all tenants: name one of the two")
        known = self._known()
        if route and route not in known.routes:
            return refusal(404, f"no route is named {_near(route, known.routes)}")
        if key and not tenant and not known.has_global:
            return refusal(400, f"no cache is global, so say whose: {_words(request).tenant}")
        if key and tenant and (unknown := self._unknown(request, tenant)) is not None:
            return unknown
        try:
            gone = await self._purger.purge(tenant=tenant, key=key, route=route)
        except CannotPurge as exc:
            log.info("%s was purged in this process only", _purged(tenant, key, route))
            return refusal(503, str(exc))
        log.info("%s was purged", _purged(tenant, key, route))
        told = {"route": route} if gone is None else {"key": key.hex(), **gone._asdict()}
        return _done({"purged": told})

    def _unknown(self, request: web.Request, tenant: str) -> web.Response | None:
        """What is said to who names a tenant that there is not."""
        tenants = self._known().tenants
        if tenant in tenants or request.query.get("force") == "true":
            return None
        return refusal(
            404,
            f"no tenant is named {_near(tenant, tenants)} If it was one before: "
            f"{_words(request).force}",
        )


def _purged(tenant: str, key: bytes, route: str) -> str:
    """What it was, for the log; who asked is not known."""
    if route:
        return f"the cache of route {route!r}"
    return f"the answer {key.hex()} of " + (f"tenant {tenant[:100]!r}" if tenant else "all tenants")


def _words(request: web.Request) -> _Words:
    return _COMMAND if request.headers.get("user-agent") == COMMAND else _HTTP


def _near(name: str, known: frozenset[str]) -> str:
    """The name, and the one that may have been meant."""
    near = difflib.get_close_matches(name[:100], sorted(known)[:MAX_COMPARED], 1)
    return f"{name[:100]!r}; did you mean {near[0]!r}?" if near else f"{name[:100]!r}."


def _done(value: dict[str, dict[str, Any]]) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")
