"""What replicas tell each other of purges: epochs of routes, erased salts, single answers.

Without a store, this process has the epochs for itself.  Purges of others are
heard of within ``POLL_S``.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from typing import Final

from proxy.stores.outlived import Outlived, ended
from proxy.stores.pipe import StoreDown, Word
from proxy.stores.replies import OddReply, drops_of, state_of
from proxy.stores.scripts import Scripts
from proxy.stores.store import Store, value

STATE: Final = b"ss:{cache}"
DROPS: Final = b"ss:{cache}:d"
POLL_S: Final = 1.0


class Troubles:
    """Counts calls that failed, and what the store holds or answers that no replica
    has put there.
    """

    def __init__(self) -> None:
        self.failures = 0
        self.odd = 0

    def count(self, error: StoreDown) -> None:
        """Count one call."""
        if isinstance(error, OddReply):
            self.odd += 1
        else:
            self.failures += 1


class Purges:
    """Tells of purges and hears of them; ``on_erased`` is told that salts are others now."""

    def __init__(
        self,
        store: Store | None,
        scripts: Scripts,
        troubles: Troubles,
        on_erased: Callable[[], None],
    ) -> None:
        self._store = store
        self._scripts = scripts
        self._troubles = troubles
        self._on_erased = on_erased
        # Of routes that were asked for, never less than once heard; and all
        # that the store told of last.
        self._epochs: dict[str, int] = {}
        self._heard: dict[str, int] = {}
        self._generation = b""
        self._told: list[Callable[[str, bytes], object]] = []
        self._last_drop = b""
        self._state_odd = 0
        self._task: asyncio.Task[None] | None = None
        self._asked = asyncio.Event()
        self.is_current = False

    def start(self) -> None:
        """Begin to listen."""
        if self._store is not None:
            self._store.on_up(self._on_up)
            self._task = asyncio.get_running_loop().create_task(self._follow())
            if self._store.is_up:
                self._on_up()

    async def close(self) -> None:
        """Listen no more; the store itself belongs to others too."""
        if self._task is not None:
            await ended(self._task)
            self._task = None

    def on_drop(self, told: Callable[[str, bytes], object]) -> None:
        """Call ``told`` with scope and name of an answer that was purged, or with
        "" and b"" when more were than can be told.
        """
        self._told.append(told)

    def of(self, route: str) -> int:
        """The epoch of a route."""
        known = self._epochs.get(route)
        if known is None:
            known = self._epochs[route] = self._heard.get(route, 0)
        return known

    async def purge(self, route: str) -> None:
        """Give a route a new epoch.  Raises ``StoreDown``."""
        self._epochs[route] = self.of(route) + 1
        if self._store is not None:
            await self._raise(route)

    async def erased(self) -> None:
        """A salt has been deleted: all are asked for anew.  Raises ``StoreDown``."""
        await self._look(secrets.token_hex(8))

    async def dropped(self, scope: str, name: bytes) -> None:
        """An answer has been deleted.  Raises ``StoreDown``."""
        await self._hear(scope.encode("utf-8", "surrogatepass"), name)

    def _on_up(self) -> None:
        self.is_current = False
        self._asked.set()

    async def _follow(self) -> None:
        while True:
            self._asked.clear()
            with Outlived("to hear of purges") as poll:
                await self._poll()
            if poll.is_failed:
                self.is_current = False
                self._troubles.failures += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._asked.wait()

    async def _poll(self) -> None:
        assert self._store is not None
        if self._store.is_up:
            try:
                await self._hear()
                await self._look()
            except StoreDown as exc:
                self.is_current = False
                self._troubles.count(exc)
                return
            # A purge that could not be told, or was lost since: one at a time.
            known = self._epochs.items()
            lost = next((r for r, epoch in known if epoch > self._heard.get(r, 0)), None)
            if lost is not None:
                with contextlib.suppress(StoreDown):
                    await self._raise(lost)

    async def _raise(self, route: str) -> None:
        field = b"r:" + route.encode("utf-8", "surrogatepass")
        await self._look(secrets.token_hex(8), field, self._epochs[route])

    async def _hear(self, scope: bytes = b"", name: bytes = b"") -> None:
        """Hear which answers were purged, after one of our own if there is a ``name``."""
        args = (self._last_drop, scope, name)
        drops = drops_of(await value(self._store, self._scripts.cache_dropped, DROPS, args))
        self._troubles.odd += drops.odd
        self._last_drop = drops.last
        for told in self._told:
            for each in drops.rows if drops.is_all else (("", b""),):
                told(*each)

    async def _look(self, new: Word = b"", field: bytes = b"", epoch: int = 0) -> None:
        """Hear of purges, after one of our own if there is a ``new`` generation."""
        args = (new, field, epoch)
        state = state_of(await value(self._store, self._scripts.cache_state, STATE, args))
        if state.odd != self._state_odd:
            self._troubles.odd += max(0, state.odd - self._state_odd)
            self._state_odd = state.odd
        self._heard = state.epochs
        for route, known in self._epochs.items():
            self._epochs[route] = max(known, state.epochs.get(route, 0))
        if state.generation != self._generation:
            if self._generation or self.is_current:
                self._on_erased()
            self._generation = state.generation
        self.is_current = True
