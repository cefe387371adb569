"""Embeddings are cached by input: of a batch only what is missing is asked for."""

import asyncio

import openai
import orjson
import pytest

from tests.program import KEY, ask, program, request
from tests.scripted import Scripted, json_answer, says, then

ROUTES = "  - {name: e, match: {path: /v1/embeddings}, targets: [{upstream: main}], cache: kept}"
PATH = "/v1/embeddings"


def vector(text):
    return [len(text) / 8, ord(str(text)[0]) / 256]


async def embed(peer):
    """Answers what was asked, in disorder."""
    asked = orjson.loads(peer.upstream.requests[-1].body)["input"]
    inputs = asked if isinstance(asked, list) else [asked]
    data = [
        {"object": "embedding", "index": i, "embedding": vector(text)}
        for i, text in enumerate(inputs)
    ]
    usage = {"prompt_tokens": sum(map(len, inputs)), "total_tokens": sum(map(len, inputs))}
    await peer.send(
        json_answer({"object": "list", "data": data[::-1], "model": "e-1", "usage": usage})
    )


def cached(tmp_path, port, settings="ttl: 1h"):
    return program(tmp_path, port, routes=ROUTES, more=f"cache: {{kept: {{{settings}}}}}")


def body(*inputs, **more):
    return {"model": "e", "input": list(inputs), **more}


async def test_of_a_batch_only_the_rest_is_asked_for(tmp_path):
    async with Scripted([embed]) as up, cached(tmp_path, up.port) as running:
        await ask(running.port, request(PATH, body("aa", "bbb")))
        answer = await ask(running.port, request(PATH, body("bbb", "c", "aa", "dddd", "c")))

        assert [r.json["input"] for r in up.requests] == [["aa", "bbb"], ["c", "dddd"]]
        assert answer.headers["x-sidestream-cache"] == "partial"
        assert [d["index"] for d in answer.json["data"]] == [0, 1, 2, 3, 4]
        wanted = [vector(t) for t in ("bbb", "c", "aa", "dddd", "c")]
        assert [d["embedding"] for d in answer.json["data"]] == wanted
        assert answer.json["usage"]["prompt_tokens"] == 3 + 1 + 2 + 4 + 1
        assert answer.json["model"] == "e-1"


async def test_a_batch_that_is_known_costs_nothing(tmp_path):
    async with Scripted([embed]) as up, cached(tmp_path, up.port) as running:
        await ask(running.port, request(PATH, body("aa", "bbb")))
        single = await ask(running.port, request(PATH, {"model": "e", "input": "bbb"}))
        both = await ask(running.port, request(PATH, body("bbb", "aa", user="somebody")))

        assert len(up.requests) == 1
        assert {a.headers["x-sidestream-cache"] for a in (single, both)} == {"hit"}
        assert single.json["data"][0]["embedding"] == vector("bbb")
        assert "age" in both.headers


async def test_other_dimensions_and_formats_are_other_embeddings(tmp_path):
    async with Scripted([embed]) as up, cached(tmp_path, up.port) as running:
        for more in ({}, {"dimensions": 2}, {"encoding_format": "base64"}, {"dimensions": 3}):
            answer = await ask(running.port, request(PATH, body("aa", **more)))
            assert answer.headers["x-sidestream-cache"] == "miss"

        assert len(up.requests) == 4


async def test_an_answer_that_does_not_fit_the_question_is_not_kept(tmp_path):
    odd = {"object": "list", "data": [{"index": 0, "embedding": [1.0]}], "model": "e"}
    async with Scripted([says(json_answer(odd))]) as up, cached(tmp_path, up.port) as running:
        for _ in range(2):
            assert (await ask(running.port, request(PATH, body("a", "b")))).json == odd

        assert len(up.requests) == 2


async def test_stale_embeddings_serve_and_are_asked_for_again_once(tmp_path):
    async with (
        Scripted([embed]) as up,
        cached(tmp_path, up.port, "ttl: 400ms, stale: 1h") as running,
    ):
        await ask(running.port, request(PATH, body("aa", "bbb")))
        await asyncio.sleep(0.4)
        answer = await ask(running.port, request(PATH, body("bbb")))
        assert answer.headers["x-sidestream-cache"] == "stale"
        while len(up.requests) < 2 or running.worker.caches.flights:
            await asyncio.sleep(0.005)

        assert (await ask(running.port, request(PATH, body("bbb")))).headers[
            "x-sidestream-cache"
        ] == "hit"
        assert [r.json["input"] for r in up.requests] == [["aa", "bbb"], ["bbb"]]


async def test_the_client_gets_the_same_vectors(tmp_path):
    async with (
        Scripted([embed]) as up,
        cached(tmp_path, up.port) as running,
        openai.AsyncOpenAI(base_url=running.url, api_key=KEY, max_retries=0) as client,
    ):
        made = [
            await client.embeddings.create(model="e", input=["x", "yy"], encoding_format="float")
            for _ in range(2)
        ]

        assert [d.embedding for d in sorted(made[0].data, key=lambda d: d.index)] == [
            d.embedding for d in made[1].data
        ]
        assert len(up.requests) == 1


def named(answer):
    return answer.headers["cache-status"].partition('key="')[2].rstrip('"')


async def test_the_answer_to_one_input_can_be_purged_by_its_key(tmp_path):
    single = request(PATH, {"model": "e", "input": "bbb"})
    async with Scripted([embed]) as up, cached(tmp_path, up.port) as running:

        async def purge(key):
            path = f"/api/cache/purge?tenant=acme&key={key}"
            return await ask(running.worker.admin_port, request(path, b"", key="admin-token"))

        asked = await ask(running.port, single)
        hit = await ask(running.port, single)
        assert named(asked) == named(hit) != ""
        assert (await purge(named(hit))).status == 200
        again = await ask(running.port, single)

        assert again.headers["x-sidestream-cache"] == "miss"
        assert len(up.requests) == 2


async def test_a_batch_tells_no_key(tmp_path):
    async with Scripted([embed]) as up, cached(tmp_path, up.port) as running:
        for inputs in (("a", "b"), ("a", "b"), ("a", "c")):
            answer = await ask(running.port, request(PATH, body(*inputs)))
            assert "key=" not in answer.headers["cache-status"]


async def test_every_answer_says_whose_it_is_and_why_it_was_asked_for(tmp_path):
    single = request(PATH, body("a"), headers=["Cache-Control: no-cache"])
    async with Scripted([embed]) as up, cached(tmp_path, up.port) as running:
        asked = await ask(running.port, single)
        hit = await ask(running.port, request(PATH, body("a")))

        assert asked.headers["cache-status"].startswith("sidestream; fwd=request")
        assert {a.headers["x-sidestream-target"] for a in (asked, hit)} == {"main"}


async def test_what_a_partial_answer_used_is_counted(tmp_path):
    async with Scripted([embed]) as up, cached(tmp_path, up.port) as running:
        await ask(running.port, request(PATH, body("aa", "bbb")))
        answer = await ask(running.port, request(PATH, body("bbb", "c", "dddd")))
        metrics = await ask(
            running.worker.admin_port, request("/metrics", method="GET", key="admin-token")
        )
        lines = metrics.body.decode().splitlines()
        spent = [line for line in lines if line.startswith("sidestream_tokens_total")]

        assert answer.headers["x-sidestream-target"] == "main"
        assert answer.headers["x-sidestream-attempts"] == "1"
        assert sum(float(line.rpartition(" ")[2]) for line in spent) == 5.0 + 5.0
        assert 'sidestream_cache_requests_total{cache="kept",result="partial"} 1.0' in lines
        assert 'sidestream_cache_tokens_avoided_total{cache="kept"} 3.0' in lines
        assert len(up.requests) == 2


def counted(metrics, name):
    lines = [line for line in metrics.body.decode().splitlines() if line.startswith(name)]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


async def left(running):
    path = request("/api/limits/acme", method="GET", key="admin-token")
    limits = (await ask(running.worker.admin_port, path)).json["limits"]
    return next(row["remaining"] for row in limits if row["limit"].startswith("tokens"))


async def test_what_of_a_batch_was_cached_is_charged_for_too_where_hits_are(tmp_path):
    more = """
cache: {kept: {ttl: 1h, charge_hits: true}}
prices: {e: {input: 1, output: 1}}
limits: {tight: {tokens: 1000/day}}
"""
    async with (
        Scripted([embed]) as up,
        program(
            tmp_path,
            up.port,
            routes=ROUTES,
            tenant=", limits: tight",
            more=more,
        ) as running,
    ):
        await ask(running.port, request(PATH, body("aa", "bbb")))
        assert await left(running) == 1000 - 5
        partial = await ask(running.port, request(PATH, body("bbb", "c", "dddd", "bbb")))
        assert partial.headers["x-sidestream-cache"] == "partial"
        assert await left(running) == 1000 - 5 - 11
        whole = await ask(running.port, request(PATH, body("c", "dddd")))
        assert whole.headers["x-sidestream-cache"] == "hit"
        assert await left(running) == 1000 - 5 - 11 - 5
        metrics = await ask(
            running.worker.admin_port, request("/metrics", method="GET", key="admin-token")
        )

        assert counted(metrics, "sidestream_tokens_total") == 5.0 + 11.0 + 5.0
        assert round(counted(metrics, "sidestream_cost_usd_total") * 1e6) == 21
        # What is kept cost what the upstream was paid for it, and no more.
        assert round(counted(metrics, "sidestream_cache_usd_avoided_total") * 1e6) == 6 + 5
        assert len(up.requests) == 2


async def test_a_batch_is_counted_once_however_it_ends(tmp_path):
    only = ["Cache-Control: only-if-cached"]
    gone = then(end="reset")
    async with Scripted([gone, gone, embed]) as up, cached(tmp_path, up.port) as running:
        broken = await ask(running.port, request(PATH, body("a")))
        unknown = await ask(running.port, request(PATH, body("a"), headers=only))
        known = [await ask(running.port, request(PATH, body("a"))) for _ in range(2)]
        metrics = await ask(
            running.worker.admin_port, request("/metrics", method="GET", key="admin-token")
        )

        assert (broken.status, unknown.status) == (502, 504)
        states = [a.headers["x-sidestream-cache"] for a in (broken, unknown, *known)]
        assert states == ["miss", "miss", "miss", "hit"]
        assert unknown.headers["cache-status"].startswith("sidestream; detail=not_cached; key=")
        assert counted(metrics, "sidestream_cache_requests_total") == 4


async def test_a_batch_that_repeats_itself_is_no_partial_hit(tmp_path):
    async with Scripted([embed]) as up, cached(tmp_path, up.port) as running:
        answer = await ask(running.port, request(PATH, body("aa", "aa")))

        assert answer.headers["x-sidestream-cache"] == "miss"
        assert [d["embedding"] for d in answer.json["data"]] == [vector("aa")] * 2
        assert [r.json["input"] for r in up.requests] == [["aa"]]


async def test_a_batch_whose_rest_failed_is_no_partial_hit(tmp_path):
    failing = says(json_answer({"error": {"message": "no"}}, status=500))
    async with Scripted([embed, failing]) as up, cached(tmp_path, up.port) as running:
        await ask(running.port, request(PATH, body("aa")))
        answer = await ask(running.port, request(PATH, body("aa", "b")))

        assert (answer.status, answer.headers["x-sidestream-cache"]) == (500, "miss")


async def test_a_body_that_reads_in_two_ways_is_left_alone(tmp_path):
    raw = b'{"model":"e","input":["a"],"dimensions":2,"dimensions":3}'
    async with Scripted([embed]) as up, cached(tmp_path, up.port) as running:
        for _ in range(2):
            answer = await ask(running.port, request(PATH, raw))
            assert answer.headers["x-sidestream-cache"] == "bypass"

        assert len(up.requests) == 2


@pytest.mark.parametrize("given", [[], ["a", ["b"]], ["a"] * 4097])
async def test_an_input_in_no_known_form_is_left_alone_and_said_to_be(tmp_path, given):
    asked = {"model": "e", "input": given}
    async with (
        Scripted([says(json_answer({"object": "list", "data": []}))]) as up,
        cached(tmp_path, up.port) as running,
    ):
        answer = await ask(running.port, request(PATH, asked))
        only = ["Cache-Control: only-if-cached"]
        refused = await ask(running.port, request(PATH, asked, headers=only))

        assert (answer.status, answer.headers["x-sidestream-cache"]) == (200, "bypass")
        assert answer.headers["cache-status"] == "sidestream; fwd=bypass; detail=input"
        assert refused.status == 504
        assert len(up.requests) == 1


@pytest.mark.parametrize(
    ("script", "settings", "why"),
    [
        (embed, "max_entry: 10B", "size"),
        (says(json_answer({}, status=400)), "", "status"),
        (says(json_answer({"data": []})), "", "incomplete"),
        (then(end="reset"), "", "end"),
    ],
)
async def test_what_is_not_kept_is_counted_with_its_reason(tmp_path, script, settings, why):
    async with Scripted([script]) as up, cached(tmp_path, up.port, settings) as running:
        await ask(running.port, request(PATH, body("aa")))
        page = await ask(
            running.worker.admin_port, request("/metrics", method="GET", key="admin-token")
        )

    told = f'sidestream_cache_unstored_total{{cache="kept",reason="{why}"}} 1.0'
    assert told in page.body.decode()
