"""The last outcomes of a check, and what they prove: of all, and of each scope."""

from __future__ import annotations

from itertools import islice
from typing import Final

from proxy.rules.evidence import lower_bound, upper_bound

WINDOW: Final = 1000
"""Outcomes that count; older ones tell of another time."""

SCOPE_WINDOW: Final = 200
"""Outcomes of one scope that count: enough to prove one wrong in a hundred too many."""

MAX_SCOPES: Final = 1000
"""Scopes that have outcomes of their own; who was looked at longest ago goes first."""

ENOUGH: Final = 5
"""Outcomes without which a scope has proven nothing."""

TWO: Final = 2


class Trials:
    """Whether what was looked at was wrong, over the last ``window`` looks.

    Each thing counts once.  ``at_most`` and ``at_least`` are the shares of
    wrong ones, 0 to 1, that all of them lie below and above, each with 95 %
    confidence and whatever the ``undecided`` are.
    """

    def __init__(self, window: int = WINDOW) -> None:
        self._window = window
        self._last: dict[bytes, bool | None] = {}
        self.wrong = 0
        self.undecided = 0
        self.at_most = 1.0
        self.at_least = 0.0

    @property
    def number(self) -> int:
        """How many count."""
        return len(self._last)

    def __contains__(self, thing: object) -> bool:
        return thing in self._last

    def add(self, thing: bytes, *, is_wrong: bool | None) -> None:
        """One more, unless ``thing`` was among the last; ``None`` is undecided."""
        if thing in self._last:
            return
        if len(self._last) == self._window:
            oldest = self._last.pop(next(iter(self._last)))
            self.wrong -= oldest is True
            self.undecided -= oldest is None
        self._last[thing] = is_wrong
        self.wrong += is_wrong is True
        self.undecided += is_wrong is None
        self.at_most = upper_bound(self.wrong + self.undecided, self.number)
        self.at_least = lower_bound(self.wrong, self.number)


class ScopedTrials:
    """Outcomes of one cache: of all, and of each scope by itself.

    No scope alone can speak for others: what it has looked at itself decides,
    and only where that is not enough, and two scopes have been proven bad, do
    all outcomes together.  Only those that were decided: an undecided one proves
    nothing, and drives out nothing that does.  ``looked`` has all, ``whole`` and
    the scopes those alone.
    """

    def __init__(self) -> None:
        self.looked = Trials()
        self.whole = Trials()
        self._scopes: dict[str, Trials] = {}

    def wants(self, thing: bytes) -> bool:
        """Whether an outcome of ``thing`` would count."""
        return thing not in self.looked and thing not in self.whole

    def add(self, scope: str, thing: bytes, *, is_wrong: bool | None) -> bool:
        """One more; whether it counts.  ``None`` is undecided."""
        if not self.wants(thing):
            return False
        self.looked.add(thing, is_wrong=is_wrong)
        if is_wrong is None:
            return True
        self.whole.add(thing, is_wrong=is_wrong)
        own = self._scopes.pop(scope, None) or Trials(SCOPE_WINDOW)
        self._scopes[scope] = own  # at the end: looked at last, forgotten last
        own.add(thing, is_wrong=is_wrong)
        if len(self._scopes) > MAX_SCOPES:
            del self._scopes[next(iter(self._scopes))]
        return True

    def is_bad(self, scope: str, max_error: float) -> bool:
        """Whether more than ``max_error`` is proven wrong of what ``scope`` is served."""
        own = self._scopes.get(scope)
        if own is not None and own.number >= ENOUGH:
            return own.at_least > max_error
        return self.is_bad_for_all(max_error)

    def is_bad_for_all(self, max_error: float) -> bool:
        """Whether it is for those who have no outcomes of their own."""
        if self.whole.at_least <= max_error:
            return False
        bad = (1 for own in self._scopes.values() if _is_bad(own, max_error))
        return sum(islice(bad, TWO)) == TWO

    def bad_scopes(self, max_error: float) -> int:
        """How many scopes are bad by their own outcomes."""
        return sum(_is_bad(own, max_error) for own in self._scopes.values())


def _is_bad(own: Trials, max_error: float) -> bool:
    return own.number >= ENOUGH and own.at_least > max_error
