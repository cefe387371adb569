"""When a process was told to leave, and when nothing is waited for any more."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from proxy.core.ports import Clock

log = logging.getLogger("sidestream")

AGAIN_S: Final = 1.0
"""Seconds within which signals are one: shells, supervisors and container runtimes send one
to the program and one to its group."""


class Leaving:
    """``begun`` is set when it is told to leave, ``forced`` when to do so at once."""

    def __init__(self, clock: Clock) -> None:
        self.begun = asyncio.Event()
        self.forced = asyncio.Event()
        self._clock = clock
        self._since = 0.0

    def told(self) -> None:
        """A signal came: the first begins to leave, one ``AGAIN_S`` after it cuts short."""
        if not self.begun.is_set():
            self._since = self._clock.now()
            self.begun.set()
        elif self._clock.now() - self._since >= AGAIN_S:
            self.force()

    def force(self) -> None:
        """Wait for nothing."""
        if not self.forced.is_set():
            log.warning("told to leave once more, so nothing is waited for")
            self.begun.set()
            self.forced.set()

    async def pause(self, seconds: float) -> None:
        """Let time pass, as long as there is any."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.forced.wait(), seconds)
