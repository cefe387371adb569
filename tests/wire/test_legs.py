"""The leg upstream, where it does not come as far as a request."""

import asyncio

import pytest

from tests.program import CHAT, ask, assert_refused, program, request
from tests.scripted import Scripted, json_answer, says


async def test_a_full_pool_leads_to_the_fallback(tmp_path):
    gate = asyncio.Event()

    async def script(peer):
        await gate.wait()
        await peer.send(json_answer())

    async with Scripted([script]) as busy, Scripted([says(json_answer())]) as other:
        upstreams = (
            f'\n  full: {{kind: generic, base_url: "http://127.0.0.1:{busy.port}/v1", max_connections: 1,'
            " timeouts: {connect: 50ms, first_token: 10s}}"
        )
        routes = (
            "\n  - {name: first, match: {model: crowded}, targets: [{upstream: full}],"
            " fallback: [{upstream: main}]}"
        )
        async with program(tmp_path, other.port, upstreams=upstreams, routes=routes) as running:
            body = request(body={**CHAT, "model": "crowded"})
            held = asyncio.create_task(ask(running.port, body))
            while not busy.requests:
                await asyncio.sleep(0)
            answer = await ask(running.port, body)
            gate.set()
            first = await held

    assert (answer.status, first.status) == (200, 200)
    assert answer.headers["x-sidestream-target"] == "main"
    assert first.headers["x-sidestream-target"] == "full"


@pytest.mark.parametrize("options", [5, "x", [1]])
async def test_a_request_that_cannot_be_sent_on_took_no_time_upstream(tmp_path, options):
    async with Scripted([says(json_answer())]) as up, program(tmp_path, up.port) as running:
        body = {**CHAT, "stream": True, "stream_options": options}
        answer = await ask(running.port, request(body=body))

    assert_refused(answer, 400, answer.json["error"]["code"])
    assert 0.0 <= float(answer.headers["x-sidestream-overhead-ms"]) < 5_000
