"""Whatever an upstream does, the client gets a clear answer and nothing leaks."""

import asyncio
import gzip

import orjson
import pytest

from tests.program import CHAT, STREAM, ask, assert_refused, program, request
from tests.scripted import (
    DONE,
    REPLY,
    ROLE,
    SSE_HEAD,
    STOP,
    USAGE_EVENT,
    WORDS,
    Scripted,
    framed,
    gzipped_json,
    json_answer,
    says,
    streams,
    then,
)  # fmt: skip

PLAIN = request(body=CHAT)
STREAMED = request(body=STREAM)
PARTIAL_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: applica"
PARTIAL_BODY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{"


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        (then(end="reset"), 502, "upstream_reset"),
        (then(end="close"), 502, "upstream_reset"),
        (then(end="hang"), 504, "upstream_timeout"),
        (then(PARTIAL_HEAD, end="hang"), 504, "upstream_timeout"),
        (then(PARTIAL_HEAD, end="close"), 502, "upstream_reset"),
        (then(PARTIAL_BODY, end="close"), 502, "upstream_reset"),
        (then(PARTIAL_BODY, end="reset"), 502, "upstream_reset"),
        (then(PARTIAL_BODY, end="hang"), 504, "upstream_timeout"),
        (says(b"220 smtp.example ESMTP\r\n\r\n"), 502, "upstream_protocol_error"),
        (says(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000), 502, "upstream_protocol_error"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
         502, "upstream_protocol_error"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
         502, "upstream_protocol_error"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}"), 502, "upstream_protocol_error"),
        (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
         502, "upstream_protocol_error"),
        (says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
         502, "upstream_protocol_error"),
        (says(b"HTTP/1.1 100 Continue\r\n\r\n" * 40), 502, "upstream_protocol_error"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked"
              b"\r\n\r\nzz\r\n"), 502, "upstream_protocol_error"),
        (says(json_answer(b"not gzip at all", headers=("Content-Encoding: gzip",))),
         502, "upstream_protocol_error"),
        (says(json_answer(gzip.compress(b"0" * 9_000_000), headers=("Content-Encoding: gzip",))),
         502, "upstream_protocol_error"),
    ],
)  # fmt: skip
async def test_a_fault_before_the_answer_is_whole_is_one_clear_error(
    tmp_path, script, status, code
):
    async with Scripted([script]) as upstream, program(tmp_path, upstream.port) as running:
        for data in (PLAIN, STREAMED):
            assert_refused(await ask(running.port, data), status, code)


async def test_an_upstream_that_refuses_connections_is_502(tmp_path):
    async with Scripted([says(b"")]) as gone:
        pass
    async with program(tmp_path, gone.port) as running:
        assert_refused(await ask(running.port, PLAIN), 502, "upstream_unreachable")


@pytest.mark.parametrize(
    ("pieces", "end", "code"),
    [
        ((ROLE, WORDS[0]), "close", "upstream_reset"),
        ((ROLE, WORDS[0]), "reset", "upstream_reset"),
        ((ROLE, WORDS[0]), "hang", "upstream_timeout"),
        ((ROLE, WORDS[0], WORDS[1][:40]), "close", "upstream_reset"),
        ((ROLE, WORDS[0], WORDS[1][:40]), "hang", "upstream_timeout"),
    ],
)
async def test_a_fault_in_mid_stream_is_an_error_event_and_no_done(tmp_path, pieces, end, code):
    script = then(SSE_HEAD, *map(framed, pieces), end=end)
    async with Scripted([script]) as upstream, program(tmp_path, upstream.port) as running:
        answer = await ask(running.port, STREAMED)

    assert answer.status == 200
    assert answer.is_whole
    assert answer.events[:2] == [p.decode().strip() for p in pieces[:2]]
    assert orjson.loads(answer.events[-1].removeprefix("data: "))["error"]["code"] == code
    assert len(answer.events) == 3
    assert b"[DONE]" not in answer.body


async def test_invalid_chunking_in_mid_stream_is_an_error_event(tmp_path):
    script = says(SSE_HEAD, framed(ROLE), framed(WORDS[0]), b"nonsense\r\n")
    async with Scripted([script]) as upstream, program(tmp_path, upstream.port) as running:
        answer = await ask(running.port, STREAMED)

    error = orjson.loads(answer.events[-1].removeprefix("data: "))["error"]
    assert error["code"] == "upstream_protocol_error"


async def test_a_stream_that_stops_without_its_end_is_no_success(tmp_path):
    script = streams([ROLE, WORDS[0]])
    async with Scripted([script]) as upstream, program(tmp_path, upstream.port) as running:
        answer = await ask(running.port, STREAMED)

    assert "upstream_truncated" in answer.events[-1]


async def test_responses_errors_are_numbered_on_and_have_their_own_form(tmp_path):
    events = [
        b'event: response.created\ndata: {"type":"response.created","sequence_number":0,"response":{}}\n\n',
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta",'
        b'"sequence_number":1,"delta":"Hi"}\n\n',
    ]
    async with Scripted([streams(events)]) as upstream, program(tmp_path, upstream.port) as running:
        body = {"model": "m", "input": "Hello", "stream": True}
        answer = await ask(running.port, request("/v1/responses", body))

    kind, data = answer.events[-1].split("\n")
    error = orjson.loads(data.removeprefix("data: "))
    assert kind == "event: error"
    assert error["sequence_number"] == 2
    assert error["code"] == error["error"]["code"] == "upstream_truncated"


async def test_half_a_body_that_is_no_stream_ends_in_a_broken_connection(tmp_path):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: 900000\r\n\r\n"
    script = then(head, b"x" * 1000, end="close")
    async with Scripted([script]) as upstream, program(tmp_path, upstream.port) as running:
        body = {"model": "tts", "input": "Hello"}
        answer = await ask(running.port, request("/v1/audio/speech", body))

    assert not answer.is_whole


async def test_an_error_in_the_first_event_is_tried_elsewhere(tmp_path):
    broken = streams([b'data: {"error":{"message":"no","code":503}}\n\n', DONE])
    async with (
        Scripted([broken, streams()]) as upstream,
        program(tmp_path, upstream.port, attempts=2) as running,
    ):
        answer = await ask(running.port, STREAMED)

    assert answer.events[-1] == "data: [DONE]"
    assert answer.headers["x-sidestream-attempts"] == "2"


async def test_an_error_event_in_mid_stream_passes_as_it_is(tmp_path):
    error = b'data: {"error":{"message":"kaput","type":"x","param":null,"code":500}}\n\n'
    script = streams([ROLE, WORDS[0], error, DONE])
    async with Scripted([script]) as upstream, program(tmp_path, upstream.port) as running:
        answer = await ask(running.port, STREAMED)

    assert answer.events[2] + "\n\n" == error.decode()


async def test_an_event_of_a_megabyte_goes_through_whole(tmp_path):
    big = b'data: {"choices":[{"index":0,"delta":{"content":"' + b"x" * 1_000_000 + b'"}}]}\n\n'
    script = streams([ROLE, big, STOP, DONE])
    async with Scripted([script]) as upstream, program(tmp_path, upstream.port) as running:
        answer = await ask(running.port, STREAMED)

    assert answer.body == ROLE + big + STOP + DONE


async def test_a_break_inside_an_event_too_large_to_hold_is_closed_off_first(tmp_path):
    big = b'data: {"choices":[{"index":0,"delta":{"content":"' + b"x" * 200_000
    script = then(SSE_HEAD, framed(ROLE), framed(big), end="close")
    async with Scripted([script]) as upstream, program(tmp_path, upstream.port) as running:
        answer = await ask(running.port, STREAMED)

    assert answer.body.startswith(ROLE + big + b"\n\ndata: {")
    assert "upstream_reset" in answer.events[-1]


async def test_compressed_answers_are_read_and_sent_on_plain(tmp_path):
    stream = gzip.compress(b"".join([ROLE, *WORDS, STOP, USAGE_EVENT, DONE]))
    head = SSE_HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    sse = says(head, *(framed(stream[i : i + 7]) for i in range(0, len(stream), 7)), b"0\r\n\r\n")
    async with (
        Scripted([says(gzipped_json()), sse]) as upstream,
        program(tmp_path, upstream.port) as running,
    ):
        plain = await ask(running.port, PLAIN)
        streamed = await ask(running.port, STREAMED)

    assert plain.json == REPLY
    assert "content-encoding" not in plain.headers
    assert streamed.events[-1] == "data: [DONE]"


async def test_keep_alive_comments_are_no_content_and_do_not_pile_up(tmp_path):
    async def drip(peer):
        await peer.send(SSE_HEAD)
        while True:
            await peer.send(framed(b": keep-alive\n\n" * 100))
            await asyncio.sleep(0.01)

    async with Scripted([drip]) as upstream, program(tmp_path, upstream.port) as running:
        assert_refused(await ask(running.port, STREAMED), 504, "upstream_timeout")


async def test_comments_between_events_pass(tmp_path):
    comment = b": keep-alive\n\n"
    async with (
        Scripted([streams([comment, ROLE, comment, *WORDS, STOP, DONE])]) as upstream,
        program(tmp_path, upstream.port) as running,
    ):
        answer = await ask(running.port, STREAMED)

    assert answer.body == comment + ROLE + comment + b"".join([*WORDS, STOP, DONE])


async def test_informational_answers_are_passed_over(tmp_path):
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
    async with (
        Scripted([says(hints, json_answer())]) as upstream,
        program(tmp_path, upstream.port) as running,
    ):
        assert (await ask(running.port, PLAIN)).json == REPLY


async def test_an_answer_until_close_is_whole_at_the_close(tmp_path):
    body = orjson.dumps(REPLY)
    script = then(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n", body, end="close")
    async with Scripted([script]) as upstream, program(tmp_path, upstream.port) as running:
        assert (await ask(running.port, PLAIN)).json == REPLY


async def test_upstream_errors_pass_untouched(tmp_path):
    body = b'{"error": {"message": "slow down",  "type": "tokens", "param": null, "code": "x"}}'
    script = says(json_answer(body, 429, ("Retry-After: 7", "X-Odd: 1")))
    async with Scripted([script]) as upstream, program(tmp_path, upstream.port) as running:
        answer = await ask(running.port, PLAIN)

    assert (answer.status, answer.body) == (429, body)
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["x-odd"] == "1"


async def test_a_kept_connection_that_was_closed_meanwhile_costs_nothing(tmp_path):
    async def once(peer):
        await peer.send(json_answer())
        peer.reset()

    async with Scripted([once]) as upstream, program(tmp_path, upstream.port) as running:
        answers = [await ask(running.port, PLAIN) for _ in range(5)]

    assert [a.status for a in answers] == [200] * 5
    assert {a.headers["x-sidestream-attempts"] for a in answers} == {"1"}


async def test_bytes_nobody_asked_for_are_not_taken_for_the_next_answer(tmp_path):
    evil = json_answer({"choices": [], "usage": {}, "id": "poison"})
    async with (
        Scripted([says(json_answer() + evil), says(json_answer())]) as upstream,
        program(tmp_path, upstream.port) as running,
    ):
        first = await ask(running.port, PLAIN)
        second = await ask(running.port, PLAIN)

    assert first.status in (200, 502)
    assert second.json == REPLY


@pytest.mark.parametrize("data", [PLAIN, STREAMED], ids=["plain", "stream"])
@pytest.mark.parametrize("pieces", [(), (SSE_HEAD, framed(ROLE), framed(WORDS[0]))])
async def test_a_client_that_leaves_cancels_the_upstream_at_once(tmp_path, data, pieces):
    async with (
        Scripted([then(*pieces, end="hang")]) as upstream,
        program(tmp_path, upstream.port, first="30s", idle="30s") as running,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(data)
        if pieces and data is STREAMED:
            await reader.readuntil(b"Hi")
        else:
            while not upstream.requests:
                await asyncio.sleep(0.001)
        writer.transport.abort()

        await asyncio.wait_for(upstream.peer_left.wait(), 2)


async def test_a_slow_reader_holds_little_here_and_stops_the_upstream(tmp_path):
    sent = 0

    async def flood(peer):
        nonlocal sent
        await peer.send(SSE_HEAD, framed(ROLE))
        event = framed(WORDS[0] * 100)
        for _ in range(4000):
            peer.writer.write(event)
            sent += len(event)
            await peer.writer.drain()
        await peer.send(framed(STOP), framed(DONE), b"0\r\n\r\n")

    async with (
        Scripted([flood]) as upstream,
        program(tmp_path, upstream.port, first="30s", idle="30s") as running,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port, limit=1024)
        writer.write(STREAMED)
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.1)
        held = [c.transport.get_write_buffer_size() for c in running.worker.clients.connections]
        assert sent < len(WORDS[0]) * 100 * 4000
        assert max(held) <= 256 * 1024
        while not reader.at_eof():
            if b"[DONE]" in await reader.read(1 << 20):
                break
        writer.close()
