"""The admin listener: health, readiness, status and metrics.

``/healthz`` says that the process lives; ``/readyz`` that it may be sent
requests, which depends on nothing outside the process: a sidecar whose
upstream is down must still answer, if only with a clear error.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from proxy.observe.metrics import Metrics

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_LOOPBACK: Final = ("127.0.0.1", "::1", "", None)
FROM: Final = "x-sidestream-from"
"""Whom one asks for who asks over a socket of its own; absent: itself."""

ADMIN_ONLY: Final = "send the admin token as `Authorization: Bearer TOKEN`"


class Admin:
    """The handlers.  ``status`` gives the dependencies as a JSON object, ``reload`` what
    became of a reload: ``reloaded``, ``problems``, ``notes``.

    ``token`` opens everything; without one ``/status`` is for loopback only.
    ``additions`` add further paths.
    """

    def __init__(
        self,
        metrics: Metrics,
        status: Callable[[], dict[str, Any]],
        is_ready: Callable[[], bool],
        reload: Callable[[], Awaitable[dict[str, Any]]],
        token: str,
    ) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(metrics)
        self._status = status
        self._is_ready = is_ready
        self._reload = reload
        self.token = token
        self.additions: list[Callable[[web.Application], None]] = []

    def application(self) -> web.Application:
        """The routes, ready for a runner."""
        app = web.Application(middlewares=[_errors])
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/status", self._status_page)
        app.router.add_post("/api/reload", self._reload_now)
        for add in self.additions:
            add(app)
        return app

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        if self._is_ready():
            return web.Response(text="ready\n")
        return web.Response(status=503, text="draining\n")

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        return web.Response(body=encode(self._registry), headers={"content-type": kind})

    async def _status_page(self, request: web.Request) -> web.Response:
        if not may_look(request, self.token):
            return refusal(401, ADMIN_ONLY)
        return web.Response(body=orjson.dumps(self._status()), content_type="application/json")

    async def _reload_now(self, request: web.Request) -> web.Response:
        if not self.token:
            return refusal(403, "set admin.token in the configuration to use the admin API")
        if not has_token(request, self.token):
            return refusal(401, ADMIN_ONLY)
        told = await self._reload()
        status = 200 if told["reloaded"] else 422
        return web.Response(status=status, body=orjson.dumps(told), content_type="application/json")


def has_token(request: web.Request, token: str) -> bool:
    """Whether a request carries the admin token, where there is one."""
    given = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
    return bool(token) and hmac.compare_digest(
        given.encode("utf-8", "surrogateescape"), token.encode()
    )


def may_look(request: web.Request, token: str) -> bool:
    """Whether a request may see what is not public: by token, or from loopback
    where there is none.
    """
    return has_token(request, token) or (
        not token and request.remote in _LOOPBACK and request.headers.get(FROM, "") in _LOOPBACK
    )


def refusal(status: int, message: str) -> web.Response:
    """An error in OpenAI's form."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return web.Response(
        status=status, body=orjson.dumps({"error": error}), content_type="application/json"
    )


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as exc:
        return refusal(exc.status, f"{request.method} {request.path[:200]}: {exc.reason}")
