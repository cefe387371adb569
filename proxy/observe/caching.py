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


class CacheMeter:
    """Counters of this process.  Outlives a reload; labels are names of the
    configuration and words of this program.
    """

    def __init__(self) -> None:
        self._results: Counter[tuple[str, str]] = Counter()
        self._unstored: Counter[tuple[str, str]] = Counter()
        self._tokens: Counter[str] = Counter()
        self._nanos: Counter[str] = Counter()
        self._ages: dict[str, Histogram] = {}

    def result(self, cache: str, result: str) -> None:
        """One request; ``result`` is a word such as ``miss``, ``follow`` or ``bypass``."""
        self._results[cache, result] += 1

    def hit(self, cache: str, result: str, age: float, tokens: int, nanos: int) -> None:
        """A request that was answered, and what that avoided."""
        self._results[cache, result] += 1
        self._tokens[cache] += tokens
        self._nanos[cache] += nanos
        ages = self._ages.get(cache)
        if ages is None:
            ages = self._ages[cache] = Histogram(AGES)
        ages.observe(age)

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
        for cache, number in self._tokens.items():
            tokens.add_metric((cache,), number)
        dollars = CounterMetricFamily(
            "sidestream_cache_usd_avoided", "Dollars not spent", labels=("cache",)
        )
        for cache, number in self._nanos.items():
            dollars.add_metric((cache,), number / 1e9)
        ages = HistogramMetricFamily(
            "sidestream_cache_age_seconds", "Age of what was served", labels=("cache",)
        )
        for cache, histogram in self._ages.items():
            ages.add_metric((cache,), histogram.buckets(), histogram.total)
        yield from (results, unstored, tokens, dollars, ages)
