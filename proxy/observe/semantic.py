"""What semantic caches did, and how often they were wrong."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric

from proxy.observe.metrics import MAX_TENANTS

log = logging.getLogger("sidestream.semantic")

Verdict = Literal["right", "wrong", "undecided", "unknown", "not compared"]
"""Of an answer to a near question.  Undecided: its words do not tell; unknown: who would
tell did not; it is not compared where that would prove nothing new.
"""


class SemanticMeter:
    """Counters of this process, by cache.  Outlives a reload.

    ``count`` guesses the tokens of a text.
    """

    def __init__(self, count: Callable[[str], int] = len) -> None:
        self._count = count
        self.calls: Counter[tuple[str, str, str]] = Counter()
        self.tokens: Counter[tuple[str, str]] = Counter()
        self._tenants: set[str] = set()
        self.results: Counter[tuple[str, str]] = Counter()
        self.refused: Counter[tuple[str, str]] = Counter()
        self.verified: Counter[tuple[str, str]] = Counter()

    def result(self, cache: str, result: str) -> None:
        """One question: ``hit``, ``would_hit``, ``miss`` or ``no_vector``."""
        self.results[cache, result] += 1

    def refusal(self, cache: str, why: str) -> None:
        """A near question that the lexical guard set apart."""
        self.refused[cache, why] += 1

    def verdict(self, cache: str, verdict: Verdict) -> None:
        """An answer that was held against the upstream's own."""
        self.verified[cache, verdict] += 1

    def compared(
        self, cache: str, request: str, asker: str, cosine: float, verdict: Verdict, *,
        is_served: bool,
    ) -> None:  # fmt: skip
        """``request`` was or would have been given the answer to that of ``asker``."""
        log.info("cache %s: request %s %s given the answer to %s, cosine %.3f: %s", cache, request,
                 "was" if is_served else "would be", asker or "-", cosine, verdict)  # fmt: skip

    def embedded(self, cache: str, scope: str, texts: Sequence[str], result: str) -> None:
        """Vectors of ``texts`` were ``made``, or asked for and ``failed``; nobody is charged."""
        # A scope is a tenant, or all of them together.
        tenant = scope.removeprefix("t.") if scope != "g" else ""
        if tenant not in self._tenants:
            if len(self._tenants) >= MAX_TENANTS:
                tenant = "other"
            self._tenants.add(tenant)
        self.calls[cache, tenant, result] += 1
        if result == "made":
            self.tokens[cache, tenant] += sum(map(self._count, texts))

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
        families: tuple[tuple[str, str, tuple[str, ...], Counter[Any]], ...] = (
            ("results", "Questions by what came of looking for near ones", ("result",),
             self.results),
            ("refused", "Near questions set apart by their words", ("reason",), self.refused),
            ("verified", "Answers held against the upstream's", ("verdict",), self.verified),
            ("embeddings", "Calls for vectors, which no tenant is charged for",
             ("tenant", "result"), self.calls),
            ("embedding_tokens", "Tokens of those calls, as estimated", ("tenant",), self.tokens),
        )  # fmt: skip
        for name, text, labels, counts in families:
            family = CounterMetricFamily(
                f"sidestream_cache_semantic_{name}", text, labels=("cache", *labels)
            )
            for values, number in counts.items():
                family.add_metric(values, number)
            yield family
