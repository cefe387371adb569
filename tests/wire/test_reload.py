"""What a reload leaves of what goes on, and what a refused one must not touch."""

import asyncio

from tests.program import STREAM, program, request
from tests.scripted import ROLE, SSE_HEAD, WORDS, Scripted, framed


async def hangs(peer):
    await peer.send(SSE_HEAD, framed(ROLE), framed(WORDS[0]))
    await asyncio.Event().wait()


async def _reloaded(running, tmp_path, *changes):
    path = tmp_path / "sidestream.yaml"
    text = path.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    path.write_text(text)
    return await running.worker.reloader.reload()


async def test_a_stream_of_an_upstream_that_is_gone_keeps_its_deadlines(tmp_path):
    async with (
        Scripted([hangs]) as upstream,
        program(tmp_path, upstream.port, idle="300ms") as running,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(request(body=STREAM))
        await reader.readuntil(b"Hi")
        assert await _reloaded(running, tmp_path, (str(upstream.port), "1")) == []
        rest = await asyncio.wait_for(reader.read(), 5)
        writer.close()

    assert b"error" in rest
