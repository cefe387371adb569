"""Whatever a client sends, it gets a clear answer in OpenAI's form."""

import asyncio
import gzip

import orjson
import pytest

from tests.program import CHAT, KEY, STREAM, ask, assert_refused, program, read_answer, request
from tests.scripted import REPLY, Scripted, json_answer, says, streams

HEAD = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-test\r\n"
DEEP = b'{"model":"m","messages":' + b"[" * 10_000 + b"]" * 10_000 + b"}"


@pytest.fixture
async def running(tmp_path):
    async with (
        Scripted([says(json_answer())]) as upstream,
        program(
            tmp_path, upstream.port, process="{max_body: 100kB, header_timeout: 300ms, "
            "body_timeout: 300ms, max_header: 8KiB}"
        ) as made,
    ):  # fmt: skip
        yield made


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"   ", "empty"),
        (b"{", "not JSON"),
        (b"[]", "object"),
        (b'"x"', "object"),
        (b"null", "object"),
        (b'{"model": NaN}', "NaN"),
        (b'{"model": -Infinity}', "NaN and Infinity"),
        (b'{"model": "\xff"}', "UTF-8 (byte 11, counted from 0)"),
        (b'{"model":\n"m", "user": "a\xc3(z"}', "UTF-8 (byte 25, counted from 0)"),
        (b'{"model": "\\ud800"}', "surrogate"),
        (DEEP, "100 levels"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "100 levels"),
        (b'{"model":"a","model":"b"}', "'model' is given twice"),
        (b'{"model":"a","mod\\u0065l":"b"}', "'model' is given twice"),
        (b'{"messages":[]}', "model"),
        (b'{"model":7}', "model must be a string"),
        (b'{"model":"m","stream":"yes"}', "stream must be"),
        (b'{"model":"m","stream":true,"stream_options":7}', "stream_options"),
    ],
)
async def test_a_body_that_is_wrong_is_400_and_says_where(running, body, words):
    answer = await ask(running.port, request(body=body))

    assert_refused(answer, 400)
    assert words in answer.error["message"]


@pytest.mark.parametrize(
    "data",
    [
        HEAD + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        HEAD + "Content-Length: 2, 2\r\n\r\n{}",
        HEAD + "Content-Length: -2\r\n\r\n{}",
        HEAD + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        HEAD + "Host: y\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + "Folded: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + "Bad Name: a\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        "POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
        "GARBAGE\r\n\r\n",
        "GET /v1/models?q=\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /v1/chat/completions HTTP/9.9\r\nHost: x\r\n\r\n",
        HEAD + "".join(f"X-{i}: y\r\n" for i in range(300)) + "\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_what_is_not_http_is_400_and_the_connection_ends(running, data):
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(data.encode("latin-1"))
    answer = await asyncio.wait_for(read_answer(reader), 5)

    assert_refused(answer, 400)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


@pytest.mark.parametrize(
    "data", [HEAD + "X: " + "y" * 9000, "GET /" + "y" * 9000 + " HTTP/1.1\r\nHost: x"]
)
async def test_a_head_that_is_too_large_says_so(running, data):
    answer = await ask(running.port, data.encode() + b"\r\n\r\n")

    assert_refused(answer, 431, "headers_too_large")
    assert "8192 bytes (`process.max_header`)" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (request(body=CHAT, key=None), 401, "invalid_api_key"),
        (request(body=CHAT, key="sk-wrong"), 401, "invalid_api_key"),
        (request(body=CHAT, key=None, headers=("Authorization: Basic abc",)), 401, None),
        (request("/v1/nothing", CHAT), 404, "unknown_url"),
        (request("/v1/../v1/chat/completions", CHAT), 404, "unknown_url"),
        (request("/v1//chat/completions", CHAT), 404, "unknown_url"),
        (request("/v1/chat%2fcompletions", CHAT), 404, "unknown_url"),
        (request("/v1/files/%2e%2e/chat/completions", CHAT), 404, "unknown_url"),
        (request("/v1/chat/completions", method="GET"), 405, "method_not_allowed"),
        (request("/v1/models/gpt-4o", method="DELETE"), 405, "method_not_allowed"),
        (request("/v1/files", b"x"), 403, "path_not_allowed"),
        (request("/v1/organization/admin_api_keys", method="GET"), 403, "path_not_allowed"),
        (request("/v1/realtime?model=m", method="GET"), 403, "path_not_allowed"),
        (request(body=b"x" * 200_000), 413, "request_too_large"),
        (request(body=b"x", headers=("Content-Encoding: br",)), 415, "unsupported_media_type"),
        (request(body=b"x", headers=("Content-Encoding: gzip",)), 400, None),
        (request(body=gzip.compress(b" " * 9_000_000), headers=("Content-Encoding: gzip",)),
         413, "request_too_large"),
    ],
)  # fmt: skip
async def test_what_may_not_be_is_refused_by_name(running, data, status, code):
    assert_refused(await ask(running.port, data), status, code)


async def test_refusals_never_repeat_a_key(running):
    answer = await ask(running.port, request(body=CHAT, key="sk-very-secret-thing"))

    assert b"sk-very" not in answer.body


@pytest.mark.parametrize("data", ["POST /v1/chat/comp", HEAD, HEAD + "Content-Le"])
async def test_a_head_that_dawdles_is_408(running, data):
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(data.encode())

    assert_refused(await asyncio.wait_for(read_answer(reader), 5), 408, "request_timeout")
    writer.close()


async def test_a_body_that_dawdles_is_408(running):
    data = (HEAD + "Content-Length: 100\r\n\r\n{").encode()

    assert_refused(await ask(running.port, data), 408, "request_timeout")


async def test_a_chunked_body_over_the_limit_is_413(running):
    body = b"".join(b"4000\r\n" + b"x" * 0x4000 + b"\r\n" for _ in range(20))
    data = (HEAD + "Transfer-Encoding: chunked\r\n\r\n").encode() + body

    assert_refused(await ask(running.port, data), 413, "request_too_large")


async def test_pipelined_requests_are_answered_in_order(running):
    bodies = [{**CHAT, "n": n} for n in range(5)]
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(b"".join(request(body=b) for b in bodies) + request("/v1/nope", method="GET"))
    answers = [await asyncio.wait_for(read_answer(reader), 5) for _ in range(6)]
    writer.close()

    assert [a.status for a in answers] == [200] * 5 + [404]


async def test_a_request_torn_into_single_bytes_is_understood(running):
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    for byte in request(body=CHAT):
        writer.write(bytes([byte]))
        await writer.drain()

    assert (await asyncio.wait_for(read_answer(reader), 5)).json == REPLY
    writer.close()


async def test_reading_goes_on_however_often_it_had_to_stop(tmp_path):
    """More requests in one write than may wait, and bodies larger than is read ahead."""
    large = {**CHAT, "user": "x" * 1_500_000}
    async with (
        Scripted([says(json_answer())]) as upstream,
        program(tmp_path, upstream.port) as running,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(request(body=CHAT) * 100 + request(body=large) * 2 + request(body=CHAT) * 100)
        answers = [await asyncio.wait_for(read_answer(reader), 10) for _ in range(202)]
        writer.close()

    assert [a.status for a in answers] == [200] * 202


async def test_a_compressed_body_is_read_and_sent_on_plain(tmp_path):
    async with (
        Scripted([says(json_answer())]) as upstream,
        program(tmp_path, upstream.port) as running,
    ):
        data = gzip.compress(orjson.dumps(CHAT))
        await ask(running.port, request(body=data, headers=("Content-Encoding: gzip",)))

    assert upstream.requests[0].json == CHAT
    assert "content-encoding" not in upstream.requests[0].headers


async def test_a_client_that_waits_for_100_is_told_to_go_on(running):
    body = orjson.dumps(CHAT)
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write((HEAD + f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n").encode())
    first = await asyncio.wait_for(read_answer(reader), 5)
    writer.write(body)
    second = await asyncio.wait_for(read_answer(reader), 5)
    writer.close()

    assert (first.status, second.status) == (100, 200)


async def test_http_10_clients_get_streams_that_end_with_the_connection(tmp_path):
    async with Scripted([streams()]) as upstream, program(tmp_path, upstream.port) as running:
        data = request(body=STREAM).replace(b"HTTP/1.1", b"HTTP/1.0")
        answer = await ask(running.port, data)

    assert "transfer-encoding" not in answer.headers
    assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_too_many_requests_at_once_are_503_and_too_many_connections_too(tmp_path):
    async def never(peer):
        await peer.left()

    async with (
        Scripted([never]) as upstream,
        program(
            tmp_path, upstream.port, first="20s",
            process="{max_in_flight: 2, max_connections: 4}",
        ) as running,
    ):  # fmt: skip
        held = []
        for _ in range(2):
            _, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(request(body=CHAT))
            held.append(writer)
        while running.worker.room.in_flight < 2:
            await asyncio.sleep(0.001)
        busy = await ask(running.port, request(body=CHAT))
        for _ in range(2):
            _, writer = await asyncio.open_connection("127.0.0.1", running.port)
            held.append(writer)
        crowded = await ask(running.port, b"")
        for writer in held:
            writer.transport.abort()

    assert_refused(busy, 503, "overloaded")
    assert busy.headers["retry-after"] == "1"
    assert_refused(crowded, 503, "overloaded")


async def test_every_kind_of_credential_header_names_the_tenant(running):
    for header in (f"Authorization: bearer {KEY}", f"api-key: {KEY}", f"x-api-key: {KEY}"):
        answer = await ask(running.port, request(body=CHAT, key=None, headers=(header,)))

        assert answer.headers["x-sidestream-tenant"] == "acme"


@pytest.mark.parametrize(
    "given",
    [
        ("Idempotency-Key: a", "idempotency-key: b"),
        ("Idempotency-Key: a", "Idempotency-Key: a"),
        ("authorization: Bearer other",),
        ("Content-Encoding: identity", "Content-Encoding: gzip"),
        ("Content-Type: application/json", "Content-Type: text/plain"),
    ],
)
async def test_a_header_that_may_be_given_once_is_not_given_twice(running, given):
    answer = await ask(running.port, request(body=CHAT, headers=given))

    assert_refused(answer, 400)


async def test_headers_that_are_lists_may_be_given_twice(running):
    given = ("Cache-Control: no-cache", "Cache-Control: no-store", "Accept: a/b", "Accept: */*")
    answer = await ask(running.port, request(body=CHAT, headers=given))

    assert answer.status == 200


async def test_connections_that_no_request_came_by_are_counted_by_why(tmp_path):
    process = "{max_connections: 2, header_timeout: 300ms}"
    async with program(tmp_path, 1, process=process) as running:
        held = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(2)]
        full = await ask(running.port, b"")
        for (reader, writer), data in zip(
            held, (b"\x16\x03\x01\x02\n\r\n", b"GET /v1"), strict=True
        ):
            writer.write(data)
            await asyncio.wait_for(reader.read(), 5)
            writer.close()
        counted = await ask(running.worker.admin_port, request("/metrics", method="GET", key=None))

    assert full.status == 503
    name = "sidestream_connections_refused_total{reason="
    lines = [line for line in counted.body.decode().splitlines() if line.startswith(name)]
    assert lines == [f'{name}"{why}"}} 1.0' for why in ("full", "slow", "malformed")]
