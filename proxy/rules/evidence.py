"""What a count of failures among trials proves about their share.

The bounds are Clopper and Pearson's ("The use of confidence or fiducial limits
illustrated in the case of the binomial", Biometrika 26, 1934), one-sided: no
approximation, so that they hold for few trials and for none that failed.
"""

from __future__ import annotations

from math import exp, lgamma, log, log1p
from typing import Final

_HALVINGS: Final = 60
_NEGLIGIBLE: Final = 1e-17


def upper_bound(wrong: int, of: int, confidence: float = 0.95) -> float:
    """The share, 0 to 1, that failures are below with ``confidence``.

    ``wrong`` of ``of`` trials failed.  No trial proves nothing: 1.
    """
    _look_at(wrong, of, confidence)
    if wrong == of:
        return 1.0
    low, high = wrong / of, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if _at_most(wrong, of, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def lower_bound(right: int, of: int, confidence: float = 0.95) -> float:
    """The share, 0 to 1, that successes are above with ``confidence``.

    ``right`` of ``of`` trials succeeded.  No trial proves nothing: 0.
    """
    _look_at(right, of, confidence)
    return 1.0 - upper_bound(of - right, of, confidence)


def _look_at(count: int, of: int, confidence: float) -> None:
    if not 0 <= count <= of:
        raise ValueError("the count is from 0 to the number of trials")
    if not 0 < confidence < 1:
        raise ValueError("the confidence is above 0 and below 1")


def _at_most(k: int, n: int, p: float) -> float:
    """The probability of at most ``k`` failures in ``n`` trials; p is over k / n.

    There each term is smaller than the one above it, so the sum from ``k`` down
    ends as soon as no term matters, after some multiple of sqrt(n) of them.
    """
    if p >= 1:
        return 0.0
    choose = lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
    first = exp(choose + k * log(p) + (n - k) * log1p(-p))
    odds = (1 - p) / p
    total = term = 1.0
    for i in range(k, 0, -1):
        term *= i / (n - i + 1) * odds
        total += term
        if term < _NEGLIGIBLE * total:
            break
    return first * total
