"""Questions that replicas share on a real server: sealed, bounded, never waited for long."""

import asyncio
import contextlib
import os
import random
import time
from hashlib import blake2b

import pytest

from proxy.core.semantic import Asked
from proxy.stores import questions as module
from proxy.stores.address import parse_address
from proxy.stores.cache_redis import Shared
from proxy.stores.opening import open_store
from proxy.stores.questions import KeptQuestions
from proxy.stores.scripts import load_scripts
from proxy.stores.sealed import Master
from tests.judges import Judge
from tests.kit import FakeClock
from tests.meaning import vector_of
from tests.program import ask, request
from tests.redis.conftest import PATIENCE_S, TIME_OUT_S, until
from tests.redis.test_cache import MASTER
from tests.scripted import Scripted
from tests.wire.test_cache import state
from tests.wire.test_semantic import (
    LIKE,
    QUESTION,
    chat,
    embeds,
    learned,
    says_text,
    semantic,
    status,
)

SECRET = os.urandom(32)
FRAME = b"f" * 20


class LoopTasks:
    def __init__(self):
        self.running = set()

    def begin(self, work):
        task = asyncio.get_running_loop().create_task(work)
        self.running.add(task)
        return task

    pause = staticmethod(asyncio.sleep)


@pytest.fixture
async def replicas(server):
    """Makes replicas' questions; each has a clock of its own."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(secret=SECRET):
            scripts = load_scripts()
            store = open_store(
                parse_address(server.url), scripts, random.Random(1).random, timeout_s=TIME_OUT_S
            )
            shared = Shared(store, scripts)
            store.start()
            shared.start()
            stack.push_async_callback(store.close)
            stack.push_async_callback(shared.close)
            await until(lambda: shared.is_up)
            await shared.get("t.a", [b"x"], 0)  # brings the salt
            kept = KeptQuestions(
                shared, Master(secret, "vector"), LoopTasks(), FakeClock(), is_far=True
            )
            kept.limit = 1 << 24
            kept.shared = shared
            return kept

        yield make


def add(kept, text, name=None):
    era = kept.shared.salt("t.a")
    asked = Asked(1.0, text, name.encode() if name else blake2b(text.encode()).digest()[:20])
    kept.add("t.a", FRAME, asked, vector_of(text), era=era, seconds=60)


def streams_of(server):
    return server.ask("KEYS", "ss:{c.*}:q:*")


async def told(server, count):
    await until(lambda: streams_of(server) and server.ask("XLEN", streams_of(server)[0]) == count)


def near(kept, text):
    return [a.text for a in kept.near("t.a", FRAME, vector_of(text), 0.9, 4)]


async def test_what_one_learned_the_others_hear(server, replicas):
    one, two = await replicas(), await replicas()
    add(one, "capital France")
    await told(server, 1)

    assert near(two, "capital France") == []
    await two.hear("t.a", FRAME)
    assert near(two, "capital of France?") == ["capital France"]
    add(one, "tax law")
    await told(server, 2)
    await two.hear("t.a", FRAME)
    assert near(two, "tax law") == []  # asked a moment ago
    two._clock.advance(1.5)
    await two.hear("t.a", FRAME)
    assert near(two, "tax law") == ["tax law"]
    assert (len(two), two.rejected) == (2, 0)


async def test_more_than_a_page_comes_newest_first_and_then_the_rest(server, replicas):
    one, two = await replicas(), await replicas()
    for i in range(module.PAGE * 2 + 50):
        add(one, f"question{i}")
    await told(server, module.PAGE * 2 + 50)

    await two.hear("t.a", FRAME)
    assert len(two) >= module.PAGE
    assert near(two, f"question{module.PAGE * 2 + 49}")
    await asyncio.gather(*two._tasks.running)
    assert len(two) == module.PAGE * 2 + 50


async def test_nothing_of_a_question_can_be_read_in_the_store(server, replicas):
    one = await replicas()
    add(one, "zebra unicorn")
    await told(server, 1)

    rows = repr(server.ask("XRANGE", streams_of(server)[0], "-", "+")).encode()
    assert b"zebra" not in rows
    assert vector_of("zebra unicorn")[:8] not in rows
    assert 0 < server.ask("PTTL", streams_of(server)[0]) <= 60_000


@pytest.mark.parametrize("how", ["other key", "other frame", "other name", "cut", "noise", "salt"])
async def test_a_question_that_was_tampered_with_is_not_heard(server, replicas, how):
    one, two = await replicas(), await replicas(os.urandom(32) if how == "other key" else SECRET)
    add(one, "zebra unicorn", "n1")
    await told(server, 1)
    key = streams_of(server)[0]
    name, sealed = server.ask("XRANGE", key, "-", "+")[0][1]
    frame = FRAME
    if how == "other frame":
        frame = b"g" * 20
        server.ask("XADD", key.replace(FRAME, frame), "*", name, sealed)
    elif how == "other name":
        server.ask("DEL", key)
        server.ask("XADD", key, "*", b"n2", sealed)
    elif how in ("cut", "noise"):
        server.ask("DEL", key)
        server.ask("XADD", key, "*", name, sealed[:30] if how == "cut" else os.urandom(400))
    elif how == "salt":
        await one.shared.erase("t.a")
        await two.shared.get("t.a", [b"x"], 0)

    await two.hear("t.a", frame)

    assert len(two) == 0
    assert two.rejected == 1


async def test_an_erased_scope_learns_nothing_that_was_begun_before(server, replicas):
    one = await replicas()
    era = one.shared.salt("t.a")
    server.ask("DEL", "ss:{c.t.a}:k")
    one.add("t.a", FRAME, Asked(1.0, "a", b"n"), vector_of("cat"), era=era, seconds=60)
    await one.shared.get("t.b", [b"x"], 0)

    assert streams_of(server) == []


async def test_the_least_used_frame_leaves_when_there_is_no_room(replicas):
    one = await replicas()
    one.limit = 40_000
    era = one.shared.salt("t.a")
    for i in range(60):
        asked = Asked(1.0, "a", b"n")
        one.add("t.a", b"frame%d" % i, asked, vector_of("cat"), era=era, seconds=60)

    assert one.size <= one.limit
    assert 5 < len(one) < 60
    assert one.near("t.a", b"frame59", vector_of("cat"), 0.9, 1)
    assert not one.near("t.a", b"frame0", vector_of("cat"), 0.9, 1)
    for i in range(500):
        asked = Asked(1.0, "a", b"m%d" % i)
        one.add("t.a", b"big", asked, vector_of("cat"), era=era, seconds=60)
    assert one.size < 2 * one.limit
    one.forget("t.a")
    assert (one.size, len(one)) == (0, 0)


def shared_semantic(tmp_path, port, encoder, url, **more):
    folder = tmp_path / str(time.monotonic_ns())
    folder.mkdir()
    extra = f"store: {{url: '{url}', timeout: 500ms}}"
    return semantic(folder, port, encoder, extra=extra, sealed=f"encrypt: {MASTER}, ", **more)


async def test_a_replica_answers_the_like_of_what_another_was_asked(tmp_path, server):
    async with (
        Scripted([says_text("Paris")]) as up,
        Judge(embeds) as encoder,
        shared_semantic(tmp_path, up.port, encoder, server.url, more=", verify: 0") as one,
        shared_semantic(tmp_path, up.port, encoder, server.url, more=", verify: 0") as two,
    ):
        for running in (one, two):
            await until(lambda running=running: running.worker.caches.shared.is_up)
        await ask(one.port, request(body=chat(QUESTION)))
        await learned(one)
        await told(server, 1)
        answer = await ask(two.port, request(body=chat(LIKE)))

        assert state(answer) == "semantic"
        assert len(up.requests) == 1
        api = request("/api/cache/erase?tenant=acme", b"", key="admin-token")
        assert (await ask(one.worker.admin_port, api)).status == 200
        assert state(await ask(two.port, request(body=chat("capital of France")))) == "miss"


async def test_with_a_dead_store_a_replica_goes_on_with_its_own(tmp_path, own_server):
    async with (
        Scripted([says_text("Paris")]) as up,
        Judge(embeds) as encoder,
        shared_semantic(tmp_path, up.port, encoder, own_server.url, more=", verify: 0") as one,
    ):
        await until(lambda: one.worker.caches.shared.is_up)
        await ask(one.port, request(body=chat(QUESTION)))
        await learned(one)
        own_server.stop()
        began = time.monotonic()
        answers = [
            await ask(one.port, request(body=chat(f"{LIKE} {s}"))) for s in ("", "the", "an")
        ]

        assert [state(a) for a in answers] == ["semantic"] * 3
        assert time.monotonic() - began < 3 * PATIENCE_S
        assert status(one)["hit"] == 3
