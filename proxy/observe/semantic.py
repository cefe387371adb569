"""What semantic caches did, and how often they were wrong."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric

log = logging.getLogger("sidestream.semantic")


class SemanticMeter:
    """Counters of this process, by cache.  Outlives a reload."""

    def __init__(self) -> None:
        self.results: Counter[tuple[str, str]] = Counter()
        self.refused: Counter[tuple[str, str]] = Counter()
        self.verified: Counter[tuple[str, str]] = Counter()

    def result(self, cache: str, result: str) -> None:
        """One question: ``hit``, ``would_hit``, ``miss`` or ``no_vector``."""
        self.results[cache, result] += 1

    def refusal(self, cache: str, why: str) -> None:
        """A near question that the lexical guard set apart."""
        self.refused[cache, why] += 1

    def verdict(self, cache: str, *, is_wrong: bool) -> None:
        """An answer that was held against the upstream's own."""
        self.verified[cache, "wrong" if is_wrong else "right"] += 1

    def turned(self, cache: str, tenant: str, *, serves: bool) -> None:
        """A tenant's near questions are answered no more, or again."""
        if serves:
            log.info("cache %s answers near questions of tenant %s again", cache, tenant)
        else:
            log.warning(
                "cache %s only measures near questions of tenant %s: more than max_error of its "
                "answers are proven wrong", cache, tenant,
            )  # fmt: skip

    def collect(self) -> Iterator[Metric]:
        """The families."""
        for name, text, label, counts in (
            ("results", "Questions by what came of looking for near ones", "result", self.results),
            ("refused", "Near questions set apart by their words", "reason", self.refused),
            ("verified", "Answers held against the upstream's", "verdict", self.verified),
        ):
            family = CounterMetricFamily(
                f"sidestream_cache_semantic_{name}", text, labels=("cache", label)
            )
            for labels, number in counts.items():
                family.add_metric(labels, number)
            yield family
