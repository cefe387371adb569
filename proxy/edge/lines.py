"""Log lines to a file descriptor, from a thread of their own.

Lines gather on the loop and leave in one write a tenth of a second later at
the latest.  If the reader of the pipe stalls, lines are dropped and counted;
requests never wait for a log.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Iterable
from typing import Final

MAX_WAITING: Final = 64
"""Batches that may wait for the reader."""

MAX_BATCH: Final = 2000
"""Lines that leave at once, however young."""


class LineWriter:
    """The ``RequestLog`` on a file descriptor."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, descriptor: int, *, every_s: float = 0.1
    ) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._every_s = every_s
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._batches: queue.Queue[bytes | None] = queue.Queue(MAX_WAITING)
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Take one line, its line break included."""
        self._lines.append(line)
        if self._timer is None:
            self._timer = self._loop.call_later(self._every_s, self.flush)
        elif len(self._lines) >= MAX_BATCH:
            self._timer.cancel()
            self.flush()

    def flush(self) -> None:
        """Hand what has gathered to the thread."""
        self._timer = None
        lines, self._lines = self._lines, []
        if not lines:
            return
        try:
            self._batches.put_nowait(b"".join(lines))
        except queue.Full:
            self.dropped += len(lines)

    def gauges(self) -> Iterable[tuple[str, str, dict[str, str], float]]:
        """What a scrape is told."""
        yield "sidestream_log_lines_dropped", "Log lines nobody read in time", {}, self.dropped

    def close(self, wait_s: float = 1.0) -> None:
        """Write what is left, waiting no longer than ``wait_s`` for the reader."""
        if self._timer is not None:
            self._timer.cancel()
        self.flush()
        try:
            self._batches.put(None, timeout=wait_s)
        except queue.Full:
            return
        self._thread.join(wait_s)

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            rest = memoryview(batch)
            try:
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
            except OSError:
                # Nobody reads any more (a closed pipe, a full disk).
                self.dropped += bytes(rest).count(b"\n")
