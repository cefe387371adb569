"""Ways around limits that must not work: odd bounds, hidden prompts, half answers."""

import asyncio

import orjson
import pytest

from tests.program import CHAT, STREAM, ask, program, request
from tests.scripted import (
    REPLY,
    ROLE,
    SSE_HEAD,
    Scripted,
    chunk,
    framed,
    json_answer,
    says,
    streams,
)
from tests.wire.test_limits import TIGHT, left, limits

BIG = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}


async def one(tmp_path, body, more, path="/v1/chat/completions", script=None, **parts):
    async with (
        Scripted([script or says(json_answer())]) as up,
        program(tmp_path, up.port, tenant=TIGHT, more=more, **parts) as running,
    ):
        a = await ask(running.port, request(path, body))
        await running.settled()
        found = await left(running, model=body.get("model", ""))
    return a, up.requests, found


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", CHAT | {"max_tokens": 1, "max_completion_tokens": 100000}),
        ("/v1/chat/completions", CHAT | {"max_tokens": 100000, "max_completion_tokens": 1}),
        ("/v1/chat/completions", CHAT | {"max_output_tokens": 1}),
        ("/v1/chat/completions", CHAT | {"max_output_tokens": 100000}),
        ("/v1/responses", {"model": "m", "input": "Hi", "max_tokens": 1}),
        ("/v1/completions", {"model": "m", "prompt": "Hi", "max_completion_tokens": 1}),
        (
            "/v1/messages",
            {"model": "m", "messages": [], "max_completion_tokens": 1, "max_tokens": 100000},
        ),
        ("/v1/chat/completions", CHAT | {"max_tokens": 0}),
    ],
)
async def test_max_output_cannot_be_walked_around(tmp_path, path, body):
    _, sent, _ = await one(tmp_path, body, limits("max_output_tokens: 50"), path)
    out = sent[0].json if sent else {}
    own = {
        "/v1/responses": ["max_output_tokens"],
        "/v1/chat/completions": ["max_tokens", "max_completion_tokens"],
        "/v1/completions": ["max_tokens"],
        "/v1/messages": ["max_tokens"],
    }[path]
    if not sent:
        return
    given = [out[n] for n in own if n in out]
    assert given
    assert all(0 < g <= 50 for g in given)


@pytest.mark.parametrize(
    "body",
    [
        {
            "model": "m",
            "messages": [{"role": "user", "content": "word " * 20000, "type": "text", "text": ""}],
        },
        {"model": "m", "messages": [{"role": "user", "content": "word " * 20000, "type": "file"}]},
        {
            "model": "m",
            "messages": [{"role": "user", "content": "hi"}],
            "prediction": {"type": "content", "content": "word " * 20000},
        },
        {"model": "m", "Messages": [{"role": "user", "content": "word " * 20000}]},
        {"model": "m", "me\u017f\u017fages": [{"role": "user", "content": "word " * 20000}]},
    ],
)
async def test_a_long_prompt_is_seen(tmp_path, body):
    a, sent, _found = await one(
        tmp_path, body, limits("max_input_tokens: 100, tokens_per_day: 1000")
    )
    assert a.status == 400
    assert not sent


async def test_anthropic_system_is_prompt(tmp_path):
    body = {
        "model": "m",
        "max_tokens": 5,
        "system": "word " * 20000,
        "messages": [{"role": "user", "content": "hi"}],
    }
    a, sent, _ = await one(tmp_path, body, limits("max_input_tokens: 100"), "/v1/messages")
    assert a.status == 400
    assert not sent


@pytest.mark.parametrize(
    "extra", [{"Model": "dear"}, {"MAX_TOKENS": 100000}, {"N": 100}, {"Stream": True}]
)
async def test_go_upstreams_read_keys_in_any_case(tmp_path, extra):
    """Ollama, LocalAI: encoding/json folds case; the later key wins."""
    _a, sent, _ = await one(
        tmp_path, CHAT | {"max_tokens": 5} | extra, limits("max_output_tokens: 50")
    )
    assert not sent


def ev(kind, **data):
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), orjson.dumps({"type": kind, **data}))


ANTHROPIC = [
    ev(
        "message_start",
        message={
            "id": "m",
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": "m",
            "usage": {"input_tokens": 1000, "output_tokens": 1},
        },
    ),
    ev("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    *[
        ev("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hi"})
        for _ in range(100)
    ],
    ev("content_block_stop", index=0),
    ev("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 100}),
    ev("message_stop"),
]
MSG = {
    "model": "m",
    "max_tokens": 1000,
    "stream": True,
    "messages": [{"role": "user", "content": "hi"}],
}


async def test_anthropic_streams_pay_their_prompt(tmp_path):
    _, _, found = await one(
        tmp_path, MSG, limits("tokens_per_day: 100000"), "/v1/messages", streams(ANTHROPIC)
    )
    assert 100000 - found["tokens_per_day"] == 1100


async def test_anthropic_stream_left_before_its_usage_pays_what_was_delivered(tmp_path):
    async def script(peer):
        await peer.send(SSE_HEAD, *map(framed, ANTHROPIC[:-2]))
        await peer.left()

    async with (
        Scripted([script]) as up,
        program(tmp_path, up.port, tenant=TIGHT, more=limits("tokens_per_day: 100000")) as running,
    ):
        r, w = await asyncio.open_connection("127.0.0.1", running.port)
        w.write(request("/v1/messages", MSG))
        got = b""
        while b"content_block_stop" not in got:
            got += await r.read(65536)
        w.close()
        await running.settled()
        found = await left(running)
    assert 100000 - found["tokens_per_day"] >= 1100


async def test_anthropic_cache_writes_are_paid(tmp_path):
    answer = {
        "type": "message",
        "content": [],
        "usage": {
            "input_tokens": 3,
            "cache_creation_input_tokens": 50000,
            "cache_read_input_tokens": 40000,
            "output_tokens": 5,
        },
    }
    body = {k: v for k, v in MSG.items() if k != "stream"}
    _, _, found = await one(
        tmp_path, body, limits("tokens_per_day: 1000000"), "/v1/messages", says(json_answer(answer))
    )
    assert 1000000 - found["tokens_per_day"] >= 90000


@pytest.mark.parametrize(
    "size", [262144 - 200, 262144 + 100, 262144 + 20000, 262144 + 60000, 262144 * 2]
)
async def test_usage_of_a_large_answer_is_found(tmp_path, size):
    pad = "x" * (size - 300)
    body = orjson.dumps(
        {
            "id": "c",
            "object": "chat.completion",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": pad},
                }
            ],
            "usage": {"prompt_tokens": 1000, "completion_tokens": 50000, "total_tokens": 51000},
        }
    )
    _, _, found = await one(
        tmp_path,
        CHAT | {"max_tokens": 1},
        limits("tokens_per_day: 1000000"),
        script=says(json_answer(body)),
    )
    assert 1000000 - found["tokens_per_day"] == 51000


async def test_a_stream_left_before_usage_with_many_tokens_an_event(tmp_path):
    """Upstreams that put many tokens in an event (gemini, vLLM --stream-interval)."""
    fat = [ROLE, *[chunk({"content": "word " * 200}) for _ in range(10)]]

    async def script(peer):
        await peer.send(SSE_HEAD, *map(framed, fat))
        await peer.left()

    async with (
        Scripted([script]) as up,
        program(tmp_path, up.port, tenant=TIGHT, more=limits("tokens_per_day: 100000")) as running,
    ):
        r, w = await asyncio.open_connection("127.0.0.1", running.port)
        w.write(request(body=STREAM))
        got = b""
        while got.count(b"data:") < 11:
            got += await r.read(65536)
        w.close()
        await running.settled()
        found = await left(running)
    assert 100000 - found["tokens_per_day"] >= 1400  # of 2000, by their bytes


@pytest.mark.parametrize("value", ["false", "no", 0, "off"])
async def test_usage_is_always_asked_for(tmp_path, value):
    body = STREAM | {"stream_options": {"include_usage": value}}
    _a, sent, _ = await one(tmp_path, body, limits("tokens_per_day: 100000"), script=streams())
    assert not sent or sent[0].json["stream_options"]["include_usage"] is True


async def test_background_responses(tmp_path):
    answer = {
        "id": "r",
        "object": "response",
        "status": "queued",
        "background": True,
        "usage": None,
        "output": [],
    }
    body = {"model": "m", "input": "hi", "background": True, "max_output_tokens": 100000}
    _, _, found = await one(
        tmp_path,
        body,
        limits("tokens_per_day: 1000000"),
        "/v1/responses",
        says(json_answer(answer)),
    )
    assert 1000000 - found["tokens_per_day"] >= 100000


PR = '\nprices: {"*": {input: 1000, output: 1000}}'


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", {"prompt": {"id": "pmpt_1"}}),
        ("/v1/responses", {"model": "", "input": "hi"}),
        ("/v1/audio/speech", {"model": "tts-1-hd", "input": "word " * 1000, "voice": "alloy"}),
        ("/v1/images/generations", {"prompt": "cat", "n": 10}),
        ("/v1/conversations", {"items": []}),
    ],
)
async def test_money_is_spent(tmp_path, path, body):
    answer = REPLY if path == "/v1/responses" else {"ok": 1}
    _a, sent, found = await one(
        tmp_path,
        body,
        limits("budgets: [{usd: 100, per: month}]") + PR,
        path,
        says(json_answer(answer)),
    )
    assert not sent or found["budget.month.tenant"] < 100


async def test_a_huge_request_does_not_say_spent_nor_eat_the_alert(tmp_path):
    body = {"model": "m", "prompt": ["a"] * 1000, "n": 128}
    a, _sent, _l = await one(
        tmp_path, body, limits("budgets: [{usd: 100, per: month}]") + PR, "/v1/completions"
    )
    assert b"is spent" not in a.body


async def test_huge_request_with_cap_output_is_not_let_through(tmp_path):
    body = {"model": "m", "prompt": ["a"] * 1000, "n": 128}
    _a, sent, _l = await one(
        tmp_path,
        body,
        limits("budgets: [{usd: 100, per: month, on_exceeded: cap_output, cap: 1000}]") + PR,
        "/v1/completions",
    )
    assert not sent
