"""Work that goes on by itself on the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine

from proxy.core.traces import log_trace

log = logging.getLogger("sidestream.cache")


class LoopTasks:
    """The port ``Tasks`` on an event loop; keeps what it has begun."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._running: set[asyncio.Task[None]] = set()
        self.bell = asyncio.Event
        self.pause = asyncio.sleep

    def begin(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Let ``work`` go on by itself; what it raises is logged without its message."""
        task = self._loop.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log_trace(log, "work that nobody waits for failed", error)

    def close(self) -> None:
        """End all that is going on."""
        for task in tuple(self._running):
            task.cancel()
