"""The cache on a real server: shared, sealed, and never waited for long."""

import asyncio
import base64
import contextlib
import random
import re
import time

import pytest

from proxy.core import fills
from proxy.policies import idempotency
from proxy.stores.address import parse_address
from proxy.stores.cache_memory import Memory
from proxy.stores.cache_redis import Shared
from proxy.stores.opening import open_store
from proxy.stores.scripts import load_scripts
from proxy.stores.sealed import Master
from proxy.stores.vault import SealedVault
from tests.program import CHAT, KEY, ask, program, request
from tests.redis.conftest import PATIENCE_S, TIME_OUT_S, RealClock, at_once, until
from tests.redis.servers import Server
from tests.scripted import Scripted, json_answer, says, streams

COLD = {**CHAT, "temperature": 0}
MASTER = base64.b64encode(b"k" * 32).decode()
OTHER = base64.b64encode(b"o" * 32).decode()
ROUTE = (
    '  - {name: c, match: {model: "*"}, targets: [{upstream: main}], retry: {attempts: 1},'
    " cache: answers}"
)
TWO = """
  other: {keys: [{sha256: 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b}]}
"""


@contextlib.asynccontextmanager
async def cached(
    tmp_path, port, url, *, settings=f"encrypt: {MASTER}", is_ready=True, extra="", **parts
):
    more = f"store: {{url: '{url}', timeout: 500ms}}\ncache: {{answers: {{{settings}}}}}\n{extra}"
    folder = tmp_path / str(time.monotonic_ns())
    folder.mkdir()
    async with program(folder, port, routes=ROUTE, more=more, tenants=TWO, **parts) as running:
        if is_ready:
            await until(lambda: running.worker.caches.shared.is_up)
        yield running


def state(answer):
    return answer.headers.get("x-sidestream-cache")


def counted(running, name):
    """The values of a counter of the caches, by its labels."""
    (family,) = [family for family in running.worker.caches.collect() if family.name == name]
    return {tuple(s.labels.values()): s.value for s in family.samples if s.name == f"{name}_total"}


def held(running):
    """How many answers a replica has in its memory."""
    return running.worker.caches.status()["caches"]["answers"]["entries"]


def entries(server):
    return sorted(server.ask("KEYS", "ss:{c.*}:e:*"))


async def stored(server, count=1):
    await until(lambda: len(entries(server)) >= count)
    return entries(server)


async def test_what_one_replica_was_told_another_knows(tmp_path, server):
    async with (
        Scripted([says(json_answer()), streams()]) as up,
        cached(tmp_path, up.port, server.url) as one,
        cached(tmp_path, up.port, server.url) as two,
    ):
        assert state(await ask(one.port, request(body=COLD))) == "miss"
        await stored(server)
        answer = await ask(two.port, request(body=COLD))
        streamed = await ask(two.port, request(body={**COLD, "stream": True}))

        assert (state(answer), state(streamed)) == ("hit", "hit")
        assert len(up.requests) == 1


async def test_nothing_in_the_store_can_be_read(tmp_path, server):
    async with (
        Scripted([says(json_answer())]) as up,
        cached(tmp_path, up.port, server.url) as running,
    ):
        await ask(running.port, request(body=COLD))
        await stored(server)

        for key in server.ask("KEYS", "*"):
            kind = server.ask("TYPE", key)
            value = server.ask("GET", key) if kind == b"string" else b""
            assert not any(word in key + value for word in (b"Hello", b"choices", b"stop"))


async def damaged(server, how):
    """What an enemy with the store in his hands may do to an entry."""
    name = entries(server)[0]
    value = server.ask("GET", name)
    changed = {
        "poisoned": b'{"choices": []}',
        "truncated": value[: len(value) // 2],
        "stump": value[:5],
        "empty": b"",
        "tampered": value[:-20] + bytes([value[-20] ^ 1]) + value[-19:],
        "header": value[:7] + bytes([value[7] ^ 1]) + value[8:],
        "version": b"ss\x02" + value[3:],
        "key id": value[:3] + b"abcd" + value[7:],
    }[how]
    server.ask("SET", name, changed, "PX", 60000)


HOWS = ["poisoned", "truncated", "stump", "empty", "tampered", "header", "version", "key id"]


@pytest.mark.parametrize("how", HOWS)
async def test_a_damaged_entry_is_a_miss_and_a_metric(tmp_path, server, how):
    async with (
        Scripted([says(json_answer())]) as up,
        cached(tmp_path, up.port, server.url) as one,
        cached(tmp_path, up.port, server.url) as two,
    ):
        await ask(one.port, request(body=COLD))
        await stored(server)
        await damaged(server, how)
        answer = await ask(two.port, request(body=COLD))

        assert (answer.status, state(answer)) == (200, "miss")
        assert len(up.requests) == 2
        assert sum(counted(two, "sidestream_cache_rejected").values()) == 1


async def test_an_entry_under_anothers_key_is_a_miss(tmp_path, server):
    other = {**COLD, "messages": [{"role": "user", "content": "Something else"}]}
    async with (
        Scripted([says(json_answer())]) as up,
        cached(tmp_path, up.port, server.url) as one,
        cached(tmp_path, up.port, server.url) as two,
    ):
        for body, key in ((COLD, KEY), (other, KEY), (COLD, "secret")):
            await ask(one.port, request(body=body, key=key))
        names = await stored(server, 3)
        values = [server.ask("GET", name) for name in names]
        for name, value in zip(names, values[1:] + values[:1], strict=True):
            server.ask("SET", name, value, "PX", 60000)
        for body, key in ((COLD, KEY), (other, KEY), (COLD, "secret")):
            assert state(await ask(two.port, request(body=body, key=key))) == "miss"

        assert len(up.requests) == 6


async def test_erasing_a_tenant_leaves_nothing_readable_anywhere(tmp_path, server):
    async with (
        Scripted([says(json_answer())]) as up,
        cached(tmp_path, up.port, server.url) as one,
        cached(tmp_path, up.port, server.url) as two,
    ):
        for key in (KEY, "secret"):
            await ask(one.port, request(body=COLD, key=key))
        await stored(server, 2)
        api = request("/api/cache/erase?tenant=acme", b"", key="admin-token")
        assert (await ask(two.worker.admin_port, api)).status == 200

        assert len(entries(server)) == 2
        assert state(await ask(two.port, request(body=COLD))) == "miss"
        assert state(await ask(two.port, request(body=COLD, key="secret"))) == "hit"
        await until(lambda: not held(one))


async def test_embeddings_count_under_the_layer_they_come_from(tmp_path, server):
    data = [{"index": i, "embedding": [float(i)]} for i in range(3)]
    made = {"object": "list", "data": data, "model": "e", "usage": {"prompt_tokens": 9}}

    def asking(*inputs):
        return request("/v1/embeddings", {"model": "e", "input": list(inputs)})

    async with (
        Scripted([says(json_answer(made))]) as up,
        cached(tmp_path, up.port, server.url) as one,
        cached(tmp_path, up.port, server.url) as two,
    ):
        await ask(one.port, asking("a", "b", "c"))
        await stored(server, 3)
        for inputs in ("a", "ab", "ba", "abc", "abc"):
            assert state(await ask(two.port, asking(*inputs))) == "hit"
        results = counted(two, "sidestream_cache_requests")

        assert results == {("answers", "redis"): 3, ("answers", "memory"): 2}
        assert len(up.requests) == 1


async def test_many_embeddings_are_kept_and_found_at_once(tmp_path, server):
    asked = [f"text {i}" for i in range(250)]
    body = {"model": "e", "input": asked}
    data = [{"index": i, "embedding": [float(i)]} for i in range(250)]
    made = {"object": "list", "data": data, "model": "e", "usage": {"prompt_tokens": 999}}
    async with (
        Scripted([says(json_answer(made))]) as up,
        cached(tmp_path, up.port, server.url) as one,
        cached(tmp_path, up.port, server.url) as two,
    ):
        await ask(one.port, request("/v1/embeddings", body))
        await stored(server, 250)
        calls = server.ask("INFO", "commandstats").decode()
        answer = await ask(two.port, request("/v1/embeddings", {**body, "input": asked[::-1]}))
        more = server.ask("INFO", "commandstats").decode()

        assert state(answer) == "hit"
        assert [d["embedding"] for d in answer.json["data"]] == [[float(i)] for i in range(250)][
            ::-1
        ]
        assert answer.json["usage"]["prompt_tokens"] == 999
        assert count_of("evalsha", more) - count_of("evalsha", calls) == 1
        assert len(up.requests) == 1


def count_of(command, info):
    line = next(li for li in info.splitlines() if li.startswith(f"cmdstat_{command}:"))
    return int(line.partition("calls=")[2].partition(",")[0])


@contextlib.asynccontextmanager
async def shared_by_two(server):
    """What two replicas have in common."""
    async with contextlib.AsyncExitStack() as stack:
        replicas = []
        for _ in range(2):
            store = open_store(
                parse_address(server.url),
                load_scripts(),
                random.Random(1).random,
                timeout_s=TIME_OUT_S,
            )
            shared = Shared(store, load_scripts())
            store.start()
            shared.start()
            stack.push_async_callback(store.close)
            stack.push_async_callback(shared.close)
            await until(lambda shared=shared: shared.is_up)
            replicas.append(shared)
        yield replicas


async def test_an_erased_salt_never_comes_back(server):
    """Not even from a replica that has not heard of it yet."""
    async with shared_by_two(server) as (one, two):
        for shared in (one, two):
            await shared.get("t.a", (b"n",), 0.0)
        old = one.salt("t.a")
        assert two.salt("t.a") == old
        one.put("t.a", old, b"", ((b"n", b"sealed", 60_000),))
        await until(lambda: server.ask("GET", "ss:{c.t.a}:e:n"))
        await one.erase("t.a")
        await two.get("t.a", (b"n",), 0.0)
        two.put("t.a", old, b"", ((b"m", b"sealed", 60_000),))
        await one.get("t.a", (b"n",), 0.0)

        assert one.salt("t.a") == two.salt("t.a") != old
        assert server.ask("GET", "ss:{c.t.a}:e:m") is None


async def test_purging_a_route_reaches_every_replica(tmp_path, server):
    async with (
        Scripted([says(json_answer())]) as up,
        cached(tmp_path, up.port, server.url) as one,
        cached(tmp_path, up.port, server.url) as two,
    ):
        await ask(one.port, request(body=COLD))
        await stored(server)
        assert state(await ask(two.port, request(body=COLD))) == "hit"
        api = request("/api/cache/purge?route=c", b"", key="admin-token")
        assert (await ask(one.worker.admin_port, api)).status == 200
        await until(lambda: two.worker.caches.shared.of("c"))

        assert state(await ask(two.port, request(body=COLD))) == "miss"


async def test_purging_a_route_leaves_the_memory_of_all_others(tmp_path, server):
    async with (
        Scripted([says(json_answer())]) as up,
        cached(tmp_path, up.port, server.url, settings="") as one,
        cached(tmp_path, up.port, server.url, settings="") as two,
    ):
        await ask(two.port, request(body=COLD))
        await one.worker.caches.purge(route="elsewhere")
        await until(lambda: two.worker.caches.shared._purges._heard.get("elsewhere"))

        assert state(await ask(two.port, request(body=COLD))) == "hit"


async def test_a_new_key_still_reads_what_the_last_one_sealed(tmp_path, server):
    rotated = f"encrypt: {OTHER}, encrypt_before: {MASTER}"
    async with Scripted([says(json_answer())]) as up:
        async with cached(tmp_path, up.port, server.url) as running:
            await ask(running.port, request(body=COLD))
            await stored(server)
        async with cached(tmp_path, up.port, server.url, settings=rotated) as running:
            assert state(await ask(running.port, request(body=COLD))) == "hit"
        async with cached(tmp_path, up.port, server.url, settings=f"encrypt: {OTHER}") as running:
            assert state(await ask(running.port, request(body=COLD))) == "miss"

        assert len(up.requests) == 2


def named(answer):
    return answer.headers["cache-status"].partition('key="')[2].rstrip('"')


async def purge(running, answer):
    path = f"/api/cache/purge?tenant=acme&key={named(answer)}"
    done = await ask(running.worker.admin_port, request(path, b"", key="admin-token"))
    assert done.status == 200
    return done.json["purged"]


ROTATED = f"encrypt: {OTHER}, encrypt_before: {MASTER}"


@pytest.mark.parametrize("by", ["old", "new"])
@pytest.mark.parametrize("at", ["old", "new"])
async def test_a_purge_reaches_an_answer_under_its_names_of_both_keys(tmp_path, server, by, at):
    async with (
        Scripted([says(json_answer())]) as up,
        cached(tmp_path, up.port, server.url) as old,
        cached(tmp_path, up.port, server.url, settings=ROTATED) as new,
    ):
        replicas = {"old": old, "new": new}
        # Kept by one of them, shown by either, purged where both keys are known.
        shown = {at: await ask(replicas[at].port, request(body=COLD))}
        await stored(server)
        other = "new" if at == "old" else "old"
        shown[other] = await ask(replicas[other].port, request(body=COLD))
        await stored(server, 1 if at == "old" else 2)
        asked = len(up.requests)
        await purge(new, shown[by])

        assert entries(server) == []
        assert state(await ask(new.port, request(body=COLD))) == "miss"
        assert len(up.requests) == asked + 1


@pytest.mark.parametrize("settings", [f"encrypt: {MASTER}", "ttl: 1h"], ids=["keyed", "unkeyed"])
async def test_purging_one_answer_leaves_all_others_in_memory(tmp_path, server, settings):
    other = {**COLD, "messages": [{"role": "user", "content": "Something else"}]}
    async with (
        Scripted([says(json_answer())]) as up,
        cached(tmp_path, up.port, server.url, settings=settings) as one,
        cached(tmp_path, up.port, server.url, settings=settings) as two,
    ):
        for running in (one, two):
            for body in (COLD, other):
                await ask(running.port, request(body=body))
                if "encrypt" in settings:
                    await stored(server, 1 if body is COLD else 2)
        shown = await ask(one.port, request(body=COLD))
        gone = await purge(one, shown)
        assert (gone["here"], gone["store"]) == (1, 1 if "encrypt" in settings else 0)
        assert (await purge(one, shown))["store"] == 0
        kept = 1 if "encrypt" in settings else 2
        await until(lambda: held(two) == kept)

        assert held(one) == 1
        assert state(await ask(one.port, request(body=COLD))) == "miss"
        assert state(await ask(one.port, request(body=other))) == "hit"
        assert state(await ask(two.port, request(body=other))) == "hit"


async def test_what_was_purged_is_not_kept_by_who_has_not_heard_of_it(server):
    async with shared_by_two(server) as (one, two):
        for shared in (one, two):
            await shared.get("t.a", (b"name",), 0.0)
        await one.drop("t.a", b"name", [b"name"])
        two.put("t.a", two.salt("t.a"), b"", [(b"name", b"sealed", 60_000), (b"n", b"s", 60_000)])

        assert await two.get("t.a", (b"name", b"n"), 0.0) == (False, [None, b"s"])
        assert 0 < int(server.ask("PTTL", "ss:{c.t.a}:x:name")) <= 2000


async def test_more_purges_than_can_be_told_empty_the_memory_of_shared_caches(server):
    async with shared_by_two(server) as (one, two):
        heard = []
        two.on_drop(lambda scope, name: heard.append((scope, name)))
        await one.drop("t.a", b"first", [b"first"])
        await until(lambda: heard == [("t.a", b"first")])
        server.ask("XADD", "ss:{cache}:d", "*", "not ours", "x", "y", "z")
        await one.drop("t.a", b"second", [b"second"])
        await until(lambda: heard[1:] == [("t.a", b"second")])
        assert two.odd == 1
        server.ask("XTRIM", "ss:{cache}:d", "MAXLEN", 0)
        await one.drop("t.a", b"third", [b"third"])
        await until(lambda: heard[2:] == [("", b"")])


@pytest.mark.parametrize("trouble", ["string", "last"])
async def test_a_purge_is_told_whatever_stands_in_its_place(server, trouble):
    async with shared_by_two(server) as (one, two):
        if trouble == "string":
            server.ask("SET", "ss:{cache}:d", "x")
            await until(lambda: not two.is_up)
        else:
            last = "-".join(["18446744073709551615"] * 2)
            server.ask("XADD", "ss:{cache}:d", last, "n", "x")
        heard = []
        two.on_drop(lambda scope, name: heard.append((scope, name)))
        await one.drop("t.a", b"name", [b"name"])
        await until(lambda: heard in ([("t.a", b"name")], [("", b"")]))
        await until(lambda: two.is_up)


async def test_a_first_answer_is_every_replicas(tmp_path, server):
    gate = asyncio.Event()

    async def script(peer):
        await gate.wait()
        await peer.send(json_answer())

    def asked():
        return request(body=CHAT, headers=["Idempotency-Key: k"])

    async with (
        Scripted([script]) as up,
        cached(tmp_path, up.port, server.url, first="5s") as one,
        cached(tmp_path, up.port, server.url, first="5s") as two,
    ):
        first = asyncio.create_task(ask(one.port, asked()))
        await until(lambda: up.requests)
        second = asyncio.create_task(ask(two.port, asked()))
        await asyncio.sleep(0.5)
        assert not second.done()
        gate.set()
        answers = [await first, await second]

        assert len(up.requests) == 1
        assert answers[0].body == answers[1].body
        assert answers[1].headers["idempotent-replayed"] == "true"


async def test_a_replica_is_waited_for_as_long_as_it_lives(tmp_path, server, monkeypatch):
    monkeypatch.setattr(idempotency, "LEASE_S", 0.4)
    monkeypatch.setattr(fills, "BEAT_S", 0.1)
    gate = asyncio.Event()

    async def script(peer):
        await gate.wait()
        await peer.send(json_answer())

    data = request(body=CHAT, headers=["Idempotency-Key: k"])
    async with (
        Scripted([script]) as up,
        cached(tmp_path, up.port, server.url, first="5s") as one,
        cached(tmp_path, up.port, server.url, first="5s") as two,
    ):
        first = asyncio.create_task(ask(one.port, data))
        await until(lambda: up.requests)
        second = asyncio.create_task(ask(two.port, data))
        await asyncio.sleep(1)
        gate.set()
        answers = await asyncio.gather(first, second)

        assert [a.headers.get("idempotent-replayed") for a in answers] == [None, "true"]
        assert len(up.requests) == 1
        await until(lambda: not server.ask("KEYS", "ss:{c.*}:l:*"))


async def test_a_replica_that_died_is_not_waited_for_long(tmp_path, server, monkeypatch):
    monkeypatch.setattr(idempotency, "LEASE_S", 0.4)
    data = request(body=CHAT, headers=["Idempotency-Key: k"])
    gone = asyncio.Event()

    async def script(peer):
        await gone.wait()

    async with (
        Scripted([script, says(json_answer())]) as up,
        cached(tmp_path, up.port, server.url, first="5s") as two,
    ):
        async with cached(tmp_path, up.port, server.url, first="500ms") as one:
            first = asyncio.create_task(ask(one.port, data))
            await until(lambda: server.ask("KEYS", "ss:{c.*}:l:*"))
            name = server.ask("KEYS", "ss:{c.*}:l:*")[0]
            first.cancel()
        # As if the process had died before it could give the lease back.
        server.ask("SET", name, b"somebody", "PX", 400)
        begun = time.monotonic()
        async with asyncio.timeout(10):
            answer = await ask(two.port, data)
        gone.set()

        assert answer.status == 200
        assert "idempotent-replayed" not in answer.headers
        assert time.monotonic() - begun > 0.2


async def test_a_lease_of_ones_own_is_not_waited_for(server):
    async with shared_by_two(server) as (one, two):
        taken = [await shared.get("t.a", (b"n",), 5.0) for shared in (one, two, one)]

        assert [bool(reply[0]) for reply in taken] == [True, False, True]


@pytest.mark.parametrize("seconds", [60.0, 0.0], ids=["erased meanwhile", "over at once"])
async def test_what_is_not_kept_gives_its_lease_back(server, seconds):
    async with shared_by_two(server) as replicas:
        clock, masters = RealClock(), (Master(b"k" * 32),)
        one, two = [
            SealedVault(shared, clock, masters, Memory(1 << 20), is_own_key=False)
            for shared in replicas
        ]
        key = one.key("t.a", b"question")
        assert (await one.far("t.a", (key,), lease_s=60.0)).is_leader
        era = one.era("t.a")
        if seconds:
            await replicas[0].erase("t.a")
        one.keep("t.a", key, b"answer", era=era, seconds=seconds)
        await one.far("t.a", (key,), lease_s=0.0)  # behind what was sent
        found = await two.far("t.a", (key,), lease_s=60.0)

        assert found.is_leader
        assert found.data == (None,)


async def test_a_first_answer_outlives_a_new_key(tmp_path, server):
    rotated = f"encrypt: {OTHER}, encrypt_before: {MASTER}"
    data = request(body=CHAT, headers=["Idempotency-Key: k"])
    async with Scripted([says(json_answer())]) as up:
        async with cached(tmp_path, up.port, server.url) as running:
            await ask(running.port, data)
            await stored(server)
        async with cached(tmp_path, up.port, server.url, settings=rotated) as running:
            answer = await ask(running.port, data)

        assert answer.headers["idempotent-replayed"] == "true"
        assert len(up.requests) == 1


def redacting(key):
    given = f", key: {key}" if key else ""
    rules = f"redaction: {{r: {{detect: [email, phone], actions: {{phone: mask}}{given}}}}}"
    return {"extra": rules, "tenant": ", redaction: r"}


async def repeated(tmp_path, server, keys, text, up):
    """The answers of replicas, one for each redaction key, to one Idempotency-Key."""
    answers = []
    body = {**CHAT, "messages": [{"role": "user", "content": text}]}
    for key in keys:
        async with cached(tmp_path, up.port, server.url, **redacting(key)) as one:
            data = request(body=body, headers=["Idempotency-Key: k"])
            answers.append(await ask(one.port, data))
            await stored(server)
            answers.append(await ask(one.port, data))
            assert answers[-1].headers["idempotent-replayed"] == "true"
    return answers[::2]


MAIL = "Write to jane@example.com"


@pytest.mark.parametrize(
    ("keys", "text", "calls"),
    [
        # Each process has pseudonyms of its own: nobody can say if it is the same.
        (("", ""), MAIL, 2),
        ((MASTER, OTHER), MAIL, 2),
        ((MASTER, MASTER), MAIL, 1),
        (("", ""), "Hello", 1),
    ],
)
async def test_under_redaction_a_repeated_request_is_never_refused(
    tmp_path, server, keys, text, calls
):
    async with Scripted([says(json_answer())]) as up:
        answers = await repeated(tmp_path, server, keys, text, up)

        assert [a.status for a in answers] == [200, 200]
        assert len(up.requests) == calls


async def test_under_redaction_another_request_is_refused_where_that_can_be_known(tmp_path, server):
    other = {**CHAT, "messages": [{"role": "user", "content": MAIL + ", please"}]}
    async with Scripted([says(json_answer())]) as up:
        for key in (MASTER, ""):
            server.ask("FLUSHALL")
            await repeated(tmp_path, server, [key], MAIL, up)
            async with cached(tmp_path, up.port, server.url, **redacting(MASTER)) as two:
                answer = await ask(two.port, request(body=other, headers=["Idempotency-Key: k"]))
                assert answer.status == (422 if key else 200)


async def test_what_others_erase_takes_no_originals_of_a_conversation(tmp_path, server):
    async def script(peer):
        seen = [r.body for r in peer.upstream.requests]
        name = re.search(rb"PII_EMAIL_[a-z2-7]{8}", seen[0])[0].decode()
        said = [{"content": [{"type": "output_text", "text": f"it is {name}"}]}]
        await peer.send(json_answer({"object": "response", "id": "resp_1", "output": said}))

    async with (
        Scripted([script]) as up,
        cached(tmp_path, up.port, server.url, **redacting("")) as running,
    ):
        first = {"model": "m", "input": MAIL}
        await ask(running.port, request("/v1/responses", first))
        for what in ("erase?tenant=other", "purge?route=c"):
            api = request(f"/api/cache/{what}", b"", key="admin-token")
            assert (await ask(running.worker.admin_port, api)).status == 200
            await ask(running.port, request(body=COLD))
        again = {"model": "m", "input": "which one?", "previous_response_id": "resp_1"}
        answer = await ask(running.port, request("/v1/responses", again))

    assert answer.json["output"][0]["content"][0]["text"] == "it is jane@example.com"


async def test_replicas_wait_a_moment_for_the_one_who_asks(tmp_path, server):
    gate = asyncio.Event()

    async def script(peer):
        await gate.wait()
        await peer.send(json_answer())

    async with (
        Scripted([script]) as up,
        cached(tmp_path, up.port, server.url) as one,
        cached(tmp_path, up.port, server.url) as two,
    ):
        first = asyncio.create_task(ask(one.port, request(body=COLD)))
        await until(lambda: up.requests)
        second = asyncio.create_task(ask(two.port, request(body=COLD)))
        await asyncio.sleep(0.1)
        gate.set()

        assert [state(a) for a in await asyncio.gather(first, second)] == ["miss", "hit"]
        assert len(up.requests) == 1


async def test_they_do_not_wait_for_ever(tmp_path, server):
    gate = asyncio.Event()

    async def script(peer):
        if len(peer.upstream.requests) == 1:
            await gate.wait()
        await peer.send(json_answer())

    async with (
        Scripted([script]) as up,
        cached(tmp_path, up.port, server.url, first="5s") as one,
        cached(tmp_path, up.port, server.url) as two,
    ):
        first = asyncio.create_task(ask(one.port, request(body=COLD)))
        await until(lambda: up.requests)
        began = time.monotonic()
        async with asyncio.timeout(PATIENCE_S):
            assert state(await ask(two.port, request(body=COLD))) == "miss"
        assert time.monotonic() - began > 0.25
        gate.set()
        await first


async def test_a_stale_answer_is_refreshed_by_one_replica(tmp_path, server):
    settings = f"encrypt: {MASTER}, ttl: 700ms, stale: 1h"
    async with (
        Scripted([says(json_answer())]) as up,
        cached(tmp_path, up.port, server.url, settings=settings) as one,
        cached(tmp_path, up.port, server.url, settings=settings) as two,
    ):
        await ask(one.port, request(body=COLD))
        await stored(server)
        await ask(two.port, request(body=COLD))
        await asyncio.sleep(0.7)
        answers = await asyncio.gather(
            *(ask(port, request(body=COLD)) for port in (one.port, two.port) * 10)
        )
        assert {state(a) for a in answers} <= {"stale", "hit"}
        await until(lambda: len(up.requests) == 2)
        await until(lambda: not (one.worker.caches.flights or two.worker.caches.flights))
        for port in (one.port, two.port):
            assert state(await ask(port, request(body=COLD))) == "hit"
        assert len(up.requests) == 2


async def test_a_stale_answer_serves_for_as_long_as_it_is_refreshed(tmp_path, server):
    gate = asyncio.Event()

    async def slow(peer):
        await gate.wait()
        await peer.send(json_answer())

    async with (
        Scripted([says(json_answer()), slow]) as up,
        cached(
            tmp_path, up.port, server.url, settings=f"encrypt: {MASTER}, ttl: 300ms, stale: 1h"
        ) as running,
    ):
        await ask(running.port, request(body=COLD))
        await stored(server)
        await asyncio.sleep(0.3)
        await ask(running.port, request(body=COLD))
        await until(lambda: len(up.requests) == 2)

        assert state(await ask(running.port, request(body=COLD))) == "stale"
        gate.set()


async def test_a_fill_that_failed_gives_its_lease_back(tmp_path, server):
    async with (
        Scripted([says(json_answer({}, status=500)), says(json_answer())]) as up,
        cached(tmp_path, up.port, server.url) as one,
        cached(tmp_path, up.port, server.url) as two,
    ):
        await ask(one.port, request(body=COLD))
        await until(lambda: not server.ask("KEYS", "ss:{c.*}:l:*"))

        assert state(await ask(two.port, request(body=COLD))) == "miss"


async def test_two_hundred_at_once_make_one_call_over_the_store_too(tmp_path, server):
    gate = asyncio.Event()

    async def script(peer):
        await gate.wait()
        await peer.stream()

    async with Scripted([script]) as up, cached(tmp_path, up.port, server.url) as running:
        bodies = [{**COLD, "stream": True}, COLD]
        asked = [
            asyncio.create_task(ask(running.port, request(body=bodies[i % 2]))) for i in range(200)
        ]
        await until(lambda: running.worker.room.in_flight == 200)
        await until(lambda: up.requests)
        await asyncio.sleep(0.1)
        gate.set()
        answers = await asyncio.gather(*asked)

        assert {a.status for a in answers} == {200}
        assert len(up.requests) == 1


@pytest.mark.parametrize("trouble", ["freeze", "kill"])
async def test_a_dead_store_costs_its_time_out_once(own_server, trouble):
    store = open_store(parse_address(own_server.url), load_scripts(), random.Random(1).random)
    shared = Shared(store, load_scripts())
    vault = SealedVault(shared, RealClock(), (Master(b"k" * 32),), Memory(10**6), is_own_key=False)
    store.start()
    shared.start()
    await until(lambda: shared.is_up)
    keys = [vault.key("t.a", b"%d" % i) for i in range(100)]
    await vault.far("t.a", (keys[0],), lease_s=1.0)
    getattr(own_server, trouble)()
    async with asyncio.timeout(PATIENCE_S):
        assert (await vault.far("t.a", (keys[0],), lease_s=1.0)).data == (None,)
    for key in keys:
        assert at_once(vault.far("t.a", (key,), lease_s=1.0)).data == (None,)
        vault.keep("t.a", key, b"data", era=vault.era("t.a"), seconds=60.0)

    assert vault.near("t.a", keys[0]) == b"data"
    await shared.close()
    await store.close()


@pytest.mark.parametrize("trouble", ["freeze", "kill"])
async def test_requests_go_on_when_the_store_is_dead(tmp_path, own_server, trouble):
    async with (
        Scripted([says(json_answer())]) as up,
        cached(tmp_path, up.port, own_server.url) as running,
    ):
        await ask(running.port, request(body=COLD))
        getattr(own_server, trouble)()
        for i in range(6):
            body = {**COLD, "messages": [{"role": "user", "content": f"{i}"}]}
            assert state(await ask(running.port, request(body=body))) == "miss"
            assert state(await ask(running.port, request(body=body))) == "hit"

        assert state(await ask(running.port, request(body=COLD))) == "hit"


async def test_without_a_key_nothing_is_shared(tmp_path, server):
    async with (
        Scripted([says(json_answer())]) as up,
        cached(tmp_path, up.port, server.url, settings="ttl: 1h") as running,
    ):
        for wanted in ("miss", "hit"):
            assert state(await ask(running.port, request(body=COLD))) == wanted

        assert entries(server) == []


async def test_a_store_that_comes_late_is_used_from_then_on(tmp_path):
    server = Server()
    server.kill()
    try:
        async with (
            Scripted([says(json_answer())]) as up,
            cached(tmp_path, up.port, server.url, is_ready=False) as running,
        ):
            assert state(await ask(running.port, request(body=COLD))) == "miss"
            assert state(await ask(running.port, request(body=COLD))) == "hit"
            server.start()
            await until(lambda: running.worker.caches.shared.is_up, 10)
            other = {**COLD, "seed": 1}
            assert state(await ask(running.port, request(body=other))) == "miss"
            await stored(server)
    finally:
        server.stop()
