"""The leg upstream, where it does not come as far as a request."""

import asyncio
import gzip

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


async def test_a_request_that_kills_its_connection_is_sent_twice_at_most(tmp_path):
    """Under a bound every connection is handed over used, so none tells that it was idle."""

    async def script(peer):
        if b"poison" in peer.upstream.requests[-1].body:
            peer.close()
            return
        await peer.send(json_answer())

    upstreams = (
        '\n  full: {{kind: generic, base_url: "http://127.0.0.1:{port}/v1", max_connections: 1}}'
    )
    routes = "\n  - {name: first, match: {model: crowded}, targets: [{upstream: full}], retry: {attempts: 1}}"
    poison = [{"role": "user", "content": "poison"}]
    async with (
        Scripted([script]) as up,
        program(
            tmp_path, up.port, upstreams=upstreams.format(port=up.port), routes=routes
        ) as running,
    ):
        body = {**CHAT, "model": "crowded"}
        others = [asyncio.create_task(ask(running.port, request(body=body))) for _ in range(9)]
        bad = await ask(running.port, request(body={**body, "messages": poison}))
        good = await asyncio.gather(*others)

    assert_refused(bad, 502, "upstream_reset")
    assert sum(b"poison" in seen.body for seen in up.requests) <= 2
    assert {a.status for a in good} <= {200, 502}


async def test_an_upstream_says_nothing_of_who_may_read_its_answers(tmp_path):
    headers = "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\n"
    answer = json_answer().replace(b"\r\n\r\n", b"\r\n" + headers.encode() + b"\r\n", 1)
    async with Scripted([says(answer)]) as up, program(tmp_path, up.port) as running:
        got = await ask(running.port, request(body=CHAT, headers=("Origin: https://evil.example",)))

    assert got.status == 200
    assert not [name for name in got.headers if name.startswith("access-control-")]
    assert "origin" not in up.requests[0].headers


PAGE = ("Origin: https://evil.example", "Sec-Fetch-Site: cross-site", "Content-Type: text/plain")


async def test_a_page_of_another_site_spends_nothing_of_who_needs_no_key(tmp_path):
    anonymous = "  guest: {anonymous: true}"
    async with (
        Scripted([says(json_answer())]) as up,
        program(tmp_path, up.port, tenants=anonymous) as running,
    ):
        page = await ask(running.port, request(body=CHAT, key=None, headers=PAGE))
        known = await ask(running.port, request(body=CHAT, headers=PAGE))
        curl = await ask(running.port, request(body=CHAT, key=None, headers=FORM))
        reads = await ask(running.port, request("/v1/models", method="GET", key=None, headers=PAGE))

    assert_refused(page, 403, "cross_site_request")
    assert (known.status, curl.status, reads.status) == (200, 200, 200)
    assert [seen.line[:4] for seen in up.requests] == ["POST", "POST", "GET "]


FORM = ("Content-Type: application/x-www-form-urlencoded",)
WHOLE = gzip.compress(json_answer().partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (WHOLE, 200),
        (WHOLE[: len(WHOLE) // 2], 502),
        (WHOLE[:-9], 502),
        (gzip.compress(b'{"object": "chat.completion", ') + gzip.compress(b'"choices": []}'), 200),
    ],
)
async def test_a_compressed_answer_is_whole_or_none(tmp_path, body, status):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
    answer = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    async with Scripted([says(answer)]) as up, program(tmp_path, up.port) as running:
        got = await ask(running.port, request(body=CHAT))

    assert got.status == status
    if status == 200:
        assert got.json["object"] == "chat.completion"
    else:
        assert_refused(got, 502, "upstream_reset")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["up-1"], "up-1"),
        (["x" * 256], "x" * 256),
        (["x" * 257], None),
        ([""], None),
        (["a b"], None),
        (["caf\u00e9"], None),
        (["up-1", "up-2"], "up-1"),
    ],
)
async def test_a_request_id_of_the_upstream_is_one_word_or_it_is_ours(tmp_path, given, told):
    answer = json_answer(headers=[f"X-Request-Id: {one}" for one in given])
    async with Scripted([says(answer)]) as up, program(tmp_path, up.port) as running:
        got = await ask(running.port, request(body=CHAT))

    ids = [value for name, value in got.raw_headers if name.lower() == "x-request-id"]
    assert ids == [told or got.headers["x-sidestream-id"]]
