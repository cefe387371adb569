"""Every metric of the program, and the counters behind them.

A request touches plain integers found by one dictionary look-up; the
Prometheus families are made from them when somebody scrapes.  A
``prometheus_client`` counter costs about 0.6 µs an increment and a histogram
1.5, of which a request would need a dozen.

Label sets are closed: names come from the configuration and from tables in
this package, never from a request.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from proxy.core.errors import ProxyError
from proxy.core.exchange import End, Exchange
from proxy.observe.faults import passed_on

LATENCY: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    120.0, 300.0, 600.0,
)  # fmt: skip
"""Seconds; beyond 60 s because answers of reasoning models take that long."""

OVERHEAD: Final = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0)
"""Seconds of our own, to the head of the answer."""

MAX_TENANTS: Final = 1000
"""Tenants with labels of their own; later ones are counted as ``other``."""

LABELS: Final = ("tenant", "route", "target", "endpoint", "status")


def status_of(x: Exchange, end: End) -> int:
    """What the client was told; 499 (nginx's word) if it left before it was."""
    return 499 if not x.status and end.kind == "client_gone" else x.status


class Histogram:
    """Counts in buckets, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Add one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts in the form Prometheus takes."""
        names = [*(repr(b) for b in self.bounds), "+Inf"]
        return list(zip(names, map(float, accumulate(self.counts)), strict=True))


class _Series:
    """All that is counted for one set of labels."""

    __slots__ = ("attempts", "cached", "completion", "cost_nanos", "duration", "events",
                 "overhead", "prompt", "requests", "ttft")  # fmt: skip

    def __init__(self) -> None:
        self.requests = 0
        self.attempts = 0
        self.prompt = 0
        self.completion = 0
        self.cached = 0
        self.cost_nanos = 0
        self.events = 0
        self.duration = Histogram(LATENCY)
        self.ttft = Histogram(LATENCY)
        self.overhead = Histogram(OVERHEAD)


Gauges = Callable[[], Iterable[tuple[str, str, dict[str, str], float]]]
"""Name, help, labels and value of what is read at the moment of a scrape."""


class Metrics:
    """The counters of this process.  Outlives a reload."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str, str, str, int], _Series] = {}
        self._errors: dict[tuple[str, str], int] = {}
        self._ends: dict[str, int] = {}
        self._tenants: set[str] = set()
        self._gauges: list[Gauges] = []
        self._redactions: dict[tuple[str, str], int] = {}
        self._counters: dict[tuple[str, str], int] = {}
        self._labelled: dict[tuple[str, str], dict[tuple[tuple[str, str], ...], int]] = {}
        self._more: list[Callable[[], Iterable[Metric]]] = []

    def watch(self, gauges: Gauges) -> None:
        """Ask ``gauges`` for values whenever somebody scrapes."""
        self._gauges.append(gauges)

    def include(self, collect: Callable[[], Iterable[Metric]]) -> None:
        """Give ``collect``'s families too whenever somebody scrapes."""
        self._more.append(collect)

    def add(self, name: str, text: str, amount: int = 1) -> None:
        """Count something that has no labels, such as reloads."""
        self._counters[name, text] = self._counters.get((name, text), 0) + amount

    def add_labelled(self, name: str, text: str, labels: dict[str, str], amount: int = 1) -> None:
        """Count something by labels, whose values are from a closed set."""
        family = self._labelled.setdefault((name, text), {})
        key = tuple(labels.items())
        family[key] = family.get(key, 0) + amount

    def redacted(self, kind: str, action: str, amount: int) -> None:
        """Add findings of redaction; kinds are names of the configuration."""
        key = (kind, action)
        self._redactions[key] = self._redactions.get(key, 0) + amount

    def count(self, x: Exchange, end: End, now: float) -> None:
        """Add one exchange that is over."""
        tenant = self.tenant_label(x.tenant)
        status = status_of(x, end)
        key = (tenant, x.route, x.target.name if x.target else "", x.endpoint.name, status)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series()
        series.requests += 1
        series.attempts += x.attempts
        series.events += x.events
        if x.usage is not None:
            series.prompt += x.usage.prompt
            series.completion += x.usage.completion
            series.cached += x.usage.cached
        if x.cost_nanos is not None:
            series.cost_nanos += x.cost_nanos
        series.duration.observe(now - x.started)
        if x.first_byte_at:
            series.ttft.observe(x.first_byte_at - x.started)
        if x.sent_at and x.attempts:
            series.overhead.observe(max(0.0, x.overhead_s))
        self._ends[end.kind] = self._ends.get(end.kind, 0) + 1
        error = end.error
        found: tuple[str, str] | None = None
        if error is None:
            found = passed_on(x, end)
        elif end.kind != "client_gone":
            found = (
                (error.fault, error.code or error.type)
                if isinstance(error, ProxyError)
                else ("proxy", "internal_error")
            )
        if found is not None:
            self._errors[found] = self._errors.get(found, 0) + 1

    def tenant_label(self, tenant: str) -> str:
        """The tenant, or ``other`` if there are too many."""
        if tenant in self._tenants:
            return tenant
        if len(self._tenants) >= MAX_TENANTS:
            return "other"
        self._tenants.add(tenant)
        return tenant

    def collect(self) -> Iterator[Metric]:
        """The families, as ``prometheus_client`` collectors give them."""
        yield from self._requests()
        yield from self._histograms()
        errors = CounterMetricFamily(
            "sidestream_errors", "Refusals and failures by whose fault", labels=("fault", "code")
        )
        for (fault, code), number in self._errors.items():
            errors.add_metric((fault, code), number)
        yield errors
        ends = CounterMetricFamily("sidestream_ends", "How exchanges ended", labels=("kind",))
        for kind, number in self._ends.items():
            ends.add_metric((kind,), number)
        yield ends
        redactions = CounterMetricFamily(
            "sidestream_redactions", "Findings of redaction", labels=("kind", "action")
        )
        for (kind, action), number in self._redactions.items():
            redactions.add_metric((kind, action), number)
        yield redactions
        for (name, text), number in self._counters.items():
            yield CounterMetricFamily(name, text, value=number)
        for (name, text), rows in self._labelled.items():
            names = tuple(label for label, _ in next(iter(rows)))
            counted = CounterMetricFamily(name, text, labels=names)
            for row, number in rows.items():
                counted.add_metric(tuple(value for _, value in row), number)
            yield counted
        yield from self._watched()
        for collect in self._more:
            yield from collect()

    def _requests(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("sidestream_requests", "Exchanges ended", labels=LABELS)
        attempts = CounterMetricFamily("sidestream_attempts", "Attempts upstream", labels=LABELS)
        events = CounterMetricFamily("sidestream_events", "Stream events sent on", labels=LABELS)
        tokens = CounterMetricFamily("sidestream_tokens", "Tokens", labels=(*LABELS, "kind"))
        cost = CounterMetricFamily("sidestream_cost_usd", "Cost in USD", labels=LABELS)
        for labels, s in self._series.items():
            row = (*labels[:4], str(labels[4]))
            requests.add_metric(row, s.requests)
            attempts.add_metric(row, s.attempts)
            events.add_metric(row, s.events)
            if s.prompt or s.completion:
                tokens.add_metric((*row, "input"), s.prompt)
                tokens.add_metric((*row, "cached"), s.cached)
                tokens.add_metric((*row, "output"), s.completion)
            if s.prompt or s.completion or s.cost_nanos:
                cost.add_metric(row, s.cost_nanos / 1e9)
        yield from (requests, attempts, events, tokens, cost)

    def _histograms(self) -> Iterator[Metric]:
        for name, text in (
            ("duration", "Seconds from the request's head to the answer's last byte"),
            ("ttft", "Seconds to the first content of the answer"),
            ("overhead", "Seconds of our own, to the head of the answer"),
        ):
            family = HistogramMetricFamily(f"sidestream_{name}_seconds", text, labels=LABELS)
            for labels, series in self._series.items():
                histogram: Histogram = getattr(series, name)
                row = (*labels[:4], str(labels[4]))
                family.add_metric(row, histogram.buckets(), histogram.total)
            yield family

    def _watched(self) -> Iterator[Metric]:
        families: dict[str, GaugeMetricFamily] = {}
        for gauges in self._gauges:
            for name, text, labels, value in gauges():
                family = families.get(name)
                if family is None:
                    family = families[name] = GaugeMetricFamily(name, text, labels=tuple(labels))
                family.add_metric(tuple(labels.values()), value)
        yield from families.values()
