"""Whether and when to try again: decisions only, with the time given in.

The budget keeps retries from multiplying a provider's bad minute: it is a
share of the requests plus a small allowance, as in Finagle's retry budgets.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from proxy.core.plan import Retry

NEVER: Final = frozenset({"400", "401", "403", "404", "413", "422"})
"""Statuses that are the request's fault, and the same at every try."""

MAX_BACKOFF: Final = 8.0
MAX_RETRY_AFTER: Final = 24 * 3600.0


def should_retry(retry: Retry, cause: str) -> bool:
    """Whether ``cause`` (``connect``, ``reset``, ``timeout`` or a status) allows it."""
    if cause in NEVER:
        return False
    return cause in retry.on or (len(cause) == 3 and f"{cause[0]}xx" in retry.on)


def backoff(tries: int, retry_after: float | None, chance: float) -> float:
    """Seconds to wait before the next try, after ``tries`` earlier retries.

    Full jitter: ``chance`` (0 to 1) of ``min(8, 0.5 * 2**tries)``, and never
    less than the upstream asked for.
    """
    return max(retry_after or 0.0, chance * min(MAX_BACKOFF, 0.5 * float(2**tries)))


def parse_retry_after(headers: Iterable[tuple[bytes, bytes]], wall: float) -> float | None:
    """Seconds that an upstream asks to wait; ``None`` if it says nothing sensible."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        lower = name.lower()
        if lower in (b"retry-after", b"retry-after-ms"):
            found[lower] = value.strip()
    wait = _number(found.get(b"retry-after-ms"))
    if wait is not None:
        return _sensible(wait / 1000)
    text = found.get(b"retry-after")
    if text is None:
        return None
    wait = _number(text)
    if wait is not None:
        return _sensible(wait)
    try:
        at = parsedate_to_datetime(text.decode("ascii", "replace"))
    except ValueError:
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return _sensible(max(0.0, at.timestamp() - wall))


def _number(text: bytes | None) -> float | None:
    if text is None or not text.replace(b".", b"", 1).isdigit():
        return None
    return float(text)


def _sensible(wait: float) -> float | None:
    return wait if 0 <= wait <= MAX_RETRY_AFTER else None


class RetryBudget:
    """How many retries an upstream may be given.

    Whoever makes a first attempt adds their route's share of a retry to
    ``earned``, which is all it costs them; each second adds ``per_second``.
    At most ten seconds' worth, and ten retries of the share, are saved up.
    """

    __slots__ = ("_at", "_per_second", "_saved", "earned")

    def __init__(self, per_second: float = 3.0) -> None:
        self.earned = 0.0
        self._per_second = per_second
        self._saved = per_second * 10
        self._at: float | None = None

    def take(self, now: float) -> bool:
        """Whether one more retry is within the budget; takes it if so."""
        elapsed = 0.0 if self._at is None else max(0.0, now - self._at)
        self._at = now
        more = min(elapsed, 10.0) * self._per_second + self.earned
        self.earned = 0.0
        self._saved = min(self._saved + more, self._per_second * 10 + 10)
        if self._saved < 1:
            return False
        self._saved -= 1
        return True
