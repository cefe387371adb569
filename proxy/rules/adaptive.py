"""How many requests at once an upstream bears, learnt from how it answers.

Two ways, for two kinds of upstream.  A hosted provider says by 429 or 503
that it has had enough: additive increase, multiplicative decrease (Chiu and
Jain, "Analysis of the Increase and Decrease Algorithms for Congestion
Avoidance", 1989).  A server of one's own mostly says nothing and queues; its
time to first token grows instead, so the cap follows the gradient between
long and short averages of it, as "Gradient2" of Netflix's concurrency-limits
does for round-trip times, here for each token of the prompt.

Pure: time is given in, in seconds.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

DECREASE: Final = 0.7
"""What is left of the cap after the upstream pushed back."""

BASE: Final = 256
"""Tokens that the fixed part of a first token is worth, so that time for each
token means the same for short prompts and long ones.
"""

LONG: Final = 600
SHORT: Final = 10
"""Answers that the two averages reach back."""

TOLERANCE: Final = 1.5
"""How many times slower than usual is still usual."""

SMOOTHING: Final = 0.2
"""Share of a new estimate that each answer moves the cap by."""


class Aimd:
    """A cap between 1 and ``most``, which it begins at.

    It is lowered at most once a round trip: what was sent before the cap was
    last lowered says nothing about the new one.  It is raised only while at
    least half of it is in use, since an idle upstream proves nothing.
    """

    __slots__ = ("_credit", "_level", "_lowered_at", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._level = float(most)
        self._lowered_at = float("-inf")
        self._credit = 0

    @property
    def cap(self) -> int:
        """Requests at once."""
        return max(1, int(self._level))

    def bound(self, most: int) -> None:
        """Another upper bound, from a new configuration."""
        was_free = self._level >= self._most
        self._most = most
        self._level = float(most) if was_free else min(self._level, float(most))

    def pushed_back(self, sent_at: float, now: float) -> None:
        """A request sent at ``sent_at`` was answered by 429 or 503."""
        if sent_at <= self._lowered_at:
            return
        self._lowered_at = now
        self._credit = 0
        self._level = max(1.0, self._level * DECREASE)

    def served(self, in_flight: int, first_token_s: float | None, tokens: int) -> None:
        """A request was answered while ``in_flight`` were served, itself included.

        ``first_token_s`` is ``None`` where it is not known; ``tokens`` are the
        prompt's.
        """
        if in_flight * 2 < self.cap:
            return
        self._credit += 1
        if self._credit >= self.cap:
            self._credit = 0
            self._level = min(float(self._most), self._level + 1)


class Gradient(Aimd):
    """A cap that sinks while first tokens come later than they used to.

    Each answer moves the cap towards ``cap * ratio + sqrt(cap)``, where
    ``ratio`` is how much faster the long average is than the short one,
    between a half and 1: what is usual costs nothing, and the root leaves a
    little queue, so that an upstream with room is found out.  The long average
    follows in the end, so an upstream that has become slower for good is not
    kept starved; after a slow time it comes back faster than it went.
    """

    __slots__ = ("_long", "_seen", "_short")

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._long = 0.0
        self._short = 0.0
        self._seen = 0

    def served(self, in_flight: int, first_token_s: float | None, tokens: int) -> None:
        """A request was answered; without a time it says nothing."""
        if first_token_s is None or first_token_s <= 0:
            return
        pace = max(1e-12, first_token_s / (tokens + BASE))
        self._seen += 1
        # An average over what there is, until there is enough.
        self._long += (pace - self._long) / min(self._seen, LONG)
        self._short += (pace - self._short) / min(self._seen, SHORT)
        if self._long > 2 * self._short:
            self._long *= 0.95
        ratio = max(0.5, min(1.0, TOLERANCE * self._long / self._short))
        goal = self._level * ratio + sqrt(self._level)
        if goal > self._level and in_flight * 2 < self.cap:
            return
        level = self._level + (goal - self._level) * SMOOTHING
        self._level = max(1.0, min(float(self._most), level))
