"""Limits on the running program, as a client and an operator meet them."""

import asyncio
import time

import openai
import orjson
import pytest

from tests.program import CHAT, KEY, STREAM, ask, assert_refused, program, request
from tests.scripted import (
    REPLY,
    ROLE,
    SSE_HEAD,
    WORDS,
    Scripted,
    framed,
    json_answer,
    says,
    streams,
)

TIGHT = ", limits: tight"


def limits(text):
    return f"limits: {{tight: {{{text}}}}}"


async def admin(running, method, path, body=None, token="admin-token"):
    headers = [f"Authorization: Bearer {token}"]
    data = request(path, body, method=method, key=None, headers=headers)
    return await ask(running.worker.admin_port, data)


async def left(running, **query):
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    answer = await admin(running, "GET", f"/api/limits/acme?{asked}")
    return {row["limit"]: row["remaining"] for row in answer.json["limits"]}


async def test_over_a_limit_the_answer_says_when_and_what_is_left(tmp_path):
    async with (
        Scripted([says(json_answer(headers=["x-ratelimit-remaining-requests: 77"]))]) as upstream,
        program(tmp_path, upstream.port, tenant=TIGHT, more=limits("requests: 2/min")) as running,
    ):
        good = [await ask(running.port, request(body=CHAT)) for _ in range(2)]
        over = await ask(running.port, request(body=CHAT))

    assert [a.headers["x-ratelimit-remaining-requests"] for a in good] == ["1", "0"]
    assert_refused(over, 429, "rate_limit_exceeded")
    assert over.headers["x-ratelimit-remaining-requests"] == "0"
    assert 29 <= int(over.headers["retry-after"]) <= 30
    assert 29_000 <= int(over.headers["retry-after-ms"]) <= 30_000
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("is_stream", [False, True])
async def test_the_clients_sdk_recovers_by_itself(tmp_path, is_stream):
    """Two at once, then one every half second: the third waits just as long."""
    script = streams() if is_stream else says(json_answer())
    more = limits("requests: {rate: 2/s, burst: 2}")
    async with (
        Scripted([script]) as upstream,
        program(tmp_path, upstream.port, tenant=TIGHT, more=more) as running,
        openai.AsyncOpenAI(base_url=running.url, api_key=KEY) as client,
    ):
        began = time.monotonic()
        for _ in range(4):
            answer = await client.chat.completions.create(**CHAT, stream=is_stream)
            if is_stream:
                assert [event async for event in answer]
        took = time.monotonic() - began

    assert 0.9 <= took < 10
    assert len(upstream.requests) == 4


async def test_a_spent_budget_is_not_retried_by_the_sdk(tmp_path):
    more = (
        limits("budgets: [{usd: 0.000015, per: month}]") + '\nprices: {"*": {input: 1, output: 1}}'
    )
    async with (
        Scripted([says(json_answer())]) as upstream,
        program(tmp_path, upstream.port, tenant=TIGHT, more=more) as running,
        openai.AsyncOpenAI(base_url=running.url, api_key=KEY) as client,
    ):
        await client.chat.completions.create(**CHAT, max_tokens=3)
        with pytest.raises(openai.RateLimitError, match="leaves too little") as caught:
            await client.chat.completions.create(**CHAT, max_tokens=3)

    assert caught.value.code == "insufficient_quota"
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert len(upstream.requests) == 1


async def test_answers_are_bounded_upstream_in_the_clients_own_field(tmp_path):
    async with (
        Scripted([says(json_answer())]) as upstream,
        program(
            tmp_path, upstream.port, tenant=TIGHT, more=limits("max_output_tokens: 50")
        ) as running,
    ):
        for more in ({}, {"max_tokens": 900}, {"max_completion_tokens": 900}, {"max_tokens": 5}):
            await ask(running.port, request(body=CHAT | more))
        await ask(running.port, request("/v1/responses", {"model": "m", "input": "Hi"}))
        bad = await ask(running.port, request(body=CHAT | {"max_tokens": "900"}))

    sent = [{k: v for k, v in r.json.items() if k.startswith("max_")} for r in upstream.requests]
    assert sent == [
        {"max_tokens": 50}, {"max_tokens": 50}, {"max_completion_tokens": 50}, {"max_tokens": 5},
        {"max_output_tokens": 50},
    ]  # fmt: skip
    assert_refused(bad, 400)


async def test_a_prompt_that_is_too_long_never_leaves(tmp_path):
    async with (
        Scripted([says(json_answer())]) as upstream,
        program(
            tmp_path, upstream.port, tenant=TIGHT, more=limits("max_input_tokens: 20")
        ) as running,
    ):
        long = {**CHAT, "messages": [{"role": "user", "content": "word " * 100}]}
        refused = await ask(running.port, request(body=long))

    assert_refused(refused, 400, "context_length_exceeded")
    assert upstream.requests == []


async def test_a_vllm_server_is_asked_for_the_exact_number_only_near_the_bound(tmp_path):
    async def script(peer):
        count = b"/tokenize" in peer.upstream.requests[-1].line.encode()
        await peer.send(json_answer({"count": 19, "max_model_len": 99} if count else REPLY))

    async with (
        Scripted([script]) as upstream,
        program(tmp_path, upstream.port, kind="vllm", tenant=TIGHT,
                more=limits("max_input_tokens: 20")) as running,
    ):  # fmt: skip
        near = {**CHAT, "messages": [{"role": "user", "content": "word " * 14}]}
        answers = [await ask(running.port, request(body=body)) for body in (CHAT, near)]

    assert [a.status for a in answers] == [200, 200]
    assert [r.line.split()[1] for r in upstream.requests] == [
        "/v1/chat/completions", "/tokenize", "/v1/chat/completions",
    ]  # fmt: skip
    assert upstream.requests[1].json["messages"] == near["messages"]


async def test_a_client_that_leaves_gives_its_slot_back_and_pays_for_what_it_got(tmp_path):
    async def script(peer):
        await peer.send(SSE_HEAD, *map(framed, [ROLE, *WORDS]))
        await peer.left()

    more = limits("concurrency: 1, streams: 1, tokens_per_day: 10k")
    async with (
        Scripted([script]) as upstream,
        program(tmp_path, upstream.port, tenant=TIGHT, more=more) as running,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(request(body=STREAM))
        await reader.readuntil(b'content":"!"')
        during = await left(running)
        refused = await ask(running.port, request(body=CHAT))
        writer.transport.abort()
        await running.settled()
        after = await left(running)

    assert (during["concurrency"], during["streams"]) == (0, 0)
    assert_refused(refused, 429, "rate_limit_exceeded")
    assert 0 < float(refused.headers["retry-after-ms"]) <= 10_000
    assert (after["concurrency"], after["streams"]) == (1, 1)
    assert 10_000 - after["tokens_per_day"] == 6 + 3  # "Hello" in its message, and three words


async def test_a_budget_leads_to_a_cheaper_model(tmp_path):
    more = limits("budgets: [{usd: 0.00002, per: day, on_exceeded: {route_to: small}}]")
    more += '\nprices: {"*": {input: 1, output: 1}}'
    routes = "  - {name: cheap, match: {model: small}, targets: [{upstream: main}]}"
    async with (
        Scripted([says(json_answer())]) as upstream,
        program(tmp_path, upstream.port, tenant=TIGHT, more=more, routes=routes) as running,
    ):
        body = {**CHAT, "max_tokens": 5}
        answers = [await ask(running.port, request(body=body)) for _ in range(4)]

    assert [r.json["model"] for r in upstream.requests] == ["m", "small", "small", "small"]
    assert [a.headers["x-sidestream-route"] for a in answers] == ["rest", *["cheap"] * 3]


async def test_the_kill_switch_stops_a_tenant_or_a_route_until_it_is_turned_back(tmp_path):
    async with (
        Scripted([says(json_answer())]) as upstream,
        program(tmp_path, upstream.port) as running,
    ):
        for what in ({"tenant": "acme"}, {"route": "rest"}):
            off = await admin(running, "POST", "/api/disable", what)
            refused = await ask(running.port, request(body=CHAT))
            on = await admin(running, "POST", "/api/enable", what)
            good = await ask(running.port, request(body=CHAT))

            assert off.json == {"disabled": [":".join(*what.items())]}
            assert_refused(refused, 403, "disabled")
            assert (on.json, good.status) == ({"disabled": []}, 200)


@pytest.mark.parametrize(
    ("method", "path", "body", "token", "status"),
    [
        ("POST", "/api/disable", {"tenant": "nobody"}, "admin-token", 404),
        ("POST", "/api/disable", {"route": "nowhere"}, "admin-token", 404),
        ("POST", "/api/disable", {"tenant": 5}, "admin-token", 400),
        ("POST", "/api/disable", {"a": "b"}, "admin-token", 400),
        ("POST", "/api/disable", b"{", "admin-token", 400),
        ("POST", "/api/disable", {"tenant": "acme"}, "wrong", 401),
        ("GET", "/api/disabled", None, "wrong", 401),
        ("GET", "/api/limits/acme", None, "wrong", 401),
        ("GET", "/api/limits/nobody", None, "admin-token", 404),
        ("GET", "/api/usage", None, "wrong", 401),
        ("GET", "/api/usage", None, "admin-token", 503),
    ],
)
async def test_the_api_says_what_is_wrong(tmp_path, method, path, body, token, status):
    async with (
        Scripted([says(json_answer())]) as upstream,
        program(tmp_path, upstream.port) as running,
    ):
        answer = await admin(running, method, path, body, token)

    assert answer.status == status
    assert answer.error["message"]


async def test_the_billing_ledger_can_be_asked(tmp_path):
    more = "prices: {m: {input: 1, output: 10}}"
    config = {"more": more + "\n" + limits("requests: 100/min"), "tenant": TIGHT}
    usage = tmp_path / "usage.jsonl"
    async with (
        Scripted([says(json_answer())]) as upstream,
        program(tmp_path, upstream.port, **config, usage=f"usage: {{to: {usage}}}, ") as running,
    ):
        for user in ("eve@example.com", "bob@example.com", "bob@example.com"):
            await ask(running.port, request(body=CHAT | {"user": user}))
        answer = await admin(running, "GET", "/api/usage?by=tenant,user&since=1d")
        table = await admin(running, "GET", "/api/usage?by=model&format=csv")
        wrong = [await admin(running, "GET", f"/api/usage?{q}") for q in ("by=colour", "since=x")]

    assert [(r["requests"], r["input_tokens"], r["output_tokens"]) for r in answer.json["rows"]] == [
        (2, 14, 6), (1, 7, 3),
    ]  # fmt: skip
    assert answer.json["total"]["cost_usd"] == pytest.approx(3 * 37e-6)
    assert table.body.decode().splitlines()[1].startswith("m,3,21,0,9,")
    assert [a.status for a in wrong] == [400, 400]
    assert b"example.com" not in usage.read_bytes()
    assert len(usage.read_bytes().splitlines()) == 3


async def test_a_reload_keeps_what_was_counted(tmp_path):
    async with (
        Scripted([says(json_answer())]) as upstream,
        program(tmp_path, upstream.port, tenant=TIGHT, more=limits("requests: 2/min")) as running,
    ):
        await ask(running.port, request(body=CHAT))
        path = tmp_path / "sidestream.yaml"
        path.write_text(path.read_text() + "cors: {origins: [http://a.example]}\n")
        assert await running.worker.reloader.reload() == []
        second = await ask(running.port, request(body=CHAT))
        third = await ask(running.port, request(body=CHAT))

    assert (second.status, third.status) == (200, 429)


async def test_the_store_cannot_change_while_running(tmp_path):
    async with (
        Scripted([says(json_answer())]) as upstream,
        program(tmp_path, upstream.port) as running,
    ):
        path = tmp_path / "sidestream.yaml"
        path.write_text(path.read_text() + "store: {url: redis://127.0.0.1:1}\n")
        (problem,) = await running.worker.reloader.reload()
        still = await ask(running.port, request(body=CHAT))

    assert "restart to use another" in problem
    assert still.status == 200


async def test_refusals_are_counted_by_tenant_and_limit(tmp_path):
    async with (
        Scripted([says(json_answer())]) as upstream,
        program(tmp_path, upstream.port, tenant=TIGHT, more=limits("requests: 1/min")) as running,
    ):
        for _ in range(3):
            await ask(running.port, request(body=CHAT))
        metrics = await admin(running, "GET", "/metrics")

    line = 'sidestream_limit_refusals_total{limit="requests",tenant="acme"} 2.0'
    assert line in metrics.body.decode()


async def test_a_spent_budget_posts_to_the_webhook_once(tmp_path):
    dear = REPLY | {"usage": {"prompt_tokens": 7, "completion_tokens": 40, "total_tokens": 47}}
    more = (
        limits("budgets: [{usd: 0.00003, per: month}]") + '\nprices: {"*": {input: 1, output: 1}}'
    )
    async with (
        Scripted([says(json_answer({}, status=500)), says(json_answer({}))]) as hook,
        Scripted([says(json_answer(dear))]) as upstream,
        program(tmp_path, upstream.port, tenant=TIGHT,
                more=f"{more}\nalerts: {{webhook: 'http://127.0.0.1:{hook.port}/x?secret=1'}}") as running,
    ):  # fmt: skip
        running.worker.accounts.alerts._pause_s = 0.001
        for _ in range(3):
            await ask(running.port, request(body={**CHAT, "max_tokens": 2}))
        while len(hook.requests) < 2:
            await asyncio.sleep(0.005)

    assert hook.requests[0].body == hook.requests[1].body
    told = orjson.loads(hook.requests[1].body)
    assert (told["kind"], told["tenant"], told["budget"]) == (
        "budget_spent",
        "acme",
        "budget.month.tenant",
    )
