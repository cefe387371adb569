"""Tells people: a log line always, a POST where a webhook is configured."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

import aiohttp
import orjson

from proxy.core.alert import Alert
from proxy.core.ports import Clock
from proxy.core.traces import log_trace

log = logging.getLogger("sidestream.alerts")

MAX_WAITING: Final = 100
TRIES: Final = 4
A_MINUTE: Final = 20
"""Alerts of one tenant in a minute; budgets of users could be as many as users."""
TIMEOUT_S: Final = 5.0

Add = Callable[[str, str], None]
"""Counts one by a metric's name and text."""


class Webhook:
    """Implements ``core.alert.Alerts``.  ``url`` may change; empty sends nothing.

    One alert at a time is sent, in order, tried four times with growing
    pauses; what the queue cannot hold is dropped and counted.
    """

    def __init__(self, clock: Clock, add: Add, *, pause_s: float = 1.0) -> None:
        self.url = ""
        self._clock = clock
        self._add = add
        self._pause_s = pause_s
        self._minute = 0
        self._told: dict[str, int] = {}
        self._waiting: deque[bytes] = deque()
        self._task: asyncio.Task[None] | None = None

    def tell(self, alert: Alert) -> None:
        """Log it and see to its delivery."""
        self._add("sidestream_alerts", "Alerts told")
        minute = int(self._clock.wall() // 60)
        if minute != self._minute:
            self._minute = minute
            self._told.clear()
        told = self._told[alert.tenant] = self._told.get(alert.tenant, 0) + 1
        if told > A_MINUTE:
            self._add("sidestream_alerts_dropped", "Alerts that no webhook took")
            return
        more = "; more of this tenant in this minute are only counted" if told == A_MINUTE else ""
        log.warning("%s: %s%s", alert.kind, alert.text, more)
        if not self.url:
            return
        if len(self._waiting) >= MAX_WAITING:
            self._add("sidestream_alerts_dropped", "Alerts that no webhook took")
            return
        self._waiting.append(
            orjson.dumps(
                {
                    "kind": alert.kind,
                    "tenant": alert.tenant,
                    "text": alert.text,
                    "time": int(self._clock.wall()),
                    **alert.facts,
                }
            )
        )
        if self._task is None:
            self._begin()

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._send_all())
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            # Its message may hold the URL, and that a secret.
            log_trace(log, "an alert could not be sent", error)
            self._drop()
        if self._waiting:
            self._begin()

    def _drop(self) -> None:
        """Let go of the one that was being sent."""
        self._waiting.popleft()
        self._add("sidestream_alerts_dropped", "Alerts that no webhook took")

    async def _send_all(self) -> None:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while self._waiting:
                if await self._send(session, self._waiting[0]):
                    self._waiting.popleft()
                else:
                    self._drop()

    async def _send(self, session: aiohttp.ClientSession, body: bytes) -> bool:
        headers = {"content-type": "application/json"}
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(self._pause_s * 2.0**attempt)
            try:
                async with session.post(
                    self.url, data=body, headers=headers, allow_redirects=False
                ) as answer:
                    if answer.status < 300:
                        return True
                    why = str(answer.status)
                    if 400 <= answer.status < 500 and answer.status not in (408, 429):
                        break
            except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
                why = type(exc).__name__  # its text may hold the URL, and that a secret
        log.error("the alert webhook took nothing: %s", why)
        return False

    async def close(self, within_s: float = 2.0) -> None:
        """Give what waits a last chance."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._task is not None:
                    await asyncio.wait({self._task})
                    await asyncio.sleep(0)  # what is to follow begins
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=1.0)
