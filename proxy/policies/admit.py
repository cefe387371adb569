"""Cheap refusals, before a key is looked at or a body is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from proxy.core.errors import BadRequest, Draining, MethodNotAllowed, Overloaded, UnknownUrl
from proxy.core.exchange import End, Exchange
from proxy.core.policy import Answer, Policy

_ONCE: Final = (
    "authorization", "api-key", "x-api-key", "content-encoding", "idempotency-key", "origin",
    "x-sidestream-context-version",
)  # fmt: skip
"""Headers that decide something here, of which two would be two answers.  Of
others that may come once only, such as ``content-type``, the parser sees to it.
"""


class Room:
    """How many exchanges this process serves now; outlives a reload."""

    __slots__ = ("in_flight", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0


class AdmitPolicy(Policy):
    """Protects the process: room, drain, and paths that do not exist."""

    name = "admit"

    def __init__(self, room: Room, is_draining: Callable[[], bool]) -> None:
        self._room = room
        self._is_draining = is_draining

    async def on_request(self, x: Exchange) -> Answer | None:
        """Take a place in the room, or refuse."""
        room = self._room
        room.in_flight += 1
        if room.in_flight > room.limit:
            raise Overloaded(
                f"this process serves {room.limit} requests at once and is full", retry_after=1
            )
        if self._is_draining():
            raise Draining("this process is shutting down; try again", retry_after=1)
        headers = x.headers
        for name in _ONCE:
            if name in headers and len(headers.getall(name)) > 1:
                raise BadRequest(f"the header {name} is given twice")
        endpoint = x.endpoint
        if not endpoint.methods:
            raise UnknownUrl(f"no such path: {x.method} {x.path[:200]}")
        if x.method not in endpoint.methods:
            allowed = ", ".join(sorted(endpoint.methods))
            x.answer_headers.append((b"allow", allowed.encode()))
            raise MethodNotAllowed(f"{x.path[:200]} takes {allowed}")
        return None

    def on_end(self, x: Exchange, end: End) -> None:
        """Give the place back, after the last byte."""
        self._room.in_flight -= 1
