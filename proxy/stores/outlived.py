"""Work whose failing must not end the work after it."""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Any, Final, Self

from proxy.core.traces import log_trace

AGAIN_S: Final = 0.1
"""Seconds until a task that was cancelled and goes on is cancelled again."""

log = logging.getLogger("sidestream")


class Outlived:
    """``with Outlived("a step")``: what fails within is logged, without its message,
    and goes no further.  Being cancelled is no failure.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self.is_failed = False

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Whether it was a failure, which is dealt with now."""
        if isinstance(error, Exception):
            self.is_failed = True
            log_trace(log, f"{self._what} failed", error)
        return self.is_failed


async def ended(task: asyncio.Task[Any]) -> None:
    """End a task, whatever it fails of; again, as libraries swallow being cancelled."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=AGAIN_S)
    if not task.cancelled():
        task.exception()  # seen, or it is told of with its message
