"""The data plane: a parsed request becomes an exchange and goes its way."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from proxy.core.endpoint import Endpoint
from proxy.core.exchange import Exchange
from proxy.core.pipeline import Pipeline
from proxy.core.ports import Clock
from proxy.edge.client_leg import Labels, Leg
from proxy.edge.cors import Cors
from proxy.edge.intake import Incoming

UNKNOWN: Final = Endpoint(name="unknown", methods=frozenset())
"""What paths of no endpoint are counted as; admission refuses them."""

Find = Callable[[str], "tuple[str, Endpoint] | None"]


@dataclass(frozen=True, slots=True)
class Generation:
    """What one configuration made.  An exchange keeps the one it began with."""

    pipeline: Pipeline
    cors: Cors
    labels: Labels


class DataPlane:
    """Handles requests with whatever generation is current."""

    def __init__(self, first: Generation, find: Find, clock: Clock) -> None:
        self.current = first
        self._find = find
        self._clock = clock
        # Unique without a system call a request: 64 random bits a process.
        self._prefix = f"req_{secrets.token_hex(8)}"
        self._numbers = itertools.count(1)

    async def handle(self, incoming: Incoming) -> bool:
        """Serve one request; whether the connection may serve another."""
        message = incoming.message
        path, _, query = message.path.partition("?")
        if not path.startswith("/"):
            path, query = message.url.raw_path, message.url.raw_query_string
        found = self._find(path)
        if found is None:
            endpoint = UNKNOWN
        else:
            path, endpoint = found
        generation = self.current
        connection = incoming.connection
        x = Exchange(
            id=f"{self._prefix}{next(self._numbers):06x}",
            method=message.method,
            path=path,
            query=query.partition("#")[0],
            headers=message.headers,
            raw_headers=message.raw_headers,
            endpoint=endpoint,
            intake=incoming,
            peer=connection.peer,
            started=self._clock.now(),
        )
        leg = Leg(connection, incoming, generation.labels, self._clock)
        origin = message.headers.get("origin")
        if origin is not None and generation.cors.answers(x, origin, leg):
            return not leg.is_closing
        await generation.pipeline.run(x, leg)
        return not leg.is_closing


class SystemClock:
    """The clocks of this machine.  A loop's own clock may tick in milliseconds."""

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)  # noqa: TID251 - this is where the port ends
