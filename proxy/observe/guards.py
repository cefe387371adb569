"""Verdicts of guards, counted.  Outlives a reload."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric


class GuardCounts:
    """How often each guard, which are named in the configuration, said what."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str], int] = {}

    def add(self, guard: str, action: str, verdict: str) -> None:
        """Count one verdict: ``pass``, ``hit`` or ``error``."""
        key = (guard, action, verdict)
        self._counts[key] = self._counts.get(key, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """The family, for ``Metrics.include``."""
        family = CounterMetricFamily(
            "sidestream_guard_verdicts",
            "Verdicts of guards",
            labels=("guard", "action", "verdict"),
        )
        for labels, number in self._counts.items():
            family.add_metric(labels, number)
        yield family
