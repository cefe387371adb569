"""Counting a prompt exactly, where an upstream can: vLLM's ``/tokenize``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from proxy.core.errors import ProxyError
from proxy.core.exchange import Exchange
from proxy.upstream.connection import Connection
from proxy.upstream.deadlines import Deadlines
from proxy.upstream.target import Upstream

TIMEOUT_S: Final = 0.5
MAX_ANSWER: Final = 4 << 20
_FIELDS: Final = ("messages", "prompt", "tools", "chat_template_kwargs")
_DEADLINES: Final = Deadlines(TIMEOUT_S, TIMEOUT_S, 3600.0)


class ExactCount:
    """Asks the first target of an exchange's plan, if it is a vLLM server."""

    def __init__(self, upstreams: Mapping[str, Upstream], now: Callable[[], float]) -> None:
        self._upstreams = upstreams
        self._now = now

    async def __call__(self, x: Exchange) -> int | None:
        """The prompt's tokens; ``None`` if that cannot be had in half a second."""
        assert x.plan is not None
        target = x.plan.targets[0]
        upstream = self._upstreams[target.upstream]
        body = x.body
        if upstream.provider.kind != "vllm" or body is None:
            return None
        asked: dict[str, Any] = {name: body[name] for name in _FIELDS if name in body}
        if isinstance(body.get("input"), str):
            asked["prompt"] = body["input"]
        if "messages" not in asked and not isinstance(asked.get("prompt"), str):
            return None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await self._ask(upstream, {**asked, "model": target.model or x.model})
        except (ProxyError, TimeoutError):
            return None
        count = answer.get("count")
        return count if type(count) is int and count >= 0 else None

    async def _ask(self, upstream: Upstream, body: dict[str, Any]) -> dict[str, Any]:
        endpoint = upstream.choose()
        data = orjson.dumps(body)
        path = upstream.provider.path_for(endpoint.base_path, "/tokenize", "", "")
        request = (
            b"POST %s HTTP/1.1\r\nHost: %s\r\ncontent-type: application/json\r\n%s"
            b"content-length: %d\r\n\r\n%s"
            % (path.encode(), endpoint.host, upstream.static, len(data), data)
        )
        pool = endpoint.pool
        conn = pool.take_idle() or await pool.open()
        try:
            return await self._answer(conn, request)
        finally:
            pool.release(conn)

    async def _answer(self, conn: Connection, request: bytes) -> dict[str, Any]:
        conn.begin(request, deadlines=_DEADLINES, since=self._now(), is_head_method=False,
                   is_upgrade=False)  # fmt: skip
        head = await conn.receive_head()
        parts = []
        size = 0
        while size < MAX_ANSWER and (part := await conn.receive_some()):
            parts.append(part)
            size += len(part)
        if head.code != 200:
            return {}
        try:
            answer = orjson.loads(b"".join(parts))
        except orjson.JSONDecodeError:
            return {}
        return answer if isinstance(answer, dict) else {}
