"""A process that ends before its answers do."""

import asyncio
from pathlib import Path

import orjson
import pytest

from tests.ports import free_port
from tests.program import CHAT, STREAM, program, request
from tests.redis.conftest import until
from tests.scripted import ROLE, SSE_HEAD, WORDS, Scripted, framed, json_answer, says
from tests.wire.test_operating import Command, children


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
async def test_a_stream_that_is_cut_says_why(tmp_path, log_lines, is_cached):
    parts = parts_of(is_cached)
    async with (
        Scripted([stalls]) as upstream,
        program(
            tmp_path, upstream.port, first="20s", idle="20s", requests="stdout", **parts
        ) as running,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(request(body={**STREAM, "temperature": 0}))
        await reader.readuntil(b"Hi")
        running.leave_at_once()
        rest = await asyncio.wait_for(reader.read(), 10)
        await until(upstream.peer_left.is_set)
        writer.close()

    assert b'"code":"shutting_down"' in rest
    assert b"[DONE]" not in rest
    line = orjson.loads(log_lines()[-1])
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
        running.leave_at_once()
        whole = await asyncio.wait_for(reader.read(), 10)
        await until(upstream.peer_left.is_set)
        writer.close()

    head, _, body = whole.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: " in head.lower()
    assert orjson.loads(body)["error"]["code"] == "shutting_down"


async def test_workers_leave_when_their_parent_is_killed(tmp_path):
    data, admin = free_port(), free_port()
    path = tmp_path / "c.yaml"
    async with Scripted([says(json_answer())]) as upstream:
        path.write_text(f"""\
listen: 127.0.0.1:{data}
admin: {{listen: "127.0.0.1:{admin}"}}
workers: 2
upstreams: {{up: {{kind: generic, base_url: "http://127.0.0.1:{upstream.port}/v1"}}}}
routes: [{{name: all, targets: [{{upstream: up}}]}}]
""")
        async with Command("serve", "--config", str(path)) as command:
            await command.until("serving")
            await command.until("serving")
            workers = children(command.process.pid)
            command.process.kill()
            async with asyncio.timeout(20):
                while any(is_running(pid) for pid in workers):
                    await asyncio.sleep(0.05)

    assert len(workers) == 2
    assert command.rest[1].count(b"the parent is gone") == 2


def is_running(pid):
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
