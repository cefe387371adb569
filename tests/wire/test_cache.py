"""The exact cache in the running program: who is given what, and what is never given."""

import asyncio
import base64
import contextlib
import random

import orjson
import pytest

import proxy.commands.cache as command
import proxy.edge.cache_api as api
from proxy.__main__ import main
from tests.program import CHAT, KEY, ask, assert_refused, program, request
from tests.scripted import (
    DONE,
    REPLY,
    ROLE,
    SSE_HEAD,
    STOP,
    STREAM,
    USAGE_EVENT,
    WORDS,
    Scripted,
    chunk,
    framed,
    json_answer,
    says,
    streams,
    then,
)

COLD = {**CHAT, "temperature": 0}
COLD_STREAM = {**COLD, "stream": True}
TWO = """
  other: {keys: [{sha256: 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b}]}
"""


def route(**more):
    extra = "".join(f", {k}: {v}" for k, v in more.items())
    return f'  - {{name: c, match: {{model: "*"}}, targets: [{{upstream: main}}], retry: {{attempts: 1}}, cache: answers{extra}}}'


def cached(tmp_path, port, *, settings="ttl: 1h", **parts):
    made = {"routes": route(), "more": f"cache: {{answers: {{{settings}}}}}", **parts}
    return program(tmp_path, port, **made)


def state(answer):
    return answer.headers.get("x-sidestream-cache")


async def test_the_second_who_asks_is_answered_from_the_cache(tmp_path):
    async with Scripted([says(json_answer())]) as up, cached(tmp_path, up.port) as running:
        first = await ask(running.port, request(body=COLD))
        again = await ask(running.port, request(body={**COLD, "user": "u", "metadata": {"a": "b"}}))

        assert (state(first), state(again)) == ("miss", "hit")
        assert len(up.requests) == 1
        assert again.headers["cache-status"].startswith("sidestream; hit; ttl=3")
        assert again.headers["age"] == "0"
        assert "x-sidestream-attempts" not in again.headers
        ids = first.json.pop("id"), again.json.pop("id")
        assert ids[0] != ids[1]
        assert {**first.json, "id": ""} == {**again.json, "id": ""}


async def test_a_cache_before_ours_is_listed_first_and_a_hit_has_one_age(tmp_path):
    answer = json_answer(headers=("Cache-Status: near; hit", "Age: 7"))
    bodies = COLD, COLD, {**COLD, "temperature": 1}
    async with Scripted([says(answer)]) as up, cached(tmp_path, up.port) as running:
        told = [(await ask(running.port, request(body=body))).raw_headers for body in bodies]

    def values(headers, wanted):
        return [value.partition(";")[0] for name, value in headers if name.lower() == wanted]

    assert [values(one, "cache-status") for one in told] == [
        ["near", "sidestream"], ["sidestream"], ["near", "sidestream"],
    ]  # fmt: skip
    assert [values(one, "age") for one in told] == [["7"], ["0"], ["7"]]


@pytest.mark.parametrize("script", [says(json_answer()), streams()], ids=["whole", "streamed"])
async def test_one_entry_serves_both_forms(tmp_path, script):
    async with Scripted([script]) as up, cached(tmp_path, up.port) as running:
        is_stream = script.__qualname__.startswith("streams")
        await ask(running.port, request(body=COLD_STREAM if is_stream else COLD))
        whole = await ask(running.port, request(body=COLD))
        stream = await ask(running.port, request(body=COLD_STREAM))

        assert len(up.requests) == 1
        assert whole.headers["content-type"] == "application/json"
        said = whole.json["choices"][0]
        assert said["finish_reason"] == "stop"
        events = [orjson.loads(e[6:]) for e in stream.events[:-1]]
        texts = [e["choices"][0]["delta"].get("content") or "" for e in events]
        assert "".join(texts) == said["message"]["content"]
        assert stream.events[-1] == "data: [DONE]"
        assert all(e["choices"] for e in events)
        assert whole.json["usage"]["total_tokens"] == 10


async def test_a_replayed_stream_is_event_for_event_the_first(tmp_path):
    async with Scripted([streams()]) as up, cached(tmp_path, up.port) as running:
        first = await ask(running.port, request(body=COLD_STREAM))
        again = await ask(running.port, request(body=COLD_STREAM))

        ident = orjson.loads(again.events[0][6:])["id"]
        assert len(up.requests) == 1
        assert again.body == first.body.replace(b'"id":"c1"', b'"id":"%s"' % ident.encode())
        assert USAGE_EVENT not in first.body


async def test_usage_is_told_to_who_asks_whatever_the_first_asked_for(tmp_path):
    asking = {**COLD_STREAM, "stream_options": {"include_usage": True}}
    async with Scripted([streams()]) as up, cached(tmp_path, up.port) as running:
        without = await ask(running.port, request(body=COLD_STREAM))
        with_it = await ask(running.port, request(body=asking))

        assert len(up.requests) == 1
        assert b'"usage"' not in without.body
        assert orjson.loads(with_it.events[-2][6:])["usage"]["total_tokens"] == 10


@pytest.mark.parametrize(
    "body",
    [
        CHAT,
        {**CHAT, "temperature": 0.7},
        {**COLD, "store": True},
        {**COLD, "tools": [{"type": "web_search"}]},
        {**COLD, "web_search_options": {}} | {"web_search_options": {"a": 1}},
        {**COLD, "messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "https://a/b.png"}}]}]},
        b'{"model":"m","messages":[],"temperature":0,"n":18446744073709551617}',
        b'{"model":"m","messages":[{"role":"user","content":"a","content":"b"}],"temperature":0}',
        b'{"model":"m","messages":[{"role":"user","content":"\\u0022","cont\\u0065nt":""}],"temperature":0}',
        b'{"model":"m","messages":[],"temperature":1,"temperature":0}',
    ],
)  # fmt: skip
async def test_what_may_come_out_otherwise_is_left_alone(tmp_path, body):
    async with Scripted([says(json_answer())]) as up, cached(tmp_path, up.port) as running:
        for _ in range(2):
            assert state(await ask(running.port, request(body=body))) == "bypass"

        assert len(up.requests) == 2


async def test_who_asks_for_two_things_at_once_is_not_given_one_of_them(tmp_path):
    """An upstream may read the first of two fields of one name, where we read the last."""
    twice = b'{"role":"user","content":"Bye","content":"Hello"}'
    once = orjson.dumps(COLD)
    body = once.replace(orjson.dumps(CHAT["messages"][0]), twice)
    async with Scripted([says(json_answer())]) as up, cached(tmp_path, up.port) as running:
        answers = [await ask(running.port, request(body=b)) for b in (once, body, body, once)]

        assert [state(a) for a in answers] == ["miss", "bypass", "bypass", "hit"]
        assert "detail=twice" in answers[1].headers["cache-status"]
        assert [r.body for r in up.requests] == [once, body, body]


async def test_a_header_that_is_no_utf8_is_part_of_the_key_like_any(tmp_path):
    async with Scripted([says(json_answer())]) as up, cached(tmp_path, up.port) as running:
        states = []
        for version in ("\xff", "\xff", "\xfe", "\\udcff"):
            headers = [f"x-sidestream-context-version: {version}"]
            states.append(state(await ask(running.port, request(body=COLD, headers=headers))))

        assert states == ["miss", "hit", "miss", "miss"]


LENGTH = [ROLE, WORDS[0], chunk({}, "length"), DONE]
FILTERED = [ROLE, WORDS[0], chunk({}, "content_filter"), DONE]
REFUSED = [ROLE, chunk({"refusal": "No."}), STOP, DONE]
NO_END = [ROLE, *WORDS, STOP, USAGE_EVENT]
HALF = [ROLE, chunk({"content": "a"}), STOP, chunk({"content": "b"}, index=1), DONE]
FAILED = [ROLE, b'data: {"error": {"message": "x", "code": 500}}\n\n', DONE]


@pytest.mark.parametrize("events", [LENGTH, FILTERED, REFUSED, NO_END, FAILED])
async def test_a_stream_that_did_not_end_well_is_not_kept(tmp_path, events):
    async with Scripted([streams(events)]) as up, cached(tmp_path, up.port) as running:
        for _ in range(2):
            assert state(await ask(running.port, request(body=COLD_STREAM))) == "miss"

        assert len(up.requests) == 2


async def test_a_cut_stream_is_not_kept(tmp_path):
    cut = then(SSE_HEAD, *map(framed, [ROLE, *WORDS]), end="reset")
    async with Scripted([cut]) as up, cached(tmp_path, up.port) as running:
        for _ in range(2):
            answer = await ask(running.port, request(body=COLD_STREAM))
            assert b'"error"' in answer.body
            assert b"[DONE]" not in answer.body

        assert len(up.requests) == 2


@pytest.mark.parametrize("reason", ["length", "content_filter", None])
async def test_an_answer_that_was_cut_short_is_not_kept(tmp_path, reason):
    reply = {**REPLY, "choices": [{**REPLY["choices"][0], "finish_reason": reason}]}
    async with Scripted([says(json_answer(reply))]) as up, cached(tmp_path, up.port) as running:
        for _ in range(2):
            assert (await ask(running.port, request(body=COLD))).status == 200

        assert len(up.requests) == 2


async def test_a_refusal_of_the_request_is_kept_for_a_moment(tmp_path):
    error = {
        "error": {"message": "no", "type": "invalid_request_error", "param": None, "code": None}
    }
    async with (
        Scripted([says(json_answer(error, status=400))]) as up,
        cached(tmp_path, up.port, settings="negative: 500ms") as running,
    ):
        answers = [await ask(running.port, request(body=COLD)) for _ in range(2)]
        assert [a.status for a in answers] == [400, 400]
        assert [state(a) for a in answers] == ["miss", "hit"]
        assert answers[1].json == error
        await asyncio.sleep(0.5)
        await ask(running.port, request(body=COLD))

        assert len(up.requests) == 2


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
async def test_other_failures_are_not_kept(tmp_path, status):
    failing = says(json_answer({"error": {"message": "no"}}, status=status))
    async with Scripted([failing]) as up, cached(tmp_path, up.port) as running:
        for _ in range(2):
            assert (await ask(running.port, request(body=COLD))).status == status

        assert len(up.requests) == 2


async def test_two_tenants_never_share(tmp_path):
    async with (
        Scripted([says(json_answer())]) as up,
        cached(tmp_path, up.port, tenants=TWO) as running,
    ):
        for key in (KEY, "secret"):
            assert state(await ask(running.port, request(body=COLD, key=key))) == "miss"

        assert len(up.requests) == 2


async def test_users_share_only_where_the_scope_is_the_tenant(tmp_path):
    async with (
        Scripted([says(json_answer())]) as up,
        cached(tmp_path, up.port, settings="scope: user") as running,
    ):
        asked = [{**COLD, "user": u} for u in ("a", "b", "a")] + [COLD]
        states = [state(await ask(running.port, request(body=body))) for body in asked]

        assert states == ["miss", "miss", "hit", "bypass"]
        assert len(up.requests) == 3


async def test_a_client_may_ask_for_a_new_answer_or_for_none(tmp_path):
    async with Scripted([says(json_answer())]) as up, cached(tmp_path, up.port) as running:

        async def say(word):
            header = [f"Cache-Control: {word}"] if word else []
            return await ask(running.port, request(body=COLD, headers=header))

        missing = await say("only-if-cached")
        assert_refused(missing, 504, "not_cached")
        assert missing.headers["x-should-retry"] == "false"
        assert missing.headers["cache-status"].startswith('sidestream; detail=not_cached; key="')
        assert state(missing) == "miss"
        metrics = await ask(running.worker.admin_port, request("/metrics", method="GET", key=None))
        assert b'sidestream_errors_total{code="not_cached",fault="client"} 1.0' in metrics.body
        said = ["no-store", "", "max-age=60", "no-cache", "max-age=0", "only-if-cached"]
        states = [state(await say(word)) for word in said]

        assert states == ["bypass", "miss", "hit", "miss", "miss", "hit"]
        assert len(up.requests) == 4


async def test_what_a_client_says_in_two_lines_counts_as_in_one(tmp_path):
    async with Scripted([says(json_answer())]) as up, cached(tmp_path, up.port) as running:
        header = ["Cache-Control: max-age=60", "Cache-Control: no-store"]
        states = [state(await ask(running.port, request(body=COLD, headers=header))) for _ in "ab"]

        assert states == ["bypass", "bypass"]


async def test_what_clients_say_can_be_ignored(tmp_path):
    async with (
        Scripted([says(json_answer())]) as up,
        cached(tmp_path, up.port, settings="client_control: false") as running,
    ):
        header = ["Cache-Control: no-cache, no-store"]
        for _ in range(2):
            answer = await ask(running.port, request(body=COLD, headers=header))

        assert state(answer) == "hit"
        assert len(up.requests) == 1


async def test_a_stale_answer_is_served_and_refreshed_once(tmp_path):
    async with (
        Scripted([says(json_answer())]) as up,
        cached(tmp_path, up.port, settings="ttl: 400ms, stale: 1h") as running,
    ):
        await ask(running.port, request(body=COLD))
        await asyncio.sleep(0.4)
        answers = await asyncio.gather(*(ask(running.port, request(body=COLD)) for _ in range(20)))

        assert {state(a) for a in answers} <= {"stale", "hit"}
        assert state(answers[0]) == "stale"
        while len(up.requests) < 2 or running.worker.caches.flights:
            await asyncio.sleep(0.005)
        assert state(await ask(running.port, request(body=COLD))) == "hit"
        assert len(up.requests) == 2


async def test_an_expired_answer_is_better_than_none_where_the_route_says_so(tmp_path):
    async with Scripted([says(json_answer()), says(json_answer({}, status=503))]) as up:
        more = {"settings": "ttl: 50ms, stale: 1h", "routes": route(on_exhausted="stale")}
        async with cached(tmp_path, up.port, **more) as running:
            await ask(running.port, request(body=COLD))
            header = ["Cache-Control: no-cache"]
            answer = await ask(running.port, request(body=COLD, headers=header))

            assert answer.status == 200
            assert state(answer) == "stale"
            assert answer.headers["warning"].startswith("110 ")
            assert len(up.requests) == 2


async def test_an_expired_answer_stands_in_for_an_upstream_that_is_gone(tmp_path):
    async with Scripted([says(json_answer()), then(end="reset")]) as up:
        more = {"settings": "ttl: 50ms", "routes": route(on_exhausted="stale")}
        async with cached(tmp_path, up.port, **more) as running:
            await ask(running.port, request(body=COLD))
            await asyncio.sleep(0.06)
            answer = await ask(running.port, request(body=COLD))

            assert (answer.status, state(answer)) == (200, "stale")


async def test_an_expired_answer_stands_in_for_an_upstream_that_is_full(tmp_path):
    gate = asyncio.Event()
    async with Scripted([says(json_answer()), slow_whole(gate)]) as up:
        busy = f'  busy: {{base_url: "http://127.0.0.1:{up.port}/v1", concurrency: {{max: 1, queue: 0}}}}'
        at_busy = route(on_exhausted="stale").replace("upstream: main", "upstream: busy")
        more = {"settings": "ttl: 50ms", "routes": at_busy, "upstreams": busy}
        async with cached(tmp_path, up.port, **more) as running:
            await ask(running.port, request(body=COLD))
            await asyncio.sleep(0.06)
            other = asyncio.create_task(ask(running.port, request(body={**COLD, "seed": 1})))
            while len(up.requests) < 2:
                await asyncio.sleep(0.005)
            answer = await ask(running.port, request(body=COLD))
            gate.set()
            await other

            assert (answer.status, state(answer)) == (200, "stale")


def slowly(events, gate):
    """Sends the first event, then the rest when ``gate`` opens."""

    async def script(peer):
        await peer.send(SSE_HEAD, framed(events[0]))
        await gate.wait()
        await peer.send(*map(framed, events[1:]), b"0\r\n\r\n")

    return script


def slow_whole(gate):
    async def script(peer):
        await gate.wait()
        await peer.send(json_answer())

    return script


@pytest.mark.parametrize("form", ["whole", "streamed", "mixed"])
async def test_two_hundred_who_ask_at_once_make_one_call(tmp_path, form):
    gate = asyncio.Event()
    script = slow_whole(gate) if form == "whole" else slowly(STREAM, gate)
    bodies = {"whole": [COLD], "streamed": [COLD_STREAM], "mixed": [COLD_STREAM, COLD]}[form]
    async with Scripted([script]) as up, cached(tmp_path, up.port) as running:
        asked = [
            asyncio.create_task(ask(running.port, request(body=bodies[i % len(bodies)])))
            for i in range(200)
        ]
        while running.worker.room.in_flight < 200:
            await asyncio.sleep(0.005)
        gate.set()
        answers = await asyncio.gather(*asked)

        assert len(up.requests) == 1
        assert {a.status for a in answers} == {200}
        assert (
            len({a.body for a in answers if not a.headers["content-type"].startswith("app")}) <= 1
        )
        assert all(a.is_whole for a in answers)
        assert [state(a) for a in answers].count("miss") == 1


async def test_an_answer_that_is_not_kept_is_still_everybodys_in_both_forms(tmp_path):
    gate = asyncio.Event()
    async with (
        Scripted([slowly(LENGTH, gate)]) as up,
        cached(tmp_path, up.port) as running,
    ):
        bodies = [COLD_STREAM] + [COLD] * 5
        asked = [asyncio.create_task(ask(running.port, request(body=body))) for body in bodies[:1]]
        while not up.requests:
            await asyncio.sleep(0.005)
        asked += [asyncio.create_task(ask(running.port, request(body=body))) for body in bodies[1:]]
        while running.worker.room.in_flight < 6:
            await asyncio.sleep(0.005)
        gate.set()
        answers = await asyncio.gather(*asked)

        assert [a.json["choices"][0]["finish_reason"] for a in answers[1:]] == ["length"] * 5
        assert len(up.requests) == 1
        await ask(running.port, request(body=COLD_STREAM))
        assert len(up.requests) == 2


async def test_who_joins_a_stream_late_sees_all_of_it_live(tmp_path):
    gate = asyncio.Event()
    async with (
        Scripted([slowly(STREAM, gate)]) as up,
        cached(tmp_path, up.port) as running,
        streaming(running.port, COLD_STREAM) as (one, _),
    ):
        assert await one.readuntil(ROLE)
        async with streaming(running.port, COLD_STREAM) as (two, _):
            assert await asyncio.wait_for(two.readuntil(ROLE), 5)
            gate.set()
            assert (await two.readuntil(DONE)).count(b"data: ") == 5
            assert (await one.readuntil(DONE)).count(b"data: ") == 5
        assert len(up.requests) == 1


async def test_a_leader_that_leaves_does_not_take_its_followers_along(tmp_path):
    gate = asyncio.Event()
    async with Scripted([slowly(STREAM, gate)]) as up, cached(tmp_path, up.port) as running:
        async with streaming(running.port, COLD_STREAM) as (one, _):
            await one.readuntil(ROLE)
            follower = asyncio.create_task(ask(running.port, request(body=COLD_STREAM)))
            while running.worker.room.in_flight < 2:
                await asyncio.sleep(0.005)
        while running.worker.room.in_flight > 1:
            await asyncio.sleep(0.005)
        gate.set()
        answer = await follower

        assert answer.is_whole
        assert answer.events[-1] == "data: [DONE]"
        assert len(up.requests) == 1
        assert state(await ask(running.port, request(body=COLD_STREAM))) == "hit"


async def test_a_leader_that_leaves_before_the_head_does_neither(tmp_path):
    gate = asyncio.Event()
    async with Scripted([slow_whole(gate)]) as up, cached(tmp_path, up.port) as running:
        leader = asyncio.create_task(ask(running.port, request(body=COLD)))
        while not up.requests:
            await asyncio.sleep(0.005)
        follower = asyncio.create_task(ask(running.port, request(body=COLD)))
        while running.worker.room.in_flight < 2:
            await asyncio.sleep(0.005)
        leader.cancel()
        while running.worker.room.in_flight > 1:
            await asyncio.sleep(0.005)
        gate.set()

        assert (await follower).status == 200
        assert len(up.requests) == 1


async def test_when_the_last_who_waits_leaves_the_upstream_is_let_go(tmp_path):
    async with (
        Scripted([slowly(STREAM, asyncio.Event())]) as up,
        cached(tmp_path, up.port, first="5s", idle="5s") as running,
    ):
        async with streaming(running.port, COLD_STREAM) as (one, _):
            await one.readuntil(ROLE)
        await running.settled()

        assert running.counts()["busy"] == 0


async def test_a_failure_is_everybodys(tmp_path):
    gate = asyncio.Event()

    async def script(peer):
        await gate.wait()
        peer.reset()

    async with Scripted([script]) as up, cached(tmp_path, up.port) as running:
        asked = [asyncio.create_task(ask(running.port, request(body=COLD))) for _ in range(10)]
        while running.worker.room.in_flight < 10:
            await asyncio.sleep(0.005)
        gate.set()
        for answer in await asyncio.gather(*asked):
            assert_refused(answer, 502)

        assert len(up.requests) == 1


async def test_an_answer_too_large_to_keep_still_comes(tmp_path):
    events = [ROLE, *(chunk({"content": "x" * 1000}) for _ in range(2000)), STOP, DONE]
    async with (
        Scripted([streams(events)]) as up,
        cached(tmp_path, up.port, settings="max_entry: 64KiB", first="5s", idle="5s") as running,
    ):
        answers = await asyncio.gather(
            *(ask(running.port, request(body=COLD_STREAM)) for _ in range(3))
        )

        assert {a.body for a in answers} == {b"".join(events)}
        assert state(await ask(running.port, request(body=COLD_STREAM))) == "miss"
        assert len(up.requests) <= 4


async def test_what_a_hit_avoided_is_counted(tmp_path):
    async with Scripted([says(json_answer())]) as up, cached(tmp_path, up.port) as running:
        for _ in range(3):
            await ask(running.port, request(body=COLD))
        metrics = await ask(
            running.worker.admin_port, request("/metrics", method="GET", key="admin-token")
        )
        text = metrics.body.decode()

        assert 'sidestream_cache_requests_total{cache="answers",result="memory"} 2.0' in text
        assert 'sidestream_cache_tokens_avoided_total{cache="answers"} 20.0' in text
        assert 'sidestream_cache_entries{cache="answers"} 1.0' in text
        spent = [line for line in text.splitlines() if line.startswith("sidestream_tokens_total")]
        assert sum(float(line.rpartition(" ")[2]) for line in spent) == 10.0


async def results(running):
    """How many requests came to what."""
    page = await ask(
        running.worker.admin_port, request("/metrics", method="GET", key="admin-token")
    )
    name = "sidestream_cache_requests_total{"
    lines = [line for line in page.body.decode().splitlines() if line.startswith(name)]
    return {line.split('"')[3]: float(line.rpartition(" ")[2]) for line in lines}


async def test_a_request_is_counted_once_however_it_ends(tmp_path):
    failing = says(json_answer({"error": {"message": "no"}}, status=500))
    cut, reset = then(SSE_HEAD, framed(ROLE), end="close"), then(end="reset")
    scripts = [failing, cut, reset, says(json_answer())]
    only = ["Cache-Control: only-if-cached"]
    async with Scripted(scripts) as up, cached(tmp_path, up.port) as running:
        port = running.port
        failed = await ask(port, request(body=COLD))
        torn = await ask(port, request(body=COLD_STREAM))
        gone = await ask(port, request(body=COLD))
        assert (failed.status, torn.status, gone.status) == (500, 200, 502)
        assert [state(a) for a in (failed, torn, gone)] == ["miss"] * 3
        assert gone.headers["cache-status"].startswith("sidestream; fwd=miss; key=")
        assert await results(running) == {"miss": 3.0}
        await ask(port, request(body=COLD, headers=only))
        left_alone = await ask(port, request(body=CHAT, headers=only))
        assert_refused(left_alone, 504, "not_cached")
        assert state(left_alone) == "bypass"
        assert left_alone.headers["cache-status"] == "sidestream; detail=when"
        assert await results(running) == {"miss": 4.0, "bypass": 1.0}
        assert [state(await ask(port, request(body=COLD))) for _ in range(2)] == ["miss", "hit"]
        assert await results(running) == {"miss": 5.0, "bypass": 1.0, "memory": 1.0}


async def test_a_client_that_leaves_before_its_answer_is_counted_too(tmp_path):
    async def late(peer):
        await asyncio.sleep(30)

    async with Scripted([late]) as up, cached(tmp_path, up.port) as running:
        async with streaming(running.port, COLD_STREAM):
            async with asyncio.timeout(5):
                while not up.requests:
                    await asyncio.sleep(0.005)
        await running.settled()

        assert await results(running) == {"miss": 1.0}


async def test_the_status_says_what_is_kept(tmp_path):
    async with Scripted([says(json_answer())]) as up, cached(tmp_path, up.port) as running:
        await ask(running.port, request(body=COLD))
        said = await ask(
            running.worker.admin_port, request("/status", method="GET", key="admin-token")
        )

        assert said.json["cache"]["shared"] is None
        assert said.json["cache"]["caches"]["answers"]["entries"] == 1


async def test_hits_can_be_charged_for(tmp_path):
    async with (
        Scripted([says(json_answer())]) as up,
        cached(tmp_path, up.port, settings="charge_hits: true") as running,
    ):
        states = [state(await ask(running.port, request(body=COLD))) for _ in range(3)]
        metrics = await ask(
            running.worker.admin_port, request("/metrics", method="GET", key="admin-token")
        )
        lines = metrics.body.decode().splitlines()
        spent = [line for line in lines if line.startswith("sidestream_tokens_total")]

        assert states == ["miss", "hit", "hit"]
        assert sum(float(line.rpartition(" ")[2]) for line in spent) == 30.0
        assert len(up.requests) == 1


async def test_an_operator_forgets_a_route_a_key_or_a_tenant(tmp_path, caplog):
    caplog.set_level("INFO", "sidestream.cache")
    async with Scripted([says(json_answer())]) as up, cached(tmp_path, up.port) as running:

        async def api(path, key="admin-token"):
            return await ask(running.worker.admin_port, request(path, b"", key=key))

        first = await ask(running.port, request(body=COLD))
        name = purged = first.headers["cache-status"].partition('key="')[2].rstrip('"')
        for path in ("purge?route=c", "purge?tenant=acme&key={name}", "erase?tenant=acme"):
            assert state(await ask(running.port, request(body=COLD))) == "hit"
            purged = name if "key" in path else purged
            assert (await api(f"/api/cache/{path.format(name=name)}")).status == 200
            again = await ask(running.port, request(body=COLD))
            assert state(again) == "miss"
            name = again.headers["cache-status"].partition('key="')[2].rstrip('"')

        assert [m for m in caplog.messages if m.endswith((" purged", " erased"))] == [
            "the cache of route 'c' was purged",
            f"the answer {purged} of tenant 'acme' was purged",
            "the cache of tenant 'acme' was erased",
        ]
        assert (await api("/api/cache/erase?tenant=acme", "wrong")).status == 401
        assert (await api("/api/cache/erase")).status == 400
        assert (await api("/api/cache/purge?key=xyz")).status == 400
        assert (await api("/api/cache/purge?route=nope")).status == 404


@contextlib.asynccontextmanager
async def streaming(port, body):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(body=body))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def test_the_command_does_it_too(tmp_path, capsys):
    async with Scripted([says(json_answer())]) as up, cached(tmp_path, up.port) as running:
        await ask(running.port, request(body=COLD))
        config = str(tmp_path / "sidestream.yaml")
        url = f"http://127.0.0.1:{running.worker.admin_port}"

        async def command(*words):
            return await asyncio.to_thread(
                main, ["cache", *words, "--config", config, "--admin", url]
            )

        assert await command("erase", "--tenant", "acme") == 0
        assert capsys.readouterr().out == (
            "erased: nothing that was kept for tenant 'acme' can be read any more\n"
        )
        assert await command("purge", "--route", "c") == 0
        assert capsys.readouterr().out == "purged: no answer of route 'c' is served any more\n"
        assert await command("purge", "--route", "nope") == 1
        assert "no route is named 'nope'" in capsys.readouterr().err
        assert state(await ask(running.port, request(body=COLD))) == "miss"


HINT = (
    "the address is admin.listen of the configuration: name that of the running program with "
    "--config, or the address itself with --admin\n"
)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:1", "cannot be reached: Connection refused; "),
        ("127.0.0.1:1", "cannot be reached: unknown url type: 127.0.0.1; "),
        ("localhost", "does not speak as an admin listener does; "),
        ("http://127.0.0.1:x", "does not speak as an admin listener does; "),
    ],
)
def test_who_cannot_be_reached_is_named_and_how_to_name_another(tmp_path, capsys, url, why):
    config = tmp_path / "c.yaml"
    config.write_text(
        'upstreams: {a: {base_url: "http://a/v1"}}\nroutes: [{name: r, targets: [{upstream: a}]}]\n'
    )
    line = ["cache", "erase", "--tenant", "a", "--config", str(config), "--admin", url]

    assert main(line) == 1
    assert capsys.readouterr().err == f"sidestream: {url} {why}{HINT}"


@pytest.mark.parametrize(
    "script",
    [says(json_answer()), then(b"HTTP/1.1 500 No\r\ncontent-length: 99\r\n\r\n{", end="close")],
)
async def test_another_server_is_not_taken_for_the_admin_listener(tmp_path, capsys, script):
    async with (
        Scripted([script]) as up,
        cached(tmp_path, up.port),
    ):
        url = f"http://127.0.0.1:{up.port}"
        config = str(tmp_path / "sidestream.yaml")
        line = ["cache", "erase", "--tenant", "acme", "--config", config, "--admin", url]

        assert await asyncio.to_thread(main, line) == 1
        assert "does not speak as an admin listener does" in capsys.readouterr().err


async def test_a_purge_says_how_many_entries_went(tmp_path, capsys):
    async with Scripted([says(json_answer())]) as up, cached(tmp_path, up.port) as running:
        first = await ask(running.port, request(body=COLD))
        name = first.headers["cache-status"].partition('key="')[2].rstrip('"')
        path = f"/api/cache/purge?tenant=acme&key={name}"
        done = [
            await ask(running.worker.admin_port, request(path, b"", key="admin-token"))
            for _ in range(2)
        ]
        await ask(running.port, request(body=COLD))
        line = [
            "cache", "purge", "--tenant", "acme", "--key", name,
            "--config", str(tmp_path / "sidestream.yaml"),
            "--admin", f"http://127.0.0.1:{running.worker.admin_port}",
        ]  # fmt: skip
        codes = [await asyncio.to_thread(main, line) for _ in range(2)]

    assert [one.json["purged"] for one in done] == [
        {"key": name, "here": 1, "store": None},
        {"key": name, "here": 0, "store": None},
    ]
    assert codes == [0, 0]
    assert capsys.readouterr().out == (
        "purged: 1 in memory\nnothing was kept under that key: 0 in memory\n"
    )


def test_a_purge_by_several_workers_is_one_line():
    wanted = {"tenant": "a", "route": "", "key": "ab"}
    gone = [{"purged": {"here": 1, "store": 1}}, None, {"purged": {"here": 1, "store": 0}}]

    said = command._in_words(wanted, {"workers": gone, "restarts": 0})

    assert said == "purged: 2 in memory of 2 workers, 1 in the store"


GONE = "no tenant is named 'acmee'; did you mean 'acme'? If it was one before: "


@pytest.mark.parametrize("what", ["erase?tenant=acmee", "purge?tenant=acmee&key=" + 20 * "ab"])
async def test_a_tenant_that_is_not_configured_is_taken_for_misspelt(tmp_path, what):
    async with Scripted([]) as up, cached(tmp_path, up.port) as running:

        async def api(path):
            data = request(f"/api/cache/{path}", b"", key="admin-token")
            return await ask(running.worker.admin_port, data)

        refused = await api(what)
        assert_told(refused, 404, GONE + "&force=true")
        assert (await api(f"{what}&force=yes")).status == 404
        assert (await api(f"{what}&force=true")).status == 200
        far = await api(what.replace("acmee", "zzz"))
        assert_told(far, 404, "no tenant is named 'zzz'. If it was one before: &force=true")


def assert_told(answer, status, message):
    assert (answer.status, answer.error["message"]) == (status, message)


async def test_a_key_without_a_tenant_is_for_global_caches(tmp_path):
    data = request("/api/cache/purge?key=" + 20 * "ab", b"", key="admin-token")
    async with Scripted([]) as up:
        async with cached(tmp_path, up.port) as running:
            answer = await ask(running.worker.admin_port, data)
            wanted = "no cache is global, so say whose: ?tenant=NAME"
            assert_told(answer, 400, wanted)
        redacted = "cache: {answers: {scope: global}}\nredaction: {r: {detect: [email]}}"
        parts = {"routes": route(redaction="r"), "more": redacted}
        async with program(tmp_path, up.port, **parts) as running:
            assert (await ask(running.worker.admin_port, data)).status == 200


async def test_a_tenant_that_was_removed_can_still_be_erased(tmp_path):
    data = request("/api/cache/erase?tenant=other", b"", key="admin-token")
    async with Scripted([]) as up, cached(tmp_path, up.port, tenants=TWO) as running:
        assert (await ask(running.worker.admin_port, data)).status == 200
        path = tmp_path / "sidestream.yaml"
        path.write_text(path.read_text().replace(TWO, ""))
        assert await running.worker.reloader.reload() == []

        assert (await ask(running.worker.admin_port, data)).status == 404
        forced = data.replace(b"tenant=other", b"tenant=other&force=true")
        assert (await ask(running.worker.admin_port, forced)).status == 200


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["erase", "--tenant", "acmee"], GONE + "--force"),
        (["erase", "--tenant", "acmee", "--force"], ""),
        (["purge", "--tenant", "acmee", "--key", 20 * "ab"], GONE + "--force"),
        (["purge", "--tenant", "acmee", "--key", 20 * "ab", "--force"], ""),
        (["purge"], "say what: --route NAME, or --key HEX --tenant NAME"),
        (
            ["purge", "--tenant", "acme", "--key", "ab"],
            "a key has 40 digits, as `cache-status` shows it",
        ),
        (
            ["purge", "--tenant", "acme", "--route", "c"],
            "a route is purged for all tenants: name one of the two",
        ),
        (["purge", "--key", 20 * "ab"], "no cache is global, so say whose: --tenant NAME"),
        (["purge", "--route", "cc"], "no route is named 'cc'; did you mean 'c'?"),
    ],
)
async def test_the_command_speaks_of_options(tmp_path, capsys, words, said):
    async with Scripted([]) as up, cached(tmp_path, up.port) as running:
        config = str(tmp_path / "sidestream.yaml")
        url = f"http://127.0.0.1:{running.worker.admin_port}"
        line = ["cache", *words, "--config", config, "--admin", url]

        assert await asyncio.to_thread(main, line) == (1 if said else 0)
        assert capsys.readouterr().err == (f"sidestream: {said}\n" if said else "")


async def test_the_command_names_the_variable_of_the_token(tmp_path, capsys, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    async with Scripted([]) as up, cached(tmp_path, up.port) as running:
        text = (tmp_path / "sidestream.yaml").read_text()
        (other / "sidestream.yaml").write_text(text.replace(", token: admin-token", ""))
        url = f"http://127.0.0.1:{running.worker.admin_port}"
        line = ["cache", "erase", "--tenant", "acme", "--config", str(other / "sidestream.yaml")]
        assert await asyncio.to_thread(main, [*line, "--admin", url]) == 1
        missing = capsys.readouterr().err
        assert "set SIDESTREAM_ADMIN_TOKEN, or admin.token" in missing
        monkeypatch.setenv("SIDESTREAM_ADMIN_TOKEN", "admin-token")
        assert await asyncio.to_thread(main, [*line, "--admin", url]) == 0


def test_the_command_says_who_it_is():
    assert command.COMMAND == api.COMMAND


async def test_a_reload_forgets_nothing(tmp_path):
    async with Scripted([says(json_answer())]) as up, cached(tmp_path, up.port) as running:
        await ask(running.port, request(body=COLD))
        assert await running.worker.reloader.reload() == []

        assert state(await ask(running.port, request(body=COLD))) == "hit"


async def test_a_new_key_leaves_no_vault_of_the_old_one(tmp_path):
    one, two = (base64.b64encode(c * 32).decode() for c in (b"1", b"2"))
    settings = f"encrypt: {one}"
    async with (
        Scripted([says(json_answer())]) as up,
        cached(tmp_path, up.port, settings=settings) as running,
    ):
        path = tmp_path / "sidestream.yaml"
        path.write_text(path.read_text().replace(settings, f"encrypt: {two}"))
        assert await running.worker.reloader.reload() == []
        metrics = await ask(
            running.worker.admin_port, request("/metrics", method="GET", key="admin-token")
        )
        lines = metrics.body.decode().splitlines()

        # A sample that stands twice is refused by who scrapes.
        sizes = [line for line in lines if line.startswith("sidestream_cache_bytes{")]
        assert [line.partition(" ")[0] for line in sizes] == [
            'sidestream_cache_bytes{cache="answers"}',
            'sidestream_cache_bytes{cache="idempotency"}',
        ]


async def test_who_goes_alone_is_counted_too(tmp_path):
    """A client of the other form, where the answer is too large to be kept whole."""
    events = [ROLE, *(chunk({"content": "x" * 1000}) for _ in range(100)), STOP, DONE]
    gate = asyncio.Event()
    async with (
        Scripted([slowly(events, gate), says(json_answer())]) as up,
        cached(tmp_path, up.port, settings="max_entry: 64KiB", first="5s", idle="5s") as running,
    ):
        first = asyncio.create_task(ask(running.port, request(body=COLD_STREAM)))
        while not up.requests:
            await asyncio.sleep(0.005)
        second = asyncio.create_task(ask(running.port, request(body=COLD)))
        while running.worker.room.in_flight < 2:
            await asyncio.sleep(0.005)
        gate.set()
        answers = await asyncio.gather(first, second)
        metrics = await ask(
            running.worker.admin_port, request("/metrics", method="GET", key="admin-token")
        )

        assert [state(a) for a in answers] == ["miss", "miss"]
        assert len(up.requests) == 2
        counted = 'sidestream_cache_requests_total{cache="answers",result="miss"} 2.0'
        assert counted in metrics.body.decode()


@pytest.mark.parametrize("seed", range(6))
async def test_whoever_leaves_those_who_stay_get_all_of_it(tmp_path, seed):
    """Forty who come and go as they like, over one slow stream."""
    rng = random.Random(seed)
    events = [ROLE, *(chunk({"content": f"word {i} "}) for i in range(60)), STOP, DONE]

    async def script(peer):
        await peer.send(SSE_HEAD)
        for event in events:
            await peer.send(framed(event))
            await asyncio.sleep(0.002)
        await peer.send(b"0\r\n\r\n")

    async def one(port, *, stays, delay, patience):
        await asyncio.sleep(delay)
        body = {**COLD, "stream": rng.random() < 0.7}
        if stays:
            return await ask(port, request(body=body))
        async with streaming(port, body) as (reader, _):
            with contextlib.suppress(TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout(patience):
                    await reader.readuntil(DONE)
        return None

    async with (
        Scripted([script]) as up,
        cached(tmp_path, up.port, first="5s", idle="5s") as running,
    ):
        people = [
            one(running.port, stays=False, delay=0, patience=0.06),
            one(running.port, stays=True, delay=0.01, patience=0),
        ] + [
            one(running.port, stays=i % 3 == 0, delay=0.01 + rng.random() * 0.05,
                patience=rng.random() * 0.1)
            for i in range(38)
        ]  # fmt: skip
        answers = [a for a in await asyncio.gather(*people) if a is not None]

        assert len(up.requests) == 1
        assert all(a.is_whole and a.status == 200 for a in answers)
        streams_seen = {a.body for a in answers if a.headers["content-type"] == "text/event-stream"}
        assert {body.replace(b"chatcmpl-", b"").count(b"data: ") for body in streams_seen} <= {63}
        await running.settled()
        assert len(running.worker.caches.flights) == 0


async def test_purging_one_key_leaves_all_others(tmp_path):
    other = {**COLD, "messages": [{"role": "user", "content": "Something else"}]}
    async with Scripted([says(json_answer())]) as up, cached(tmp_path, up.port) as running:
        first = await ask(running.port, request(body=COLD))
        await ask(running.port, request(body=other))
        key = first.headers["cache-status"].partition('key="')[2].rstrip('"')
        path = f"/api/cache/purge?tenant=acme&key={key}"
        await ask(running.worker.admin_port, request(path, b"", key="admin-token"))

        assert state(await ask(running.port, request(body=other))) == "hit"
        assert state(await ask(running.port, request(body=COLD))) == "miss"


ODD_ANSWERS = [
    {**REPLY, "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]},
    {**REPLY, "choices": [{"index": 0, "message": 7, "finish_reason": "stop"}]},
    {**REPLY, "choices": [{**REPLY["choices"][0], "finish_reason": ["stop"]}]},
]


@pytest.mark.parametrize("odd", ODD_ANSWERS)
async def test_an_answer_in_an_odd_form_is_passed_on_and_fails_nobody_later(tmp_path, odd):
    """Who asks for a stream next would get nothing, until the entry has run out."""
    scripts = [says(json_answer(odd)), streams()]
    async with Scripted(scripts) as up, cached(tmp_path, up.port) as running:
        first = await ask(running.port, request(body=COLD))
        again = await ask(running.port, request(body=COLD_STREAM))
        seen = [event for event in STREAM if event != USAGE_EVENT]

        assert (first.status, first.json) == (200, odd)
        assert (again.status, state(again), again.body) == (200, "miss", b"".join(seen))


async def test_what_a_client_says_of_freshness_may_stand_in_several_lines(tmp_path):
    said = ("Cache-Control: max-age=60", "cache-control: no-store")
    async with Scripted([says(json_answer())]) as up, cached(tmp_path, up.port) as running:
        first = await ask(running.port, request(body=COLD, headers=said))
        again = await ask(running.port, request(body=COLD))

    assert (state(first), state(again), len(up.requests)) == ("bypass", "miss", 2)
