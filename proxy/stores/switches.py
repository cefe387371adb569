"""Switches that all replicas share: a set on the server, read once a second.

A switch that is set here works here at once and elsewhere a second later.
While the server is down everybody keeps what they know.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from proxy.core.switches import Switches, What
from proxy.stores.outlived import Outlived, ended
from proxy.stores.pipe import StoreDown
from proxy.stores.store import Store

KEY: Final = b"ss:{switches}"
EVERY_S: Final = 1.0
MARK: Final = "-"
"""Always in the set, so that a set without members is one that was lost."""

log = logging.getLogger("sidestream.store")


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
            with Outlived("to hear of switches"):
                await self.refresh()
            await asyncio.sleep(EVERY_S)

    async def refresh(self) -> None:
        """Read the server's state, if it can be had."""
        with contextlib.suppress(StoreDown):
            await self._look()

    async def _look(self) -> None:
        words = await self._store.call(KEY, "SMEMBERS", KEY)
        if not words and self._local.words():
            # Nothing at all is a store that has lost its memory: what is off stays off.
            log.warning("the store has forgotten what is switched off; it is told again")
            await self._store.call(KEY, "SADD", KEY, MARK, *self._local.words())
            return
        self._local.replace(word.decode("utf-8", "replace") for word in words)

    async def put(self, what: What, name: str, *, is_off: bool) -> None:
        """Switch one off or on, for all.  Raises ``StoreDown``."""
        # Else a store that has forgotten all would seem to remember, by this one.
        await self._look()
        await self._store.call(KEY, "SADD", KEY, MARK)
        await self._store.call(KEY, "SADD" if is_off else "SREM", KEY, f"{what}:{name}")
        self._local.put(what, name, is_off=is_off)

    async def close(self) -> None:
        """Follow no more."""
        if self._task is not None:
            await ended(self._task)
            self._task = None
