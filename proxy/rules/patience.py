"""When a service that fails is left alone, so that nobody waits for its time-out."""

from __future__ import annotations

from typing import Final

IN_A_ROW: Final = 5
"""Failures after which it is left alone."""

REST_S: Final = 5.0
"""Seconds that it is left alone."""


class Patience:
    """With one service.  Times are of the monotonic clock."""

    __slots__ = ("_failures", "_until")

    def __init__(self) -> None:
        self._failures = 0
        self._until = 0.0

    def is_out(self, now: float) -> bool:
        """Whether the service is left alone."""
        return self._until > now

    def answered(self) -> None:
        """It does what is asked of it."""
        self._failures = 0

    def failed(self, now: float) -> bool:
        """It does not; whether it is left alone for the first time since it last answered."""
        self._failures += 1
        if self._failures >= IN_A_ROW:
            # One more failure after the rest is enough for another.
            self._until = now + REST_S
        return self._failures == IN_A_ROW
