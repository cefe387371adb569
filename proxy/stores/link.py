"""Keeps one connection to a server, and says at once when there is none.

A call is made on an open connection or fails there and then: nothing waits
for a connection.  The breaker is the state of the pipe: a call overdue shuts
it, the answer to everything overdue opens it again, and a server that is
behind for too long is left and connected to anew, with pauses that grow and
are jittered.  An idle connection is pinged.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import hiredis

from proxy.stores.address import Address
from proxy.stores.outlived import Outlived, ended
from proxy.stores.pipe import Done, Pipe, StoreDown, Word, pack
from proxy.stores.scripts import Script, Scripts

log = logging.getLogger("sidestream.store")

HANDSHAKE_S: Final = 1.0
WATCH_S: Final = 0.25
PING_S: Final = 1.0
DEAD_S: Final = 1.0
MAX_PAUSE_S: Final = 2.0
_NOT_SERVING: Final = (
    "READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "NOAUTH", "UNBLOCKED", "NOREPLICAS",
    "MISCONF", "OOM", "BUSY", "TRYAGAIN",
)  # fmt: skip
_NO_WAY: Final = (OSError, UnicodeError, OverflowError)
"""Why there is no connection; time-outs, TLS and most names are the first, names
that are none the second, ports that are none the third."""

Locate = Callable[[], Awaitable[Address]]


class Link:
    """One server, found by ``locate`` each time a connection is made.

    ``chance`` gives numbers from 0 to 1 for the jitter.  ``recheck_s`` asks
    ``locate`` again that often, and moves when the answer is another server
    (0: never).
    """

    def __init__(
        self,
        locate: Locate,
        scripts: Scripts,
        chance: Callable[[], float],
        *,
        timeout_s: float = 0.05,
        recheck_s: float = 0.0,
    ) -> None:
        self._locate = locate
        self._scripts = scripts
        self._chance = chance
        self._timeout_s = timeout_s
        self._recheck_s = recheck_s
        self._pipe: Pipe | None = None
        self._told: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None
        self._failures = 0
        self._behind_since = 0.0
        self._is_said = False
        self._is_closing = False
        self.address: Address | None = None
        self.is_up = False

    def start(self) -> None:
        """Begin to connect."""
        self._task = asyncio.get_running_loop().create_task(self._supervise())

    def on_up(self, told: Callable[[], None]) -> None:
        """Call ``told`` whenever the server can be reached again."""
        self._told.append(told)

    def run(self, script: Script, key: bytes, args: tuple[Word, ...], done: Done) -> None:
        """Run a script; see ``store.Store``."""
        pipe = self._pipe
        if pipe is None or not self.is_up:
            done(StoreDown("not connected"))
            return
        packed = pack((b"EVALSHA", script.sha, 1, key, *args))
        pipe.send(packed, _Run(self, script, key, args, done).answer)

    def ask(self, script: Script, key: bytes, args: tuple[Word, ...], done: Done) -> None:
        """Run a script here although its slot is still moving here (``ASK``)."""
        if self._pipe is not None and self.is_up:
            self._pipe.send(pack((b"ASKING",)), lambda _: None)
        self.run(script, key, args, done)

    def resend(self, script: Script, key: bytes, args: tuple[Word, ...], done: Done) -> None:
        """Run a script that the server has forgotten, and so never began."""
        if self._pipe is None or not self.is_up:
            done(StoreDown("not connected"))
            return
        self._pipe.send(pack((b"EVAL", script.text, 1, key, *args)), done)

    def fail(self, why: str) -> None:
        """Leave this server: it answers, but does not serve."""
        self._sink(why)
        if self._pipe is not None:
            self._pipe.abort()

    async def call(self, key: bytes, *words: Word) -> Any:
        """One plain command; see ``store.Store``."""
        if self._pipe is None or not self.is_up:
            raise StoreDown("not connected")
        return await self._pipe.call(*words)

    def on_behind(self, pipe: Pipe) -> None:
        """A call is overdue: make no more until the server has caught up."""
        if pipe is self._pipe and self.is_up:
            self._behind_since = asyncio.get_running_loop().time()
            self._sink("no answer in time")

    def on_caught_up(self, pipe: Pipe) -> None:
        """The server answers again."""
        if pipe is self._pipe and not self.is_up:
            self._rise()

    def on_lost(self, pipe: Pipe) -> None:
        """The connection is gone."""
        if pipe is self._pipe:
            self._sink("the connection was lost")

    def _rise(self) -> None:
        self.is_up = True
        if self._is_said:
            self._is_said = False
            log.warning("store %s answers again", self.address)
        for told in self._told:
            with Outlived("to go on with the store"):
                told()

    def _sink(self, why: str) -> None:
        self.is_up = False
        self._say_down(why)

    def _say_down(self, why: str) -> None:
        if not self._is_said:
            self._is_said = True
            log.warning("store %s: %s; limits follow their on_failure", self.address, why)

    async def _supervise(self) -> None:
        while True:
            is_served = False
            with Outlived("to hold a connection to the store"):
                is_served = await self._serve()
            if not is_served:
                self._failures += 1
                pause = min(MAX_PAUSE_S, 0.05 * 2.0 ** min(self._failures, 10))
                await asyncio.sleep(pause * (0.5 + self._chance() / 2))

    async def _serve(self) -> bool:
        """Connect and watch the connection until it is lost; ``False`` if there was none."""
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                self._pipe = await self._connect()
        except (*_NO_WAY, StoreDown) as exc:
            self._say_down(str(exc) or type(exc).__name__)
            return False
        self._failures = 0
        self._rise()
        await self._watch(self._pipe)
        return True

    async def _connect(self) -> Pipe:
        address = self.address = await self._locate()
        pipe = Pipe(self, HANDSHAKE_S)
        is_greeted = False
        try:
            await self._open(pipe, address)
            await self._greet(pipe, address)
            is_greeted = True
        finally:
            if not is_greeted:
                pipe.abort()
        pipe.allow(self._timeout_s)
        return pipe

    async def _open(self, pipe: Pipe, address: Address) -> None:
        loop = asyncio.get_running_loop()
        if address.path:
            await loop.create_unix_connection(lambda: pipe, address.path)
        else:
            host, port = address.hosts[0]
            await loop.create_connection(lambda: pipe, host, port, ssl=address.tls)

    async def _greet(self, pipe: Pipe, address: Address) -> None:
        if address.password:
            user = (address.username,) if address.username else ()
            await pipe.call("AUTH", *user, address.password)
        if address.db:
            await pipe.call("SELECT", address.db)
        if self._recheck_s:
            role = await pipe.call("ROLE")
            if not isinstance(role, list) or role[:1] != [b"master"]:
                raise StoreDown("it is not the master")
        for script in self._scripts:
            await pipe.call("SCRIPT", "LOAD", script.text)

    async def _watch(self, pipe: Pipe) -> None:
        """Return when the connection is lost, or given up as not worth keeping."""
        loop = asyncio.get_running_loop()
        pinged = checked = loop.time()
        try:
            while not pipe.lost.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(WATCH_S):
                        await pipe.lost.wait()
                now = loop.time()
                if not self.is_up and now - self._behind_since > DEAD_S:
                    return
                if self.is_up and not pipe.in_flight and now - pinged >= PING_S:
                    pinged = now
                    pipe.send(pack((b"PING",)), lambda _: None)
                if self._recheck_s and now - checked >= self._recheck_s:
                    checked = now
                    if await self._has_moved():
                        return
        finally:
            if self.is_up and not self._is_closing:
                self._sink("its connection was given up")
            self.is_up = False
            self._pipe = None
            pipe.abort()

    async def _has_moved(self) -> bool:
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                address = await self._locate()
        except (*_NO_WAY, StoreDown):
            return False
        return self.address is not None and address.hosts != self.address.hosts

    async def close(self) -> None:
        """Let go of the server."""
        self._is_closing = True
        if self._task is not None:
            await ended(self._task)
            self._task = None


class _Run:
    """One script call; hears of a script forgotten and of a server not serving."""

    __slots__ = ("_call", "_done", "_link")

    def __init__(
        self, link: Link, script: Script, key: bytes, args: tuple[Word, ...], done: Done
    ) -> None:
        self._link = link
        self._call = (script, key, args)
        self._done = done

    def answer(self, reply: object) -> None:
        if isinstance(reply, hiredis.ReplyError):
            text = str(reply)
            if text.startswith("NOSCRIPT"):
                self._link.resend(*self._call, self._done)
                return
            if text.startswith(_NOT_SERVING):
                self._link.fail(text)
                self._done(StoreDown(text))
                return
        self._done(reply)
