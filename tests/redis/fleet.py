"""Sidecars as processes of their own, and an upstream that counts honestly."""

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass, field

import orjson

from tests.ports import free_port
from tests.program import DIGEST, KEY, read_answer, request

CONFIG = """\
listen: 127.0.0.1:{port}
admin: {{listen: "127.0.0.1:{admin}", token: admin-token}}
store: {{url: "{store}", timeout: 2s, lease: 1s}}
upstreams: {{main: {{kind: generic, base_url: "http://127.0.0.1:{upstream}/v1"}}}}
routes: [{{name: all, targets: [{{upstream: main}}]}}]
tenants: {{acme: {{keys: [{{sha256: {digest}, name: one}}], limits: shared}}}}
limits: {{shared: {{{limits}}}}}
log: {{requests: "off"}}
drain: {{grace: 1s}}
"""


@dataclass
class Sidecar:
    """One process of the program."""

    port: int
    admin: int
    process: asyncio.subprocess.Process

    def kill(self):
        self.process.send_signal(signal.SIGKILL)


@contextlib.asynccontextmanager
async def fleet(tmp_path, store, upstream, limits, count=4):
    """``count`` sidecars on one store, ready to serve."""
    sidecars = []
    try:
        for i in range(count):
            port, admin = free_port(), free_port()
            path = tmp_path / f"{i}.yaml"
            path.write_text(
                CONFIG.format(
                    port=port,
                    admin=admin,
                    store=store,
                    upstream=upstream,
                    digest=DIGEST,
                    limits=limits,
                )
            )
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "proxy", "serve", "--config", str(path),
                env={**os.environ, "SIDESTREAM_LOG_LEVEL": "ERROR"},
            )  # fmt: skip
            sidecars.append(Sidecar(port, admin, process))
        await asyncio.gather(*[_ready(sidecar) for sidecar in sidecars])
        yield sidecars
    finally:
        for sidecar in sidecars:
            if sidecar.process.returncode is None:
                sidecar.process.terminate()
        await asyncio.gather(*[sidecar.process.wait() for sidecar in sidecars])


async def _ready(sidecar):
    async with asyncio.timeout(30):
        while True:
            assert sidecar.process.returncode is None, "a sidecar ended before it served"
            with contextlib.suppress(OSError):
                status = await api(sidecar, "/status")
                if status["store"]["is_up"]:
                    return
            await asyncio.sleep(0.02)


async def api(sidecar, path):
    headers = ["Authorization: Bearer admin-token"]
    reader, writer = await asyncio.open_connection("127.0.0.1", sidecar.admin)
    writer.write(request(path, method="GET", key=None, headers=headers))
    answer = await read_answer(reader)
    writer.close()
    return answer.json


@dataclass
class Client:
    """Keeps one connection and does what it is told."""

    sidecar: Sidecar
    statuses: list = field(default_factory=list)

    async def run(self, body, is_over):
        """Ask until ``is_over(answer)``, waiting as long as each refusal says."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.sidecar.port)
        data = request(body=body, key=KEY)
        try:
            while True:
                writer.write(data)
                answer = await read_answer(reader)
                self.statuses.append(answer.status)
                if is_over(answer):
                    return
                if answer.status == 429:
                    await asyncio.sleep(float(answer.headers["retry-after-ms"]) / 1000)
        finally:
            writer.close()


class Upstream:
    """Answers with as many tokens as it was allowed, and adds up what it said."""

    def __init__(self):
        self.tokens = 0
        self.requests = 0
        self.open = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc):
        self._server.close()

    async def _serve(self, reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                body = orjson.loads(await reader.readexactly(length))
                if body.get("stream"):
                    await self._hang(reader, writer)
                    return
                prompt = len(body["messages"][0]["content"].split()) + 5
                answer = body["max_tokens"]
                self.tokens += prompt + answer
                self.requests += 1
                usage = {
                    "prompt_tokens": prompt,
                    "completion_tokens": answer,
                    "total_tokens": prompt + answer,
                }
                said = orjson.dumps({"object": "chat.completion", "choices": [], "usage": usage})
                await asyncio.sleep(0.02)
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
                    % (len(said), said)
                )
        writer.close()

    async def _hang(self, reader, writer):
        """Begin a stream and say nothing more."""
        self.open += 1
        event = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            b"%x\r\n%s\r\n" % (len(event), event)
        )
        with contextlib.suppress(ConnectionError):
            await reader.read(1)
        writer.close()
