"""Switches that all replicas share: a set on the server, read once a second.

A switch that is set here works here at once and elsewhere a second later.
While the server is down everybody keeps what they know.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from proxy.core.switches import Switches, What
from proxy.stores.pipe import StoreDown
from proxy.stores.store import Store

KEY: Final = b"ss:{switches}"
EVERY_S: Final = 1.0


class SharedSwitches:
    """Keeps ``local`` as the server has it."""

    def __init__(self, store: Store, local: Switches) -> None:
        self._store = store
        self._local = local
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to follow the server."""
        self._task = asyncio.get_running_loop().create_task(self._follow())

    async def _follow(self) -> None:
        while True:
            await self.refresh()
            await asyncio.sleep(EVERY_S)

    async def refresh(self) -> None:
        """Read the server's state, if it can be had."""
        with contextlib.suppress(StoreDown):
            words = await self._store.call(KEY, "SMEMBERS", KEY)
            self._local.replace(word.decode("utf-8", "replace") for word in words)

    async def put(self, what: What, name: str, *, is_off: bool) -> None:
        """Switch one off or on, for all.  Raises ``StoreDown``."""
        await self._store.call(KEY, "SADD" if is_off else "SREM", KEY, f"{what}:{name}")
        self._local.put(what, name, is_off=is_off)

    async def close(self) -> None:
        """Follow no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
