"""A small upstream that speaks the OpenAI wire, for trying the program.

Answers are made from the request alone.  A model named ``mock-20ms`` waits
that long between the events of a stream.  ``GET /stats`` counts requests and
clients that left in mid-stream.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import Any

import orjson
from aiohttp import web

from proxy import mock_answers as say
from proxy.mock_responses import response, response_events

_PACE = re.compile(r"-(\d{1,4})ms$")
Events = Callable[[say.Body], Iterator[bytes]]
Whole = Callable[[say.Body], say.Body]


class Mock:
    """The handlers, and what they counted."""

    def __init__(self) -> None:
        self.stats = {"requests": 0, "open": 0, "aborted": 0}

    def application(self) -> web.Application:
        """The routes, ready for a runner."""
        app = web.Application(client_max_size=64 << 20)
        post = app.router.add_post
        post("/v1/chat/completions", self._talk(say.chat, say.chat_events))
        post("/v1/completions", self._talk(say.completion, say.completion_events))
        post("/v1/responses", self._talk(response, response_events))
        post("/v1/embeddings", self._talk(say.embeddings, None))
        post("/v1/moderations", self._talk(_moderation, None))
        post("/v1/images/generations", self._talk(_image, None))
        post("/v1/audio/speech", self._speech)
        post("/v1/audio/transcriptions", self._transcription)
        post("/v1/files", self._file)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/realtime", self._realtime)
        app.router.add_get("/stats", self._stats)
        return app

    def _talk(self, whole: Whole, events: Events | None) -> Any:
        async def handler(request: web.Request) -> web.StreamResponse:
            self.stats["requests"] += 1
            body = orjson.loads(await request.read())
            if body.get("stream") and events is not None:
                return await self._stream(request, body, events)
            return _json(whole(body))

        return handler

    async def _stream(
        self, request: web.Request, body: say.Body, events: Events
    ) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        pace = _PACE.search(str(body.get("model", "")))
        self.stats["open"] += 1
        is_whole = False
        try:
            for event in events(body):
                await answer.write(event)
                if pace is not None:
                    await asyncio.sleep(int(pace[1]) / 1000)
            is_whole = True
        finally:
            self.stats["open"] -= 1
            self.stats["aborted"] += not is_whole
        return answer

    async def _speech(self, request: web.Request) -> web.Response:
        self.stats["requests"] += 1
        body = orjson.loads(await request.read())
        sound = bytes(range(256)) * (1 + len(str(body.get("input", ""))))
        return web.Response(body=sound, content_type="audio/mpeg")

    async def _transcription(self, request: web.Request) -> web.StreamResponse:
        self.stats["requests"] += 1
        form = await request.post()
        sound = form.get("file")
        size = len(sound.file.read()) if isinstance(sound, web.FileField) else 0
        model = form.get("model")
        text = f"{size} bytes of sound for {model if isinstance(model, str) else 'no model'}"
        tokens = {"type": "tokens", "input_tokens": size, "output_tokens": 5,
                  "total_tokens": size + 5}  # fmt: skip
        return _json({"text": text, "usage": tokens})

    async def _file(self, request: web.Request) -> web.Response:
        self.stats["requests"] += 1
        size = 0
        async for piece in request.content.iter_any():
            size += len(piece)
        return _json({"id": "file-mock", "object": "file", "bytes": size, "purpose": "batch"})

    async def _models(self, request: web.Request) -> web.Response:
        model = {"id": "mock", "object": "model", "created": say.CREATED, "owned_by": "mock"}
        return _json({"object": "list", "data": [model]})

    async def _realtime(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("realtime",))
        await socket.prepare(request)
        await socket.send_bytes(orjson.dumps({"type": "session.created"}))
        async for message in socket:
            if message.type is web.WSMsgType.TEXT:
                await socket.send_str(message.data)
            elif message.type is web.WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        return socket

    async def _stats(self, request: web.Request) -> web.Response:
        return _json(self.stats)


def _moderation(body: say.Body) -> say.Body:
    result = {"flagged": False, "categories": {}, "category_scores": {}}
    return {"id": "modr-mock", "model": body.get("model"), "results": [result]}


def _image(_body: say.Body) -> say.Body:
    return {"created": say.CREATED, "data": [{"b64_json": say.PIXEL}]}


def _json(value: say.Body) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")


async def start_mock(host: str, port: int) -> tuple[web.AppRunner, int]:
    """A running mock and its port; ``await runner.cleanup()`` ends it."""
    runner = web.AppRunner(
        Mock().application(), access_log=None, handle_signals=False, handler_cancellation=True
    )
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    return runner, runner.addresses[0][1]
