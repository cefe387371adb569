"""A process that ends before its answers do."""

import asyncio

import orjson
import pytest

from tests.program import CHAT, STREAM, program, request
from tests.redis.conftest import until
from tests.scripted import ROLE, SSE_HEAD, WORDS, Scripted, framed


class Kept(list):
    def write(self, line):
        self.append(line)


async def hangs(peer):
    await peer.left()


async def stalls(peer):
    await peer.send(SSE_HEAD, framed(ROLE), framed(WORDS[0]))
    await peer.left()


def parts_of(is_cached):
    if not is_cached:
        return {}
    route = '\n  - {name: kept, match: {model: "*"}, targets: [{upstream: main}], cache: answers}'
    return {"more": "cache: {answers: {}}", "routes": route}


@pytest.mark.parametrize("is_cached", [False, True])
async def test_a_stream_that_is_cut_says_why(tmp_path, is_cached):
    lines = Kept()
    async with (
        Scripted([stalls]) as upstream,
        program(tmp_path, upstream.port, first="20s", idle="20s", **parts_of(is_cached)) as running,
    ):
        running.worker.plane.current.pipeline.stages[0]._log = lines
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(request(body={**STREAM, "temperature": 0}))
        await reader.readuntil(b"Hi")
        running.worker.stop()
        running.worker.stop()
        rest = await asyncio.wait_for(reader.read(), 10)
        await until(upstream.peer_left.is_set)
        writer.close()

    assert b'"code":"shutting_down"' in rest
    assert b"[DONE]" not in rest
    line = orjson.loads(lines[-1])
    assert (line["end"], line["error"]) == ("refused", "shutting_down")


@pytest.mark.parametrize("is_cached", [False, True])
async def test_an_answer_that_has_not_begun_is_refused_with_a_time_to_come_back(
    tmp_path, is_cached
):
    async with (
        Scripted([hangs]) as upstream,
        program(tmp_path, upstream.port, first="20s", idle="20s", **parts_of(is_cached)) as running,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(request(body={**CHAT, "temperature": 0}))
        await until(lambda: upstream.requests)
        running.worker.stop()
        running.worker.stop()
        whole = await asyncio.wait_for(reader.read(), 10)
        await until(upstream.peer_left.is_set)
        writer.close()

    head, _, body = whole.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: " in head.lower()
    assert orjson.loads(body)["error"]["code"] == "shutting_down"
