"""Say how everything ended: counters and one log line an exchange.

First of the stages, so that its end is the last: it sees what all others did.
"""

from __future__ import annotations

from proxy.core.exchange import End, Exchange
from proxy.core.policy import Policy
from proxy.core.ports import Clock
from proxy.observe.log import RequestLog, line_for
from proxy.observe.metrics import Metrics


class RecordPolicy(Policy):
    """Counts and logs; changes nothing."""

    name = "record"

    def __init__(self, metrics: Metrics, log: RequestLog | None, clock: Clock) -> None:
        self._metrics = metrics
        self._log = log
        self._clock = clock

    def on_end(self, x: Exchange, end: End) -> None:
        """After the last byte, whatever happened."""
        now = self._clock.now()
        self._metrics.count(x, end, now)
        if self._log is not None:
            self._log.write(line_for(x, end, now, self._clock.wall()))
