"""The program itself, run inside a test on ports of its own, and a raw client."""

import asyncio
import contextlib
import gc
from dataclasses import dataclass, field
from hashlib import sha256

import orjson

from proxy.config.load import load
from proxy.config.schema import Address
from proxy.serve import Listening, Worker

KEY = "sk-test"
DIGEST = sha256(KEY.encode()).hexdigest()

CONFIG = """\
version: 1
listen: 127.0.0.1:0
admin: {{listen: "127.0.0.1:0", token: admin-token}}
drain: {{grace: 1s}}
process: {process}
upstreams:
  main: {{kind: {kind}, base_url: "http://127.0.0.1:{port}/v1", api_key: sk-up,
          timeouts: {{connect: 2s, first_token: {first}, idle: {idle}, total: 20s}}}}
{upstreams}
routes:
{routes}
  - {{name: rest, match: {{model: "{rest}"}}, targets: [{{upstream: main}}], retry: {{attempts: {attempts}}}}}
tenants:
  acme: {{keys: [{{sha256: {digest}, name: one}}]{tenant}}}
{tenants}
log: {{{usage}requests: "{requests}"}}
{more}
"""


@dataclass
class Program:
    """A running worker."""

    worker: Worker
    task: asyncio.Task

    @property
    def port(self):
        return self.worker.port

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    def leave_at_once(self):
        self.worker.stop()
        self.worker.leaving.force()

    def counts(self):
        """All that must be zero when nothing goes on."""
        pools = self.worker.app._fleet._pools.values()
        return {
            "in_flight": self.worker.room.in_flight,
            "busy": sum(p.in_flight for p in pools),
            "opening": sum(p._opening for p in pools),
            "slots": sum(g.in_flight + g.waiting for g in self.worker.app._fleet._gates.values()),
        }

    async def settled(self):
        """Wait until nothing goes on; the counts if that never comes."""
        for _ in range(400):
            if not any(self.counts().values()):
                return {}
            await asyncio.sleep(0.005)
        return self.counts()


@contextlib.asynccontextmanager
async def program(tmp_path, port, *, env=None, **parts):
    """The program with one upstream on ``port``."""
    values = {
        "process": "{}", "kind": "generic", "first": "700ms", "idle": "700ms", "upstreams": "",
        "routes": "", "attempts": 1, "rest": "*", "tenant": "", "tenants": "", "more": "", "usage": "",
        "requests": "off",
    } | parts  # fmt: skip
    path = tmp_path / "sidestream.yaml"
    path.write_text(CONFIG.format(port=port, digest=DIGEST, **values))

    def again():
        return load(path, env or {})

    loaded = again()
    worker = Worker(
        loaded, again, Listening(Address("127.0.0.1", 0)), loop=asyncio.get_running_loop()
    )
    ready = asyncio.Event()
    task = asyncio.create_task(worker.run(ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        waiting.cancel()
        await task
    running = Program(worker, task)
    before = asyncio.all_tasks()
    try:
        yield running
        assert await running.settled() == {}
        for _ in range(400):
            left = [t for t in asyncio.all_tasks() - before if _is_ours(t)]
            if not left:
                break
            await asyncio.sleep(0.005)
        assert left == []
    finally:
        running.leave_at_once()
        await task
        gc.collect()


def _is_ours(task):
    """Whether a task runs the program's code, and neither the test's own nor a
    store's, which keeps its connections for as long as the program runs.
    """
    code = getattr(task.get_coro(), "cr_code", None)
    name = code.co_filename if code is not None else ""
    return "/proxy/" in name and "/proxy/stores/" not in name


@dataclass
class Answer:
    status: int
    headers: dict
    body: bytes
    is_whole: bool = True
    raw_headers: list = field(default_factory=list)

    @property
    def json(self):
        return orjson.loads(self.body)

    @property
    def error(self):
        return self.json["error"]

    @property
    def events(self):
        return [e for e in self.body.decode().split("\n\n") if e]


async def read_answer(reader, *, is_head=False):
    """One answer, read strictly; ``is_whole`` says whether its end was seen."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")[:-2]
    raw = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
    status = int(lines[0].split(" ")[1])
    headers = {name.lower(): value for name, value in raw}
    if status < 200:
        return Answer(status, headers, b"", raw_headers=raw)
    body, is_whole = b"", True
    try:
        if is_head or status in (204, 304):
            pass
        elif headers.get("transfer-encoding") == "chunked":
            while size := int((await reader.readuntil(b"\r\n"))[:-2], 16):
                body += await reader.readexactly(size)
                assert await reader.readexactly(2) == b"\r\n"
            assert await reader.readexactly(2) == b"\r\n"
        elif "content-length" in headers:
            body = await reader.readexactly(int(headers["content-length"]))
        else:
            body = await reader.read()
    except (asyncio.IncompleteReadError, ConnectionError) as exc:
        body += getattr(exc, "partial", b"")
        is_whole = False
    return Answer(status, headers, body, is_whole, raw)


def request(path="/v1/chat/completions", body=None, *, method="POST", key=KEY, headers=()):
    """The bytes of a request."""
    data = b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
    lines = [f"{method} {path} HTTP/1.1", "Host: x"]
    if key:
        lines.append(f"Authorization: Bearer {key}")
    if body is not None and not any(h.lower().startswith("transfer-encoding") for h in headers):
        lines.append(f"Content-Length: {len(data)}")
    if not any(h.lower().startswith("content-type") for h in headers):
        lines.append("Content-Type: application/json")
    return "\r\n".join([*lines, *headers, "", ""]).encode("latin-1") + data


CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
STREAM = {**CHAT, "stream": True}


async def ask(port, data, *, is_head=False):
    """Send ``data``, read one answer, close."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        return await asyncio.wait_for(read_answer(reader, is_head=is_head), 10)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def assert_refused(answer, status, code=None):
    """An error in OpenAI's form, whole."""
    assert answer.status == status, answer.body
    assert set(answer.error) == {"message", "type", "param", "code"}
    assert answer.error["message"]
    assert answer.is_whole
    assert "x-sidestream-id" in answer.headers or answer.headers.get("connection") == "close"
    if code is not None:
        assert answer.error["code"] == code
