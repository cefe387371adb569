"""One worker: its listeners, its timers, its signals, and how it ends.

The listeners are ours and not ``web.run_app``'s, because the order of leaving
matters: readiness fails first, then listening stops, then open streams get
their time, and only then are they cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from proxy.accounts import Accounts
from proxy.app import App
from proxy.config.load import Loaded
from proxy.config.nodes import Problem
from proxy.config.restart import in_force
from proxy.config.schema import Address, Settings
from proxy.control import Steering, dated, known_in
from proxy.core.ports import Clock
from proxy.edge.admin import Admin
from proxy.edge.api import Api
from proxy.edge.cache_api import CacheApi
from proxy.edge.connection import ClientServer
from proxy.edge.lines import LineWriter
from proxy.edge.server import DataPlane, SystemClock
from proxy.leaving import Leaving
from proxy.observe.metrics import Metrics
from proxy.policies.admit import Room
from proxy.reload import Reloader
from proxy.shared import Caches, open_shared
from proxy.stores.outlived import Outlived
from proxy.wire.endpoints import find

log = logging.getLogger("sidestream")

SWEEP_S: Final = 0.25
"""Seconds between two looks at deadlines; time-outs are that exact."""

CUTTING: Final = 100
"""Hundredths of a second for what is cut to be told so."""

STORE_S: Final = 0.5
"""Seconds that a start waits for the store; it serves without one."""

WATCH_S: Final = 2.0
"""Seconds between two looks at the configuration's files."""

BACKLOG: Final = 4096


class CannotListen(Exception):
    """An address could not be bound; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a worker listens: its own admin address, and whether it shares."""

    admin: Address
    is_shared: bool = False


class Worker:
    """Everything that one process runs.

    ``port`` and ``admin_port`` are those really bound, once it is ready.
    """

    def __init__(
        self,
        loaded: Loaded,
        load: Callable[[], Loaded],
        listening: Listening,
        *,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        settings = loaded.settings
        self._loop = loop
        self._listening = listening
        self._settings = settings
        self._listen = settings.listen
        clock = SystemClock()
        self.metrics = Metrics()
        self.room = Room(settings.process.max_in_flight)
        self.lines = None if settings.log.requests == "off" else LineWriter(loop, 1)
        self._is_ready = False
        self._is_leaving = False
        self.leaving = Leaving(clock)
        store, scripts = open_shared(settings)
        self.accounts = Accounts(settings, clock, self.metrics, store, scripts)
        self.caches = Caches(store, scripts, loop, clock)
        self.metrics.include(self.caches.collect)
        self.app = App(
            clock=clock,
            metrics=self.metrics,
            room=self.room,
            log=self.lines,
            is_draining=lambda: self._is_leaving,
            accounts=self.accounts,
            caches=self.caches,
        )
        self.plane = DataPlane(self.app.generation(settings), find, clock)
        self.app.adopt()
        process = settings.process
        self.clients = ClientServer(
            self.plane.handle,
            max_connections=process.max_connections,
            max_header=process.max_header,
            header_s=process.header_timeout,
            body_s=process.body_timeout,
            idle_s=process.idle_timeout,
        )
        self.metrics.include(self.clients.collect)
        self.reloader = Reloader(loaded, load, self._swap, self.metrics)
        self._steering = Steering(self.accounts, settings)
        self._admin = self._administered(settings, clock)
        self._timer: asyncio.TimerHandle | None = None
        self.port = settings.listen.port
        self.admin_port = listening.admin.port
        self.metrics.watch(self.app.gauges)
        if self.lines is not None:
            self.metrics.watch(self.lines.gauges)

    def _administered(self, settings: Settings, clock: Clock) -> Admin:
        token = settings.admin.token.reveal() if settings.admin.token else ""
        self._api = Api(self._steering, token)
        ready, reload = lambda: self._is_ready, self.reloader.told
        admin = Admin(self.metrics, dated(self.app.status, clock), ready, reload, token)
        api = CacheApi(self.caches, lambda: self._admin.token, lambda: known_in(self._settings))
        admin.additions += [self._api.add_to, api.add_to]
        return admin

    def _swap(self, loaded: Loaded) -> list[Problem]:
        """Put a new configuration in force for requests that come from now on; the
        notes are on what takes a restart.
        """
        settings, notes = in_force(self._settings, loaded.settings)
        # First what may raise, which touches nothing that serves.
        self.accounts.check(settings)
        generation = self.app.generation(settings)
        self._steering.configure(settings)
        # From here on nothing does.
        self.app.adopt()
        self.accounts.configure(settings)
        self.plane.current = generation
        self._settings = settings
        process, clients = settings.process, self.clients
        self.room.limit = process.max_in_flight
        clients.max_connections = process.max_connections
        clients.header_s, clients.body_s = process.header_timeout, process.body_timeout
        clients.idle_s = process.idle_timeout
        token = settings.admin.token
        self._admin.token = self._api.token = token.reveal() if token else ""
        return notes

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Serve until a signal says to leave, then leave in order."""
        runner = web.AppRunner(self._admin.application(), access_log=None, handle_signals=False)
        await runner.setup()
        server = None
        # First, so that the store is likely there when the first request comes.
        self.accounts.start()
        self.caches.shared.start()
        try:
            await self.accounts.connected(STORE_S)
            with _bound("admin.listen", self._listening.admin):
                await _site(runner, self._listening.admin).start()
            with _bound("listen", self._listen):
                server = await self._start_listening()
            if not self._listen.path:
                self.port = server.sockets[0].getsockname()[1]
            if not self._listening.admin.path:
                self.admin_port = runner.addresses[0][1]
            self._tick()
            self._on_signals()
            # What is here now stays: no collection need look at it again, and
            # requests leave few cycles behind.
            gc.collect()
            gc.freeze()
            gc.set_threshold(10_000, 20, 50)
            self._is_ready = True
            ready()
            async with asyncio.TaskGroup() as tasks:
                watch = tasks.create_task(self.reloader.watch(WATCH_S))
                await self.leaving.begun.wait()
                watch.cancel()
            await self._leave(server)
        finally:
            await self._end(server, runner)

    async def _end(self, server: asyncio.Server | None, runner: web.AppRunner) -> None:
        """Let go of everything, each whatever became of those before it."""
        steps: list[Callable[[], Awaitable[object] | None]] = [
            lambda: self.clients.shutdown(0.1),
            self.app.close,
            self.app.leave,
            self.caches.tasks.close,
            self.caches.meanings.close,
            self.caches.shared.close,
            self.accounts.close,
            runner.cleanup,
        ]
        if server is not None:
            steps.insert(0, server.close)
        if self._timer is not None:
            steps.insert(0, self._timer.cancel)
        if self.lines is not None:
            steps.append(self.lines.close)
        async with contextlib.AsyncExitStack() as stack:
            for step in reversed(steps):
                stack.push_async_callback(_outlived, step)

    async def _start_listening(self) -> asyncio.Server:
        address = self._listen
        if address.path:
            return await self._loop.create_unix_server(self.clients, address.path, backlog=BACKLOG)
        return await self._loop.create_server(
            self.clients,
            address.host,
            address.port,
            backlog=BACKLOG,
            reuse_port=self._listening.is_shared or None,
        )

    def _tick(self) -> None:
        # First, or whatever fails below would end all deadlines for good.
        self._timer = self._loop.call_later(SWEEP_S, self._tick)
        self.app.sweep()
        with Outlived("to hold clients to their deadlines"):
            self.clients.sweep(self._loop.time())

    def _on_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.stop)
        self._loop.add_signal_handler(signal.SIGHUP, self.reloader.soon)

    def stop(self) -> None:
        """Begin to leave; told so again later, at once."""
        self._is_ready = False
        self.leaving.told()

    async def _leave(self, server: asyncio.Server) -> None:
        """Not ready; wait; stop listening; let streams end; cut what is left."""
        grace = self._settings.drain.grace
        log.info(
            "leaving with %d requests under way, which have %g s; told again, at once",
            self._busy, grace,
        )  # fmt: skip
        await self.leaving.pause(self._settings.drain.delay)
        server.close()
        self._is_leaving = True
        self.clients.pre_shutdown()  # idle ones close now, busy ones after their answer
        until = self._loop.time() + grace
        while self._busy and self._loop.time() < until and not self.leaving.forced.is_set():
            await self.leaving.pause(0.05)
        if self._busy:
            log.warning("cut %d requests that did not end in time", self._busy)
            self.clients.cut()
            for _ in range(CUTTING):
                if not self.room.in_flight:
                    break
                await asyncio.sleep(0.01)

    @property
    def _busy(self) -> int:
        """Requests going on, those among them whose clients are gone."""
        return self.room.in_flight + self.caches.flights.left


async def _outlived(step: Callable[[], Awaitable[object] | None]) -> None:
    with Outlived(f"to leave: {step.__qualname__}"):
        going = step()
        if going is not None:
            await going


def _site(runner: web.AppRunner, address: Address) -> web.BaseSite:
    if address.path:
        return web.UnixSite(runner, address.path)
    return web.TCPSite(runner, address.host, address.port)


@contextlib.contextmanager
def _bound(name: str, address: Address) -> Iterator[None]:
    try:
        yield
    except (OSError, socket.gaierror) as exc:
        reason = exc.strerror or "the name does not resolve"
        raise CannotListen(f"cannot listen on {address} (`{name}`): {reason}") from exc
