"""Metrics of the queues before contended upstreams.  Outlives a reload."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from proxy.observe.metrics import LATENCY, Histogram

GAUGES: Final = {
    "waiting": ("sidestream_queue_depth", "Requests that wait for a contended upstream"),
    "in_flight": ("sidestream_queue_in_flight", "Requests that hold a slot of an upstream"),
    "cap": ("sidestream_queue_cap", "Requests that an upstream is given at once now"),
}


class Queues:
    """What is told by the gates, and read from them.

    ``states`` gives one mapping a gate: its ``upstream`` and the numbers that
    ``GAUGES`` names.
    """

    def __init__(self, states: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
        self._states = states
        self._waits: dict[str, Histogram] = {}
        self._refusals: dict[tuple[str, str], int] = {}

    def waits(self, upstream: str) -> Callable[[float], None]:
        """Takes the seconds that each request waited for its slot."""
        return self._waits.setdefault(upstream, Histogram(LATENCY)).observe

    def refused(self, upstream: str, reason: str) -> None:
        """A request was not let in."""
        key = (upstream, reason)
        self._refusals[key] = self._refusals.get(key, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """The families; none where no upstream has a queue."""
        if not self._waits:
            return
        states = [*self._states()]
        for field, (name, text) in GAUGES.items():
            gauge = GaugeMetricFamily(name, text, labels=("upstream",))
            for state in states:
                gauge.add_metric((state["upstream"],), state[field])
            yield gauge
        waits = HistogramMetricFamily(
            "sidestream_queue_wait_seconds", "Seconds waited for a slot", labels=("upstream",)
        )
        for upstream, histogram in self._waits.items():
            waits.add_metric((upstream,), histogram.buckets(), histogram.total)
        yield waits
        refusals = CounterMetricFamily(
            "sidestream_queue_refusals", "Requests not let in", labels=("upstream", "reason")
        )
        for labels, number in self._refusals.items():
            refusals.add_metric(labels, number)
        yield refusals
