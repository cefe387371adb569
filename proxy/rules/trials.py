"""The last outcomes of a check, and what they prove."""

from __future__ import annotations

from collections import deque
from typing import Final

from proxy.rules.evidence import lower_bound, upper_bound

WINDOW: Final = 1000
"""Outcomes that count; older ones tell of another time."""


class Trials:
    """Whether what was looked at was wrong, over the last ``WINDOW`` looks.

    ``at_most`` and ``at_least`` are the shares of wrong ones, 0 to 1, that all
    of them lie below and above, each with 95 % confidence.
    """

    def __init__(self) -> None:
        self._last: deque[bool] = deque(maxlen=WINDOW)
        self.wrong = 0
        self.at_most = 1.0
        self.at_least = 0.0

    @property
    def number(self) -> int:
        """How many count."""
        return len(self._last)

    def add(self, *, is_wrong: bool) -> None:
        """One more."""
        if len(self._last) == WINDOW:
            self.wrong -= self._last[0]
        self._last.append(is_wrong)
        self.wrong += is_wrong
        self.at_most = upper_bound(self.wrong, self.number)
        self.at_least = lower_bound(self.wrong, self.number)
