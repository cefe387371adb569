"""Several processes on one port, and one that looks after them.

Workers share the port by SO_REUSEPORT and nothing else.  The parent serves
the admin address: it asks each worker over a unix socket of its own and adds
up what they say.  A worker that dies is started again, with a growing pause
if it dies at once.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson
from aiohttp import web

from proxy.control import dated
from proxy.edge.admin import FROM
from proxy.edge.server import SystemClock
from proxy.observe.together import Together

log = logging.getLogger("sidestream.workers")

MAX_PAUSE: Final = 10.0
"""Seconds before a worker that keeps dying is tried again."""

HEALTHY_S: Final = 5.0
"""A worker that lived this long did not die at once."""


class Supervisor:
    """Starts ``count`` workers with ``command`` and keeps them running.

    ``command(i, path)`` is the argument vector of worker ``i``, whose admin
    listener is the unix socket ``path``.
    """

    def __init__(self, count: int, command: Callable[[int, Path], list[str]], folder: Path) -> None:
        self._command = command
        self._sockets = [folder / f"worker-{i}.sock" for i in range(count)]
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._is_leaving = asyncio.Event()
        self._counts = Together()
        self._about = dated(dict, SystemClock())
        self.restarts = 0

    async def run(self, host: str, port: int) -> int:
        """Serve until a signal; the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._tell, signal.SIGHUP)
        runner = web.AppRunner(self._application(), access_log=None, handle_signals=False)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            async with asyncio.TaskGroup() as group:
                for i in range(len(self._sockets)):
                    group.create_task(self._keep(i))
        finally:
            await runner.cleanup()
        return 0

    def _stop(self) -> None:
        self._is_leaving.set()
        self._tell(signal.SIGTERM)

    def _tell(self, number: signal.Signals) -> None:
        for process in self._processes.values():
            if process.returncode is None:
                process.send_signal(number)

    async def _keep(self, i: int) -> None:
        pause = 0.1
        loop = asyncio.get_running_loop()
        while not self._is_leaving.is_set():
            started = loop.time()
            # A session of its own: Ctrl-C in a terminal reaches the parent alone,
            # and a worker is told by it as often as it is told itself.
            process = await asyncio.create_subprocess_exec(
                *self._command(i, self._sockets[i]),
                start_new_session=True,
                stdin=asyncio.subprocess.PIPE,  # closes with this process, however it ends
            )
            self._processes[i] = process
            if self._is_leaving.is_set():
                # It was told while this one was on its way.
                process.terminate()
            code = await process.wait()
            if self._is_leaving.is_set():
                return
            self.restarts += 1
            pause = 0.1 if loop.time() - started > HEALTHY_S else min(pause * 2, MAX_PAUSE)
            log.error("worker %d ended with %d; starting it again in %.1f s", i, code, pause)
            try:
                await asyncio.wait_for(self._is_leaving.wait(), pause)
            except TimeoutError:
                continue

    def _application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/status", self._status)
        app.router.add_post("/api/reload", self._reload)
        app.router.add_post("/api/cache/{what}", self._cache)
        app.router.add_route("*", "/api/{rest:.*}", self._api)
        return app

    async def _ask(self, method: str, path: str, request: web.Request) -> list[tuple[int, bytes]]:
        """Every worker's status and body; 503 for one that does not answer."""
        headers = {
            name: request.headers[name]
            for name in ("authorization", "user-agent")
            if name in request.headers
        }
        # They see a socket of ours, and judge who asks: the token may change at a reload.
        headers[FROM] = request.remote or ""
        body = await request.read()

        async def one(place: Path) -> tuple[int, bytes]:
            connector = aiohttp.UnixConnector(str(place))
            limit = aiohttp.ClientTimeout(total=10 if path.startswith("/api/") else 2)
            try:
                async with (
                    aiohttp.ClientSession(connector=connector, timeout=limit) as session,
                    session.request(
                        method, f"http://worker{path}", headers=headers, data=body
                    ) as answer,
                ):
                    return answer.status, await answer.read()
            except (OSError, aiohttp.ClientError, TimeoutError):
                return 503, b""

        return await asyncio.gather(*(one(place) for place in self._sockets))

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        answers = await self._ask("GET", "/readyz", request)
        is_ready = not self._is_leaving.is_set() and any(status == 200 for status, _ in answers)
        return web.Response(status=200 if is_ready else 503, text="ready\n" if is_ready else "no\n")

    async def _metrics(self, request: web.Request) -> web.Response:
        before, turn = dict(self._processes), self._counts.turn()
        answers = await self._ask("GET", "/metrics", request)
        told: dict[Hashable, str] = {
            process: answers[i][1].decode()
            for i, process in self._processes.items()
            # Of one that was started meanwhile it is not sure who answered.
            if answers[i][0] == 200 and before.get(i) is process
        }
        body = self._counts.added(turn, told, self._processes.values())
        return web.Response(text=body, content_type="text/plain")

    async def _status(self, request: web.Request) -> web.Response:
        return await self._each("GET", "/status", request, self._about())

    async def _reload(self, request: web.Request) -> web.Response:
        return await self._each("POST", "/api/reload", request)

    async def _api(self, request: web.Request) -> web.Response:
        """Everything else goes to all of them, and the first good answer is the answer."""
        answers = await self._ask(request.method, request.path_qs, request)
        status, body = min(answers)
        kind = "application/json" if body[:1] in b"{[" else "text/csv"
        return web.Response(status=status, body=body, content_type=kind)

    async def _cache(self, request: web.Request) -> web.Response:
        return await self._each("POST", request.path_qs, request)

    async def _each(
        self, method: str, path: str, request: web.Request, about: dict[str, Any] | None = None
    ) -> web.Response:
        answers = await self._ask(method, path, request)
        for status, said in sorted(answers):
            if status in (400, 401, 403, 404):
                return web.Response(status=status, body=said, content_type="application/json")
        worst, _ = max(answers)
        body: dict[str, Any] = {
            **(about or {}),
            "workers": [orjson.loads(data) if data else None for _, data in answers],
            "restarts": self.restarts,
        }
        return web.Response(status=worst, body=orjson.dumps(body), content_type="application/json")


def leave_with_parent(
    loop: asyncio.AbstractEventLoop, leave: Callable[[], None], source: int = 0
) -> None:
    """Call ``leave`` when the parent is gone, which nobody else tells a worker: then
    ``source``, the end of a pipe that the parent holds, can be read.
    """

    def gone() -> None:
        loop.remove_reader(source)
        log.error("the parent is gone; this worker leaves too")
        leave()

    loop.add_reader(source, gone)


def worker_command(arguments: list[str]) -> Callable[[int, Path], list[str]]:
    """How to start a worker: this program again, with the worker's own socket."""

    def command(_i: int, path: Path) -> list[str]:
        return [sys.executable, "-m", "proxy", *arguments, "--worker-admin", f"unix:{path}"]

    return command
