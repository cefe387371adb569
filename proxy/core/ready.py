"""An answer that is here whole, given out as one that is coming in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from proxy.core.exchange import Head
from proxy.core.policy import Write

PIECE: Final = 64 * 1024
"""Bytes written at once; a client that is behind is then waited for."""


class Ready:
    """A ``Reply`` of bytes; those of a stream are cut between events."""

    __slots__ = ("_body", "head")

    def __init__(self, head: Head, body: bytes) -> None:
        self.head = head
        self._body = body

    async def pump(self, write: Write, drain: Callable[[], Awaitable[None]]) -> None:
        """Hand on all of it."""
        body, at = self._body, 0
        while at < len(body):
            end = at + PIECE
            if end < len(body) and self.head.is_stream:
                blank = body.find(b"\n\n", end)
                end = blank + 2 if blank >= 0 else len(body)
            if not write(body[at:end]):
                await drain()
            at = end

    def close(self) -> None:
        """Nothing is held."""
