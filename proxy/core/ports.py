"""What policies need from the world outside, as protocols.

Adapters live in ``stores``, ``upstream`` and ``edge``; tests have their own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol


class Clock(Protocol):
    """The two clocks.  Tests turn the hands themselves."""

    def now(self) -> float:
        """Seconds of a clock that never goes back."""
        ...

    def wall(self) -> float:
        """Seconds since 1970, UTC."""
        ...


class Intake(Protocol):
    """The body of a request, not read yet.

    It can be taken once: whole by ``read`` or in pieces by ``chunks``.
    """

    length: int | None
    has_body: bool

    async def read(self, limit: int) -> bytes:
        """The whole body.  Raises ``BodyTooLarge`` over ``limit`` bytes."""
        ...

    def chunks(self, limit: int) -> AsyncIterator[bytes]:
        """The body as it comes.  Raises ``BodyTooLarge`` over ``limit`` bytes."""
        ...
