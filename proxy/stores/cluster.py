"""A store of several servers, each holding some of the slots.

A call goes straight to the server that holds its key's slot.  ``MOVED`` and
``ASK`` are followed at once, as the call has not been carried out, and the
map of slots is asked for anew in the background.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import hiredis
from redis.crc import key_slot

from proxy.stores.address import Address
from proxy.stores.link import Link
from proxy.stores.outlived import Outlived, ended
from proxy.stores.pipe import Done, StoreDown, Word
from proxy.stores.scripts import Script

log = logging.getLogger("sidestream.store")

REFRESH_S: Final = 10.0
RETRY_S: Final = 0.25
MAX_HOPS: Final = 3

Host = tuple[str, int]
FetchMap = Callable[[], Awaitable[Mapping[int, Host]]]
MakeLink = Callable[[Address], Link]


class Cluster:
    """Implements ``store.Store`` over one link a server."""

    def __init__(self, address: Address, fetch_map: FetchMap, make_link: MakeLink) -> None:
        self._address = address
        self._fetch_map = fetch_map
        self._make_link = make_link
        self._links: dict[Host, Link] = {}
        self._slots: dict[int, Host] = {}
        self._told: list[Callable[[], None]] = []
        self._stirred = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        """Whether every server that holds a slot can be reached."""
        return bool(self._links) and all(link.is_up for link in self._links.values())

    def start(self) -> None:
        """Begin to connect."""
        self._task = asyncio.get_running_loop().create_task(self._follow())

    def on_up(self, told: Callable[[], None]) -> None:
        """Call ``told`` whenever a server can be reached again."""
        self._told.append(told)

    def run(self, script: Script, key: bytes, args: tuple[Word, ...], done: Done) -> None:
        """Run a script where its key lives; see ``store.Store``."""
        link = self._links.get(self._slots.get(key_slot(key), ("", 0)))
        if link is None or not link.is_up:
            self._stirred.set()
            done(StoreDown("no server for this slot"))
            return
        link.run(script, key, args, _Hop(self, (script, key, args), done).answer)

    async def call(self, key: bytes, *words: Word) -> Any:
        """One plain command; see ``store.Store``."""
        link = self._links.get(self._slots.get(key_slot(key), ("", 0)))
        if link is None:
            raise StoreDown("no server for this slot")
        return await link.call(key, *words)

    def redirected(self, error: str) -> tuple[Link | None, bool]:
        """The server that an error names, and whether it only takes over (``ASK``)."""
        self._stirred.set()
        try:
            word, slot, server = error.split()
            host, _, port = server.rpartition(":")
            where = (host or self._address.hosts[0][0], int(port))
            if word == "MOVED":
                self._slots[int(slot)] = where
        except ValueError:
            return None, False
        return self._link(where), word == "ASK"

    def _link(self, where: Host) -> Link:
        link = self._links.get(where)
        if link is None:
            link = self._links[where] = self._make_link(self._address.at(*where))
            for told in self._told:
                link.on_up(told)
            link.start()
        return link

    async def _follow(self) -> None:
        while True:
            self._stirred.clear()
            with Outlived("to follow the cluster"):
                try:
                    slots = await self._fetch_map()
                except StoreDown as exc:
                    log.debug("cluster: %s", exc)
                else:
                    await self._use(slots)
            await asyncio.sleep(RETRY_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_S):
                    await self._stirred.wait()

    async def _use(self, slots: Mapping[int, Host]) -> None:
        if not slots:
            return
        self._slots = dict(slots)
        hosts = set(self._slots.values())
        for where in hosts:
            self._link(where)
        for where in [w for w in self._links if w not in hosts]:
            await self._links.pop(where).close()

    async def close(self) -> None:
        """Let go of every server."""
        if self._task is not None:
            await ended(self._task)
            self._task = None
        for link in self._links.values():
            await link.close()


class _Hop:
    """One call, followed to where its slot is."""

    __slots__ = ("_call", "_cluster", "_done", "_hops")

    def __init__(
        self, cluster: Cluster, call: tuple[Script, bytes, tuple[Word, ...]], done: Done
    ) -> None:
        self._cluster = cluster
        self._call = call
        self._done = done
        self._hops = 0

    def answer(self, reply: object) -> None:
        if isinstance(reply, hiredis.ReplyError):
            text = str(reply)
            if text.startswith(("MOVED ", "ASK ")) and self._hops < MAX_HOPS:
                self._hops += 1
                link, is_asking = self._cluster.redirected(text)
                if link is not None:
                    (link.ask if is_asking else link.run)(*self._call, self.answer)
                    return
            if text.startswith(("MOVED ", "ASK ", "TRYAGAIN")):
                self._done(StoreDown(text))
                return
        self._done(reply)
