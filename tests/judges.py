"""A judge on a real socket that does what a test tells it."""

import asyncio
import contextlib
from dataclasses import dataclass, field

import orjson

FROZEN = object()  # takes the request and never answers


@dataclass
class Judge:
    """Answers each request by ``say``: a value, bytes of a whole answer, or ``FROZEN``."""

    say: object
    asked: list = field(default_factory=list)
    port: int = 0
    open: int = 0

    async def __aenter__(self):
        self._tasks = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc):
        await self.stop()

    async def stop(self):
        """Close the socket and drop who is connected."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/judge"

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        self.open += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                size = int(head.lower().partition("content-length:")[2].split("\r\n")[0])
                body = orjson.loads(await reader.readexactly(size))
                self.asked.append((head, body))
                said = self.say(body) if callable(self.say) else self.say
                if said is FROZEN:
                    await reader.read()
                    return
                if not isinstance(said, bytes):
                    data = orjson.dumps(said)
                    said = (
                        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                        b"content-length: %d\r\n\r\n" % len(data)
                    ) + data
                writer.write(said)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()


def chat(text):
    """A chat completion that says ``text``."""
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}
