"""What replicas share of a cache: sealed answers and questions, and salts of scopes.

Where there is no store, this process has the salts for itself.  An erased salt
is heard of at once, because every look-up brings the salt along; of other
purges ``purges`` hears.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from proxy.stores.pipe import StoreDown, Word
from proxy.stores.purges import Purges, Troubles
from proxy.stores.replies import SALT, Page, kept_of, page_of
from proxy.stores.scripts import Scripts
from proxy.stores.sealed import KEY_SIZE
from proxy.stores.store import Store, value

MOST: Final = 4 << 20
"""Bytes of answers in one reply, unless a cache says otherwise."""

PURGED_MS: Final = 2000
"""How long what was purged is not kept again: until all have heard of it."""

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

    ``on_purge`` functions are told what can be read no more, ``on_drop`` functions
    which answers somebody has purged; ``of`` gives the epoch of a route.
    """

    def __init__(self, store: Store | None, scripts: Scripts) -> None:
        self._store = store
        self._scripts = scripts
        self._holder = secrets.token_bytes(8)
        self._salts: dict[str, bytes] = {}
        self._told: list[Callable[[str], None]] = []
        self._troubles = Troubles()
        self._purges = Purges(store, scripts, self._troubles, self._renewed)
        # Every request of a cached route asks.
        self.of = self._purges.of

    @property
    def is_up(self) -> bool:
        """Whether a store can be asked, and what it says of purges is known."""
        return self._store is not None and self._store.is_up and self._purges.is_current

    @property
    def has_store(self) -> bool:
        """Whether there is a store at all."""
        return self._store is not None

    @property
    def failures(self) -> int:
        """Calls that failed."""
        return self._troubles.failures

    @property
    def odd(self) -> int:
        """What the store holds or answers that no replica has put there."""
        return self._troubles.odd

    def start(self) -> None:
        """Begin to listen for purges."""
        self._purges.start()

    async def close(self) -> None:
        """Listen no more; the store itself belongs to others too."""
        await self._purges.close()

    def on_purge(self, told: Callable[[str], None]) -> None:
        """Call ``told`` with a scope whose salt is another now, or with "" for any: it was
        erased, or is the first that is heard of.
        """
        self._told.append(told)

    def on_drop(self, told: Callable[[str, bytes], object]) -> None:
        """Hear of single answers; see ``Purges.on_drop``."""
        self._purges.on_drop(told)

    def _tell(self, scope: str) -> None:
        for told in self._told:
            told(scope)

    def _renewed(self) -> None:
        self._salts.clear()
        self._tell("")

    def salt(self, scope: str) -> bytes:
        """The salt of a scope, as far as it is known here."""
        found = self._salts.get(scope)
        if found is None:
            found = self._salts[scope] = os.urandom(SALT)
        return found

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
            reply = await value(self._store, self._scripts.cache_get, salt_key(scope), args)
            salt, is_ours, kept = kept_of(reply, len(names))
        except StoreDown as exc:
            self._troubles.count(exc)
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
            self._troubles.failures += 1

    def learn(self, scope: str, words: tuple[Word, ...]) -> None:
        """Keep a question for all replicas; nobody waits for it."""
        if self.is_up:
            assert self._store is not None
            self._store.run(self._scripts.cache_learn, salt_key(scope), words, self._put)

    async def questions(
        self, scope: str, frame: bytes, most: int, *, after: bytes = b"", before: bytes = b"+"
    ) -> Page | None:
        """Questions of a frame: those ``after`` one from the oldest on, else the
        newest ``before`` one first; ``None`` if nobody could be asked.
        """
        if not self.is_up:
            return None
        way = ("XRANGE", after, "+") if after else ("XREVRANGE", before, "-")
        args = (frame, *way, most, KEY_SIZE, MOST_QUESTION, MOST_PAGE)
        try:
            script, key = self._scripts.cache_heard, salt_key(scope)
            return page_of(await value(self._store, script, key, args))
        except StoreDown as exc:
            self._troubles.count(exc)
            return None

    async def drop(self, scope: str, name: bytes, names: Collection[bytes]) -> int | None:
        """Delete the answer that is kept under ``names``, of which replicas are told
        one; how many there were.  Raises ``StoreDown``.
        """
        if self._store is None:
            return None
        base = salt_key(scope)[:-1]
        keys = [base + b"e:" + each for each in names]
        for each in names:
            # Who has not heard of it yet may be about to keep it.
            await self._store.call(keys[0], "SET", base + b"x:" + each, b"", "PX", PURGED_MS)
        gone = await self._store.call(keys[0], "UNLINK", *keys)
        await self._purges.dropped(scope, name)
        return gone if isinstance(gone, int) else None

    async def erase(self, scope: str) -> None:
        """Make all of a scope unreadable, at once.  Raises ``StoreDown``."""
        try:
            if self._store is not None:
                await self._store.call(salt_key(scope), "DEL", salt_key(scope))
                await self._purges.erased()
        finally:
            # Last, as a look-up under way may have brought the old salt again.
            self._salts.pop(scope, None)
            self._tell(scope)

    async def purge(self, route: str) -> None:
        """Give a route a new epoch.  Raises ``StoreDown``."""
        await self._purges.purge(route)
