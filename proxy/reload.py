"""A new configuration in the place of the old, or the old stays.

Everything new is read, bound, checked and built beside what serves; only when
all of it is good is it swapped in.  Exchanges keep what they began with.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from proxy.config.load import Loaded, state_of
from proxy.config.nodes import ConfigError, Problem
from proxy.observe.metrics import Metrics

log = logging.getLogger("sidestream.reload")


class Reloader:
    """Reads again when told or when a watched file's content has changed.

    Content and not times: Kubernetes swaps a mounted folder by a symbolic
    link, and editors touch files that they did not change.
    """

    def __init__(
        self,
        first: Loaded,
        load: Callable[[], Loaded],
        swap: Callable[[Loaded], Sequence[Problem]],
        metrics: Metrics,
    ) -> None:
        """``swap`` puts a configuration in force; what it says of it is logged."""
        self._loaded = first
        self._load = load
        self._swap = swap
        self._metrics = metrics
        self._seen = first.state
        self._asked = asyncio.Event()
        # The API, a signal and the watch may all ask; the last read is the last swapped in.
        self._one = asyncio.Lock()
        self._notes: list[str] = []

    def soon(self) -> None:
        """Reload at the next turn; for a signal handler."""
        self._asked.set()

    async def watch(self, every_s: float) -> None:
        """Reload whenever asked to or a file has changed, until cancelled."""
        while True:
            try:
                # Not ``wait_for``, which may lose that it was cancelled.
                async with asyncio.timeout(every_s):
                    await self._asked.wait()
            except TimeoutError:
                if await asyncio.to_thread(state_of, self._loaded.watched) == self._seen:
                    continue
            self._asked.clear()
            await self.reload()

    async def reload(self) -> list[str]:
        """Swap in what is on disk now; the problems if that cannot be done."""
        async with self._one:
            return await self._reload()

    async def told(self) -> dict[str, Any]:
        """The same for the API, with what takes a restart."""
        async with self._one:
            problems = await self._reload()
            notes = [] if problems else self._notes
        return {"reloaded": not problems, "problems": problems, "notes": notes}

    async def _reload(self) -> list[str]:
        # Refused or not, what is read below is not older than this.
        self._seen = await asyncio.to_thread(state_of, self._loaded.watched)
        try:
            loaded = await asyncio.to_thread(self._load)
            notes = self._swap(loaded)
        except ConfigError as exc:
            problems = [str(problem) for problem in exc.problems]
            self._failed("; ".join(problems))
            return problems
        except Exception as exc:
            # Whatever a new configuration breaks, the old one goes on.
            self._failed(type(exc).__name__)
            return [f"the configuration could not be built: {type(exc).__name__}"]
        self._loaded = loaded
        self._seen = loaded.state
        self._metrics.add("sidestream_config_reloads", "Configurations swapped in")
        log.info("configuration reloaded")
        self._notes = [str(note) for note in notes]
        for note in self._notes:
            log.warning("%s", note)
        return []

    def _failed(self, why: str) -> None:
        self._metrics.add("sidestream_config_reload_failures", "Configurations refused at reload")
        log.error("configuration not reloaded, the old one stays: %s", why)
