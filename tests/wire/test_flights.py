"""Answers on their way that are larger than what is kept, are left, or are purged."""

import asyncio

import orjson
import pytest

from tests.program import CHAT, ask, program, request
from tests.scripted import DONE, ROLE, SSE_HEAD, STOP, Scripted, chunk, framed, json_answer

COLD = {**CHAT, "temperature": 0}
CACHED = '  - {name: c, match: {model: "*"}, targets: [{upstream: main}], retry: {attempts: 1}, cache: kept}'
EMBEDDINGS = "/v1/embeddings"


def cached(tmp_path, port, settings="ttl: 1h", **parts):
    return program(
        tmp_path,
        port,
        routes=CACHED,
        more=f"cache: {{kept: {{{settings}}}}}",
        first="9s",
        idle="9s",
        **parts,
    )


async def until(is_so):
    async with asyncio.timeout(5):
        while not is_so():
            await asyncio.sleep(0.005)


def state(answer):
    return answer.headers.get("x-sidestream-cache")


def batch(*inputs):
    return request(EMBEDDINGS, {"model": "e", "input": list(inputs)})


def embeds(gate):
    """A small vector of one input; of several such as there are, when ``gate`` opens."""

    async def script(peer):
        inputs = orjson.loads(peer.upstream.requests[-1].body)["input"]
        size = 1536 if len(inputs) > 1 else 2
        if len(inputs) > 1:
            await gate.wait()
        data = [
            {"object": "embedding", "index": i, "embedding": [len(text) / 7 + n / 1e9 for n in range(size)]}
            for i, text in enumerate(inputs)
        ]  # fmt: skip
        await peer.send(json_answer({"object": "list", "data": data, "model": "e", "usage": {}}))

    return script


MANY = ["x" * n for n in range(1, 101)]


@pytest.mark.parametrize("leaves", [False, True])
async def test_many_wait_for_the_rest_of_a_batch_of_megabytes(tmp_path, leaves):
    gate = asyncio.Event()
    async with Scripted([embeds(gate)]) as up, cached(tmp_path, up.port) as running:
        await ask(running.port, batch("known"))
        asked = [asyncio.create_task(ask(running.port, batch("known", *MANY))) for _ in range(4)]
        await until(lambda: running.worker.room.in_flight == 4 and len(up.requests) == 2)
        if leaves:
            asked.pop(0).cancel()
            await until(lambda: running.worker.room.in_flight == 3)
        gate.set()
        answers = await asyncio.gather(*asked)

        assert len(answers[0].body) > 2 << 20
        assert {len(a.json["data"]) for a in answers} == {101}
        assert {state(a) for a in answers} == {"partial"}
        assert len(up.requests) == 2
        assert state(await ask(running.port, batch(*MANY))) == "hit"


@pytest.mark.parametrize("leaves", [False, True])
async def test_what_is_too_large_to_be_put_together_is_asked_for_alone(tmp_path, leaves):
    gate = asyncio.Event()
    async with (
        Scripted([embeds(gate)]) as up,
        cached(tmp_path, up.port, "ttl: 1h, max_entry: 8KiB") as running,
    ):
        await ask(running.port, batch("known"))
        asked = [asyncio.create_task(ask(running.port, batch("known", *MANY))) for _ in range(3)]
        await until(lambda: running.worker.room.in_flight == 3 and len(up.requests) == 2)
        if leaves:
            asked.pop(0).cancel()
        gate.set()
        answers = await asyncio.gather(*asked)

        assert {len(a.json["data"]) for a in answers} == {101}
        assert {state(a) for a in answers} == {"miss"}


WORDS = [chunk({"content": "x" * 1000}) for _ in range(4000)]
LARGE = [ROLE, *WORDS, STOP, DONE]


def speaks(gate):
    """A stream of megabytes, the first event before ``gate`` opens; or all at once."""

    async def script(peer):
        if not orjson.loads(peer.upstream.requests[-1].body).get("stream"):
            await peer.send(json_answer())
            return
        await peer.send(SSE_HEAD, framed(ROLE))
        await gate.wait()
        await peer.send(*map(framed, LARGE[1:]), b"0\r\n\r\n")

    return script


@pytest.mark.parametrize("leaves", [False, True])
async def test_a_large_stream_does_not_wait_for_who_wants_it_whole(tmp_path, leaves):
    gate = asyncio.Event()
    stream = request(body={**COLD, "stream": True})
    async with Scripted([speaks(gate)]) as up, cached(tmp_path, up.port) as running:
        leader = asyncio.create_task(ask(running.port, stream))
        await until(lambda: up.requests)
        others = [asyncio.create_task(ask(running.port, stream)) for _ in range(2)]
        whole = [asyncio.create_task(ask(running.port, request(body=COLD))) for _ in range(3)]
        await until(lambda: running.worker.room.in_flight == 6)
        if leaves:
            leader.cancel()
        else:
            others.append(leader)
        gate.set()

        for answer in await asyncio.gather(*others):
            assert answer.body == b"".join(LARGE)
        for answer in await asyncio.gather(*whole):
            assert (answer.json["choices"][0]["finish_reason"], state(answer)) == ("stop", "miss")
        assert [r.json.get("stream") for r in up.requests] == [True, None, None, None]


async def test_a_large_stream_that_only_they_wait_for_is_let_go(tmp_path):
    gate = asyncio.Event()
    async with Scripted([speaks(gate)]) as up, cached(tmp_path, up.port) as running:
        leader = asyncio.create_task(ask(running.port, request(body={**COLD, "stream": True})))
        await until(lambda: up.requests)
        whole = [asyncio.create_task(ask(running.port, request(body=COLD))) for _ in range(2)]
        await until(lambda: running.worker.room.in_flight == 3)
        leader.cancel()
        await until(lambda: running.worker.room.in_flight == 2)
        gate.set()

        assert {a.status for a in await asyncio.gather(*whole)} == {200}
        await asyncio.wait_for(up.peer_left.wait(), 5)


async def told(running, path):
    return await ask(running.worker.admin_port, request(path, key="admin-token"))


def named(answer):
    return answer.headers["cache-status"].partition('key="')[2].rstrip('"')


def waits(gates):
    """Each answer waits for a gate of its own."""

    async def script(peer):
        await gates[len(peer.upstream.requests) - 1].wait()
        await peer.send(json_answer())

    return script


@pytest.mark.parametrize("key", [(), ("Idempotency-Key: k",)], ids=["cache", "idempotency"])
async def test_who_asks_after_an_erasure_does_not_follow_what_was_begun_before(tmp_path, key):
    gates = [asyncio.Event() for _ in range(3)]
    data = request(body=COLD, headers=key)
    async with Scripted([waits(gates)]) as up, cached(tmp_path, up.port) as running:
        before = [asyncio.create_task(ask(running.port, data)) for _ in range(2)]
        await until(lambda: running.worker.room.in_flight == 2 and up.requests)
        assert (await told(running, "/api/cache/erase?tenant=acme")).status == 200
        after = [asyncio.create_task(ask(running.port, data)) for _ in range(2)]
        await until(lambda: running.worker.room.in_flight == 4 and len(up.requests) == 2)
        gates[0].set()
        await asyncio.gather(*before)
        late = asyncio.create_task(ask(running.port, data))
        await until(lambda: running.worker.room.in_flight == 3)
        gates[1].set()
        answers = [await late, *await asyncio.gather(*after)]

        assert len(up.requests) == 2
        assert sum("idempotent-replayed" in a.headers or state(a) == "follow" for a in answers) == 2


async def test_what_is_purged_while_it_is_under_way_is_not_kept(tmp_path):
    gates = [asyncio.Event() for _ in range(4)]
    gates[0].set()
    async with Scripted([waits(gates)]) as up, cached(tmp_path, up.port) as running:
        key = named(await ask(running.port, request(body=COLD)))
        again = request(body=COLD, headers=["Cache-Control: no-cache"])
        under_way = asyncio.create_task(ask(running.port, again))
        await until(lambda: len(up.requests) == 2)
        assert (await told(running, f"/api/cache/purge?tenant=acme&key={key}")).status == 200
        after = asyncio.create_task(ask(running.port, request(body=COLD)))
        await until(lambda: len(up.requests) == 3)
        gates[1].set()
        assert (await under_way).status == 200
        late = asyncio.create_task(ask(running.port, request(body=COLD)))
        await until(lambda: running.worker.room.in_flight == 2)
        gates[2].set()

        assert [state(await asked) for asked in (after, late)] == ["miss", "follow"]
        assert state(await ask(running.port, request(body=COLD))) == "hit"
        assert len(up.requests) == 3


async def test_an_input_that_is_purged_while_its_batch_is_under_way_is_not_kept(tmp_path):
    gate = asyncio.Event()
    async with Scripted([embeds(gate)]) as up, cached(tmp_path, up.port) as running:
        key = named(await ask(running.port, batch("a")))
        headers = ["Cache-Control: no-cache"]
        both = request(EMBEDDINGS, {"model": "e", "input": ["a", "b"]}, headers=headers)
        under_way = asyncio.create_task(ask(running.port, both))
        await until(lambda: len(up.requests) == 2)
        assert (await told(running, f"/api/cache/purge?tenant=acme&key={key}")).status == 200
        gate.set()
        await under_way

        assert state(await ask(running.port, batch("a"))) == "miss"


async def test_a_purge_of_another_answer_changes_nothing(tmp_path):
    gate = asyncio.Event()
    async with Scripted([waits([gate])]) as up, cached(tmp_path, up.port) as running:
        asked = [asyncio.create_task(ask(running.port, request(body=COLD))) for _ in range(2)]
        await until(lambda: running.worker.room.in_flight == 2 and up.requests)
        assert (await told(running, f"/api/cache/purge?tenant=acme&key={'0' * 40}")).status == 200
        asked.append(asyncio.create_task(ask(running.port, request(body=COLD))))
        await until(lambda: running.worker.room.in_flight == 3)
        gate.set()

        assert [state(await one) for one in asked].count("follow") == 2
        assert state(await ask(running.port, request(body=COLD))) == "hit"


@pytest.mark.parametrize("is_stream", [True, False])
async def test_who_leaves_what_it_began_is_logged_with_what_the_ledger_charges(
    tmp_path, log_lines, is_stream
):
    async def script(peer):
        if is_stream:
            await peer.send(SSE_HEAD, framed(ROLE), framed(chunk({"content": "Hi"})))
        await peer.left()

    usage = tmp_path / "usage.jsonl"
    async with (
        Scripted([script]) as up,
        program(
            tmp_path, up.port, routes=CACHED, tenant=", limits: some", first="9s", idle="9s",
            usage=f"usage: {{to: {usage}}}, ", requests="stdout",
            more='cache: {kept: {}}\nlimits: {some: {tokens_per_day: 1M}}\n'
            'prices: {"*": {input: 1, output: 2}}',
        ) as running,
    ):  # fmt: skip
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(request(body={**COLD, "stream": is_stream}))
        if is_stream:
            await reader.readuntil(b"Hi")
        else:
            await until(lambda: up.requests)
        writer.transport.abort()
        await until(log_lines)
        await until(up.peer_left.is_set)
    line, row = orjson.loads(log_lines()[0]), orjson.loads(usage.read_bytes())

    assert (line["end"], line["target"], line["attempts"]) == ("client_gone", "main", 1)
    assert line["tokens_in"] == row["in"] > 0
    assert line["tokens_out"] == row["out"] == is_stream
    assert round(line["cost_usd"] * 1e9) == row["nanos"] > 0


async def test_who_joins_late_waits_no_time_and_never_less(tmp_path, log_lines):
    gate = asyncio.Event()

    async def script(peer):
        await peer.send(SSE_HEAD, framed(ROLE), framed(chunk({"content": "Hi"})))
        await gate.wait()
        await peer.send(framed(STOP), framed(DONE), b"0\r\n\r\n")

    async with (
        Scripted([script]) as up,
        cached(tmp_path, up.port, requests="stdout") as running,
    ):
        asking = []
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(request(body={**COLD, "stream": True}))
            await reader.readuntil(b"Hi")
            asking.append((reader, writer))
        gate.set()
        for reader, writer in asking:
            await reader.readuntil(b"[DONE]")
            writer.close()
        await until(lambda: len(log_lines()) == 2)

    lines = [orjson.loads(line) for line in log_lines()]
    assert [line["notes"]["cache"] for line in lines] == ["miss", "follow"]
    assert all(line["ttft_ms"] >= 0 for line in lines)


async def test_the_first_byte_of_a_whole_answer_is_not_there_before_it_comes(tmp_path, log_lines):
    async def script(peer):
        await asyncio.sleep(0.05)
        await peer.send(json_answer())

    async with Scripted([script]) as up, program(tmp_path, up.port, requests="stdout") as running:
        await ask(running.port, request(body=CHAT))

    assert orjson.loads(log_lines()[0])["ttft_ms"] >= 50


@pytest.mark.parametrize("limits", ["", ", limits: some"])
async def test_who_leaves_pays_for_what_it_got_with_limits_or_without(tmp_path, limits):
    async def script(peer):
        await peer.send(SSE_HEAD, framed(ROLE), framed(chunk({"content": "Hi"})))
        await peer.left()

    usage = tmp_path / "usage.jsonl"
    async with (
        Scripted([script]) as up,
        program(
            tmp_path, up.port, tenant=limits, first="9s", idle="9s",
            usage=f"usage: {{to: {usage}}}, ",
            more='limits: {some: {tokens_per_day: 1M}}\nprices: {"*": {input: 1, output: 2}}',
        ) as running,
    ):  # fmt: skip
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(request(body={**CHAT, "stream": True}))
        await reader.readuntil(b"Hi")
        writer.transport.abort()
        await until(up.peer_left.is_set)
    row = orjson.loads(usage.read_bytes())

    assert (row["end"], row["out"], row["estimated"]) == ("client_gone", 1, True)
    assert row["in"] > 0
    assert row["nanos"] == row["in"] * 1000 + 2000


async def test_what_all_have_left_ends_when_it_can_be_kept_no_more(tmp_path):
    go = asyncio.Event()

    async def script(peer):
        await peer.send(SSE_HEAD, framed(ROLE), framed(chunk({"content": "Hi"})))
        await go.wait()
        for _ in range(20):
            await peer.send(framed(chunk({"content": "x" * 60_000})))
        await peer.left()

    async with (
        Scripted([script]) as up,
        program(tmp_path, up.port, first="9s", idle="9s") as running,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        headers = ("Idempotency-Key: one",)
        writer.write(request(body={**COLD, "stream": True}, headers=headers))
        await reader.readuntil(b"Hi")
        writer.transport.abort()
        flights = running.worker.caches.flights
        await until(lambda: flights.left == 1)
        go.set()
        await until(up.peer_left.is_set)
        await until(lambda: not len(flights))

        assert flights.left == 0
