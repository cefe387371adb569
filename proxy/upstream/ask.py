"""A question of our own to an upstream, over the connections it has anyway."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import orjson

from proxy.core.errors import ProxyError
from proxy.upstream.connection import Connection
from proxy.upstream.deadlines import Deadlines
from proxy.upstream.target import Upstream

MAX_ANSWER: Final = 4 << 20
"""Bytes; a longer answer is none."""

_NONE: Final = Deadlines(math.inf, math.inf, math.inf)
"""The time is bounded here, and finer than a sweep does it."""


class Answered(NamedTuple):
    """The object of an answer, empty unless there is a whole one, and its status, or 0."""

    data: dict[str, Any]
    status: int


async def ask(
    upstream: Upstream,
    path: str,
    body: dict[str, Any],
    *,
    within_s: float,
    now: Callable[[], float],
) -> dict[str, Any]:
    """The object that ``upstream`` answers; empty if there is none within that time."""
    return (await answer_of(upstream, path, body, within_s=within_s, now=now)).data


async def answer_of(
    upstream: Upstream,
    path: str,
    body: dict[str, Any],
    *,
    within_s: float,
    now: Callable[[], float],
    most: int = MAX_ANSWER,
) -> Answered:
    """What ``upstream`` answers within that time, in ``most`` bytes.

    A connection on which the answer is late or longer is dropped.
    """
    endpoint = upstream.choose()
    data = orjson.dumps(body)
    whole = upstream.provider.path_for(endpoint.base_path, path, "", body.get("model", ""))
    request = (
        b"POST %s HTTP/1.1\r\nHost: %s\r\ncontent-type: application/json\r\n%s"
        b"accept-encoding: identity\r\ncontent-length: %d\r\n\r\n%s"
        % (whole.encode(), endpoint.host, upstream.static, len(data), data)
    )
    pool = endpoint.pool
    try:
        async with asyncio.timeout(within_s):
            conn = pool.take_idle() or await pool.open()
            try:
                conn.begin(request, deadlines=_NONE, since=now())
                return await _answer(conn, most)
            finally:
                pool.release(conn)
    except (ProxyError, TimeoutError):
        return Answered({}, 0)


async def _answer(conn: Connection, most: int) -> Answered:
    head = await conn.receive_head()
    parts = []
    size = 0
    while size <= most and (part := await conn.receive_some()):
        parts.append(part)
        size += len(part)
    if head.code != 200 or size > most:
        return Answered({}, head.code)
    try:
        answer = orjson.loads(b"".join(parts))
    except orjson.JSONDecodeError:
        return Answered({}, head.code)
    return Answered(answer if isinstance(answer, dict) else {}, head.code)
