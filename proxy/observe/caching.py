"""What caches did: hits by layer, what they avoided, and what was not kept and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from proxy.observe.metrics import Histogram

AGES: Final = (1.0, 10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0, 604_800.0)
"""Seconds."""


class _Avoided:
    """What the hits of one cache have avoided, and how old they were."""

    __slots__ = ("ages", "nanos", "tokens")

    def __init__(self) -> None:
        self.tokens = 0
        self.nanos = 0
        self.ages = Histogram(AGES)


class CacheMeter:
    """Counters of this process.  Outlives a reload; labels are names of the
    configuration and words of this program.
    """

    def __init__(self) -> None:
        self._results: Counter[tuple[str, str]] = Counter()
        self._unstored: Counter[tuple[str, str]] = Counter()
        self._avoided: dict[str, _Avoided] = {}

    def result(self, cache: str, result: str) -> None:
        """One request; ``result`` is a word such as ``miss``, ``follow`` or ``bypass``."""
        self._results[cache, result] += 1

    def hit(self, cache: str, result: str, age: float, tokens: int, nanos: int) -> None:
        """A request that was answered, and what that avoided; ``result`` is the layer, of
        several the farthest, or ``stale``, ``semantic`` or ``partial``.
        """
        self._results[cache, result] += 1
        avoided = self._avoided.get(cache)
        if avoided is None:
            avoided = self._avoided[cache] = _Avoided()
        avoided.tokens += tokens
        avoided.nanos += nanos
        avoided.ages.observe(age)

    def unstored(self, cache: str, reason: str) -> None:
        """An answer that was not kept."""
        self._unstored[cache, reason] += 1

    def collect(self) -> Iterator[Metric]:
        """The families."""
        results = CounterMetricFamily(
            "sidestream_cache_requests",
            "Requests by what the cache did",
            labels=("cache", "result"),
        )
        for (cache, result), number in self._results.items():
            results.add_metric((cache, result), number)
        unstored = CounterMetricFamily(
            "sidestream_cache_unstored", "Answers not kept", labels=("cache", "reason")
        )
        for (cache, reason), number in self._unstored.items():
            unstored.add_metric((cache, reason), number)
        tokens = CounterMetricFamily(
            "sidestream_cache_tokens_avoided", "Tokens not used", labels=("cache",)
        )
        dollars = CounterMetricFamily(
            "sidestream_cache_usd_avoided", "Dollars not spent", labels=("cache",)
        )
        ages = HistogramMetricFamily(
            "sidestream_cache_age_seconds", "Age of what was served", labels=("cache",)
        )
        for cache, avoided in self._avoided.items():
            tokens.add_metric((cache,), avoided.tokens)
            dollars.add_metric((cache,), avoided.nanos / 1e9)
            ages.add_metric((cache,), avoided.ages.buckets(), avoided.ages.total)
        yield from (results, unstored, tokens, dollars, ages)
