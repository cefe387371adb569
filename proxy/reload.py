"""A new configuration in the place of the old, or the old stays.

Everything new is read, bound, checked and built beside what serves; only when
all of it is good is it swapped in.  Exchanges keep what they began with.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

from proxy.config.load import Loaded
from proxy.config.nodes import ConfigError
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
        swap: Callable[[Loaded], None],
        metrics: Metrics,
    ) -> None:
        self._loaded = first
        self._load = load
        self._swap = swap
        self._metrics = metrics
        self._seen = _digest(first.watched)
        self._asked = asyncio.Event()

    def soon(self) -> None:
        """Reload at the next turn; for a signal handler."""
        self._asked.set()

    async def watch(self, every_s: float) -> None:
        """Reload whenever asked to or a file has changed, until cancelled."""
        while True:
            try:
                await asyncio.wait_for(self._asked.wait(), every_s)
            except TimeoutError:
                now = await asyncio.to_thread(_digest, self._loaded.watched)
                if now == self._seen:
                    continue
                self._seen = now
            self._asked.clear()
            await self.reload()

    async def reload(self) -> list[str]:
        """Swap in what is on disk now; the problems if that cannot be done."""
        try:
            loaded = await asyncio.to_thread(self._load)
            self._swap(loaded)
        except ConfigError as exc:
            problems = [str(problem) for problem in exc.problems]
            self._failed("; ".join(problems))
            return problems
        except Exception as exc:
            # Whatever a new configuration breaks, the old one goes on.
            self._failed(type(exc).__name__)
            return [f"the configuration could not be built: {type(exc).__name__}"]
        self._loaded = loaded
        self._seen = await asyncio.to_thread(_digest, loaded.watched)
        self._metrics.add("sidestream_config_reloads", "Configurations swapped in")
        log.info("configuration reloaded")
        return []

    def _failed(self, why: str) -> None:
        self._metrics.add("sidestream_config_reload_failures", "Configurations refused at reload")
        log.error("configuration not reloaded, the old one stays: %s", why)


def _digest(paths: tuple[Path, ...]) -> bytes:
    """What the files hold now, in one number."""
    state = blake2b(digest_size=16)
    for path in paths:
        try:
            data = path.read_bytes()
        except OSError:
            data = b"\0missing"
        state.update(len(data).to_bytes(8, "big"))
        state.update(data)
    return state.digest()
