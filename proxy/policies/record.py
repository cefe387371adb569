"""Say how everything ended: counters and one log line an exchange.

First of the stages, so that its end is the last: it sees what all others did.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.core.exchange import End, Exchange
from proxy.core.policy import Policy
from proxy.core.ports import Clock
from proxy.observe.log import RequestLog, line_for
from proxy.observe.metrics import Metrics
from proxy.rules.spending import used_by

_LEFT = End("client_gone")


class RecordPolicy(Policy):
    """Counts and logs; changes nothing."""

    name = "record"

    def __init__(
        self,
        metrics: Metrics,
        log: RequestLog | None,
        clock: Clock,
        price: Callable[[Exchange], None],
    ) -> None:
        self._metrics = metrics
        self._log = log
        self._clock = clock
        self._price = price

    def on_end(self, x: Exchange, end: End) -> None:
        """After the last byte, whatever happened."""
        if x.led is not None:
            # It is settled only after this, and on no line of its own.
            x.usage = used_by(x.led, _LEFT)
            self._price(x)
        now = self._clock.now()
        self._metrics.count(x, end, now)
        if self._log is not None:
            self._log.write(line_for(x, end, now, self._clock.wall()))
