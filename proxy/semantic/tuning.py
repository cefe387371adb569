"""What thresholds of similarity would have done to pairs that people have judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import floor
from typing import Final

from proxy.rules.evidence import upper_bound
from proxy.semantic.pairs import Pair

MOST_FALSE: Final = 0.05
"""Share of different pairs that may be taken for the same."""

LEAST: Final = 59
"""Different pairs that prove that share with 95 % confidence, if none is taken for the same."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A pair, its cosine, and what the lexical guard says sets it apart, also where
    it forgives words.
    """

    pair: Pair
    cosine: float
    why: str
    unforgiven: str


@dataclass(frozen=True, slots=True)
class Row:
    """One threshold: how many pairs it takes for the same, of how many."""

    threshold: float
    hits: int
    same: int
    false_hits: int
    different: int

    @property
    def recall(self) -> float | None:
        """Of the same, those that are found."""
        return self.hits / self.same if self.same else None

    @property
    def false_rate(self) -> float | None:
        """Of the different, those that are taken for the same."""
        return self.false_hits / self.different if self.different else None

    @property
    def false_bound(self) -> float:
        """What that share is below, with 95 % confidence."""
        return upper_bound(self.false_hits, self.different)

    @property
    def precision(self) -> float | None:
        """Of those taken for the same, those that are."""
        taken = self.hits + self.false_hits
        return self.hits / taken if taken else None


def thresholds(start: float, stop: float, step: float) -> list[float]:
    """From ``start`` to ``stop``, both included where the steps meet it.

    Raises ``ValueError`` for what is no range of cosines.
    """
    if start > stop:
        raise ValueError(f"--from {start:g} is above --to {stop:g}")
    if not 0 < start <= stop <= 1:
        raise ValueError("thresholds go from above 0 up to at most 1")
    if not 0.001 <= step <= 1:
        raise ValueError("a step is from 0.001 to 1")
    return [round(start + i * step, 10) for i in range(floor((stop - start) / step + 1e-9) + 1)]


def rows(judged: Sequence[Judged], at: Sequence[float], why: Callable[[Judged], str]) -> list[Row]:
    """One row a threshold, of those pairs that nothing sets apart."""
    same = sum(one.pair.same for one in judged)
    left = [one for one in judged if not why(one)]
    return [
        Row(
            threshold,
            sum(one.pair.same and one.cosine >= threshold for one in left),
            same,
            sum(not one.pair.same and one.cosine >= threshold for one in left),
            len(judged) - same,
        )
        for threshold in at
    ]


def lowest(table: Sequence[Row]) -> Row | None:
    """The lowest threshold with few enough false hits; none where no pair could be one."""
    for row in table:
        if row.false_rate is not None and row.false_rate <= MOST_FALSE:
            return row
    return None


def advice(table: Sequence[Row]) -> str:
    """The lowest threshold in words, or why there is none."""
    different = table[0].different
    if not different:
        return "not known: all pairs are the same"
    if different < LEAST:
        return (
            f"not known: {different} different pairs prove nothing; at least {LEAST} are needed, "
            f"of which even then none may be a false hit"
        )
    row = lowest(table)
    if row is None:
        return "none of these"
    said = (
        f"{row.threshold:g}: {row.hits} of {row.same} same, {row.false_hits} of {row.different} "
        f"different ({percent(row.false_rate)}; with 95% confidence below "
        f"{percent(row.false_bound)})"
    )
    if not row.hits:
        return f"{said}; it would serve nothing"
    return f"{said}; lower ones were not tried (--from)" if row is table[0] else said


def percent(share: float | None) -> str:
    """A share as people read it."""
    return "-" if share is None else f"{100 * share:.1f}%"


def worst(judged: Sequence[Judged], most: int) -> Iterator[Judged]:
    """Different pairs that look most alike, the most alike first."""
    different = [one for one in judged if not one.pair.same]
    yield from sorted(different, key=lambda one: -one.cosine)[:most]


def lost(judged: Sequence[Judged], most: int) -> Iterator[Judged]:
    """Same pairs that the guard keeps apart, the most alike first."""
    kept_apart = [one for one in judged if one.pair.same and one.why]
    yield from sorted(kept_apart, key=lambda one: -one.cosine)[:most]
