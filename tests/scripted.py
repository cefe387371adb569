"""An upstream that does exactly what a test tells it, on a real socket."""

import asyncio
import contextlib
import gzip
import socket
import struct
from dataclasses import dataclass, field

import orjson

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
REPLY = {
    "id": "c1", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"},
                 "finish_reason": "stop"}],
    "usage": USAGE,
}  # fmt: skip


def chunk(delta, finish=None, **more):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    base = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + orjson.dumps({**base, "choices": [choice], **more}) + b"\n\n"


ROLE = chunk({"role": "assistant", "content": ""})
WORDS = [chunk({"content": w}) for w in ("Hi", " there", "!")]
STOP = chunk({}, "stop")
USAGE_EVENT = (
    b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":'
    + orjson.dumps(USAGE) + b"}\n\n"
)  # fmt: skip
DONE = b"data: [DONE]\n\n"
STREAM = [ROLE, *WORDS, STOP, USAGE_EVENT, DONE]


def framed(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def json_answer(value=REPLY, status=200, headers=()):
    body = value if isinstance(value, bytes) else orjson.dumps(value)
    lines = [
        f"HTTP/1.1 {status} X",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


SSE_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def gzipped_json():
    return json_answer(gzip.compress(orjson.dumps(REPLY)), headers=("Content-Encoding: gzip",))


@dataclass
class Seen:
    """One request as it arrived."""

    line: str
    headers: dict
    body: bytes

    @property
    def json(self):
        return orjson.loads(self.body)


class Peer:
    """The connection a script talks to."""

    def __init__(self, upstream, reader, writer):
        self.upstream = upstream
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces):
        """Write each piece on its own."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def stream(self, events=STREAM):
        await self.send(SSE_HEAD, *map(framed, events), b"0\r\n\r\n")

    def reset(self):
        """Close with RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self):
        self.writer.close()

    async def left(self):
        """Wait until the other side is gone."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass
        self.upstream.peer_left.set()


@dataclass
class Scripted:
    """Plays ``script`` for each request; the last one again when they run out."""

    scripts: list
    requests: list = field(default_factory=list)
    connections: int = 0
    peer_left: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self._tasks = set()
        return self

    async def __aexit__(self, *exc):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        self.connections += 1
        self._tasks.add(asyncio.current_task())
        peer = Peer(self, reader, writer)
        try:
            while True:
                seen = await self._read(peer)
                self.requests.append(seen)
                script = self.scripts[min(len(self.requests), len(self.scripts)) - 1]
                await script(peer)
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            self.peer_left.set()
        finally:
            writer.close()

    async def _read(self, peer):
        head = (await peer.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = head.split("\r\n")[:-2]
        headers = {n.lower(): v.strip() for n, _, v in (h.partition(":") for h in rest)}
        body = b""
        if "content-length" in headers:
            body = await peer.reader.readexactly(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            while size := int((await peer.reader.readuntil(b"\r\n"))[:-2], 16):
                body += await peer.reader.readexactly(size)
                await peer.reader.readexactly(2)
            await peer.reader.readexactly(2)
        return Seen(line, headers, body)


def says(*pieces):
    """A script that sends bytes."""

    async def script(peer):
        await peer.send(*pieces)

    return script


def streams(events=STREAM):
    async def script(peer):
        await peer.stream(events)

    return script


def then(*pieces, end):
    """A script that sends bytes and then resets, closes or hangs."""

    async def script(peer):
        await peer.send(*pieces)
        if end == "reset":
            peer.reset()
        elif end == "close":
            peer.close()
        else:
            await peer.left()

    return script
