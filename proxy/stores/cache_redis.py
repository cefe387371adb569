"""What replicas share of a cache: sealed answers, salts of scopes, epochs of routes.

Where there is no store, this process has the salts and epochs for itself.
Purges of others are heard of within ``POLL_S``; an erased salt at once,
because every look-up brings the salt along.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from proxy.stores.outlived import Outlived
from proxy.stores.pipe import StoreDown, Word, value_of
from proxy.stores.replies import SALT, OddReply, Page, drops_of, kept_of, page_of, state_of
from proxy.stores.scripts import Script, Scripts
from proxy.stores.sealed import KEY_SIZE
from proxy.stores.store import Store, ask

log = logging.getLogger("sidestream.cache")

STATE: Final = b"ss:{cache}"
DROPS: Final = b"ss:{cache}:d"
POLL_S: Final = 1.0
MOST: Final = 4 << 20
"""Bytes of answers in one reply, unless a cache says otherwise."""

MOST_QUESTION: Final = 64 << 10
MOST_PAGE: Final = 1 << 20
"""Bytes of one question that was sealed, and of those in one reply."""

Put = tuple[bytes, bytes, int]
"""Name, sealed answer, time to live in ms."""


def salt_key(scope: str) -> bytes:
    """Where the salt of a scope stands; its answers have the same hash tag."""
    return f"ss:{{c.{scope}}}:k".encode("utf-8", "surrogatepass")


class Shared:
    """The part of caches that outlives a reload and is the same for all of them.

    ``on_purge`` and ``on_drop`` functions are told that somebody has purged.
    ``odd`` counts what the store holds or answers that no replica has put there.
    """

    def __init__(self, store: Store | None, scripts: Scripts) -> None:
        self._store = store
        self._scripts = scripts
        self._holder = secrets.token_bytes(8)
        self._salts: dict[str, bytes] = {}
        # Of routes that were asked for, never less than once heard; and all
        # that the store told of last.
        self._epochs: dict[str, int] = {}
        self._heard: dict[str, int] = {}
        self._generation = b""
        self._is_current = False
        self._told: list[Callable[[str], None]] = []
        self._told_drops: list[Callable[[str, bytes], object]] = []
        self._last_drop = b""
        self._task: asyncio.Task[None] | None = None
        self._asked = asyncio.Event()
        self._state_odd = 0
        self.failures = 0
        self.odd = 0

    @property
    def is_up(self) -> bool:
        """Whether a store can be asked, and what it says of purges is known."""
        return self._store is not None and self._store.is_up and self._is_current

    @property
    def has_store(self) -> bool:
        """Whether there is a store at all."""
        return self._store is not None

    def start(self) -> None:
        """Begin to listen for purges."""
        if self._store is not None:
            self._store.on_up(self._on_up)
            self._task = asyncio.get_running_loop().create_task(self._follow())
            if self._store.is_up:
                self._on_up()

    async def close(self) -> None:
        """Listen no more; the store itself belongs to others too."""
        if self._task is not None:
            self._task.cancel()
            # Not awaited itself: what it may have failed of is no matter now.
            await asyncio.wait({self._task})
            self._task = None

    def on_purge(self, told: Callable[[str], None]) -> None:
        """Call ``told`` with the scope that was erased, or with "" for all."""
        self._told.append(told)

    def on_drop(self, told: Callable[[str, bytes], object]) -> None:
        """Call ``told`` with scope and name of an answer that was purged, or with
        "" and b"" when more were than can be told.
        """
        self._told_drops.append(told)

    def _tell(self, scope: str) -> None:
        for told in self._told:
            told(scope)

    def salt(self, scope: str) -> bytes:
        """The salt of a scope, as far as it is known here."""
        found = self._salts.get(scope)
        if found is None:
            found = self._salts[scope] = os.urandom(SALT)
        return found

    def of(self, route: str) -> int:
        """The epoch of a route."""
        known = self._epochs.get(route)
        if known is None:
            known = self._epochs[route] = self._heard.get(route, 0)
        return known

    async def get(
        self, scope: str, names: Sequence[bytes], lease_s: float, most: int = MOST
    ) -> tuple[bool, list[Any]] | None:
        """Whether the lease is ours, and what is kept: bytes, ``None``, or something
        odd; ``None`` if nobody could be asked.  All may weigh ``most`` bytes.
        """
        if not self.is_up:
            return None
        # Never a salt that was known: it may have been erased just now.
        holder = self._holder if lease_s else b""
        fresh, lease_ms = os.urandom(SALT), int(lease_s * 1000)
        args: tuple[Word, ...] = (fresh, holder, lease_ms, most, *names)
        try:
            reply = await self._ask(self._scripts.cache_get, salt_key(scope), args)
            salt, is_ours, kept = kept_of(reply, len(names))
        except StoreDown as exc:
            self._failed(exc)
            return None
        if salt != self._salts.get(scope):
            self._salts[scope] = salt
            self._tell(scope)
        return is_ours, kept

    def put(self, scope: str, salt: bytes, lease: bytes, puts: Sequence[Put]) -> None:
        """Keep answers and give a lease back; nobody waits for it."""
        if self.is_up:
            words: list[Word] = [salt, self._holder, lease]
            for put in puts:
                words += put
            assert self._store is not None
            self._store.run(self._scripts.cache_put, salt_key(scope), tuple(words), self._put)

    def _put(self, reply: object) -> None:
        if isinstance(reply, Exception):
            self.failures += 1

    def learn(self, scope: str, words: tuple[Word, ...]) -> None:
        """Keep a question for all replicas; nobody waits for it."""
        if self.is_up:
            assert self._store is not None
            self._store.run(self._scripts.cache_learn, salt_key(scope), words, self._put)

    async def questions(
        self, scope: str, frame: bytes, most: int, *, after: bytes = b"", before: bytes = b"+"
    ) -> Page:
        """Questions of a frame: those ``after`` one from the oldest on, else the
        newest ``before`` one first.
        """
        if not self.is_up:
            return Page([])
        way = ("XRANGE", after, "+") if after else ("XREVRANGE", before, "-")
        args = (frame, *way, most, KEY_SIZE, MOST_QUESTION, MOST_PAGE)
        try:
            page = page_of(await self._ask(self._scripts.cache_heard, salt_key(scope), args))
        except StoreDown as exc:
            self._failed(exc)
            return Page([])
        return page

    async def _ask(self, script: Script, key: bytes, args: tuple[Word, ...]) -> Any:
        """What the script answers.  Raises ``StoreDown``."""
        assert self._store is not None
        return value_of(await ask(self._store, script, key, args))

    def _failed(self, error: StoreDown) -> None:
        if isinstance(error, OddReply):
            self.odd += 1
        else:
            self.failures += 1

    async def drop(self, scope: str, name: bytes, names: Collection[bytes]) -> int | None:
        """Delete the answer that is kept under ``names``, of which replicas are told
        one; how many there were.  Raises ``StoreDown``.
        """
        if self._store is None:
            return None
        keys = [salt_key(scope)[:-1] + b"e:" + each for each in names]
        gone = await self._store.call(keys[0], "UNLINK", *keys)
        await self._hear(scope.encode("utf-8", "surrogatepass"), name)
        return gone if isinstance(gone, int) else None

    async def erase(self, scope: str) -> None:
        """Make all of a scope unreadable, at once.  Raises ``StoreDown``."""
        try:
            if self._store is not None:
                await self._store.call(salt_key(scope), "DEL", salt_key(scope))
                await self._look(secrets.token_hex(8))
        finally:
            # Last, as a look-up under way may have brought the old salt again.
            self._salts.pop(scope, None)
            self._tell(scope)

    async def purge(self, route: str) -> None:
        """Give a route a new epoch.  Raises ``StoreDown``."""
        self._epochs[route] = self.of(route) + 1
        if self._store is not None:
            await self._raise(route)

    def _on_up(self) -> None:
        self._is_current = False
        self._asked.set()

    async def _follow(self) -> None:
        while True:
            self._asked.clear()
            with Outlived("to hear of purges") as poll:
                await self._poll()
            if poll.is_failed:
                self._is_current = False
                self.failures += 1
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
                self._is_current = False
                self._failed(exc)
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
        drops = drops_of(await self._ask(self._scripts.cache_dropped, DROPS, args))
        self.odd += drops.odd
        self._last_drop = drops.last
        for told in self._told_drops:
            for each in drops.rows if drops.is_all else (("", b""),):
                told(*each)

    async def _look(self, new: Word = b"", field: bytes = b"", epoch: int = 0) -> None:
        """Hear of purges, after one of our own if there is a ``new`` generation."""
        state = state_of(await self._ask(self._scripts.cache_state, STATE, (new, field, epoch)))
        if state.odd != self._state_odd:
            self.odd += max(0, state.odd - self._state_odd)
            self._state_odd = state.odd
        self._heard = state.epochs
        for route, known in self._epochs.items():
            self._epochs[route] = max(known, state.epochs.get(route, 0))
        if state.generation != self._generation:
            if self._generation or self._is_current:
                self._salts.clear()
                self._tell("")
            self._generation = state.generation
        self._is_current = True
