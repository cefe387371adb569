"""A store in an enemy's hands: what stands in it ends nothing, and costs little."""

import asyncio
import contextlib
import os
import random
import time

import pytest

from proxy.stores import purges
from proxy.stores.address import parse_address
from proxy.stores.cache_memory import Memory
from proxy.stores.cache_redis import Shared
from proxy.stores.opening import open_store
from proxy.stores.pipe import StoreDown
from proxy.stores.scripts import load_scripts
from proxy.stores.sealed import Master
from proxy.stores.vault import SealedVault
from tests.program import ask, request
from tests.redis.conftest import PATIENCE_S, RealClock, until
from tests.redis.test_cache import COLD, cached, entries, shared_by_two, state, stored
from tests.redis.test_semantic import FRAME, add, near, replicas, streams_of, told
from tests.scripted import Scripted, json_answer, says

STATE = "ss:{cache}"
SALT_KEY = "ss:{c.t.a}:k"

__all__ = ["replicas"]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(purges, "POLL_S", 0.05)


class Stall:
    """The most CPU, in seconds, that went by between two turns of the loop."""

    def __init__(self):
        self.worst = 0.0

    async def __aenter__(self):
        self._task = asyncio.create_task(self._run())
        await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *_):
        await asyncio.sleep(0.05)
        self._task.cancel()

    async def _run(self):
        while True:
            began = time.thread_time()
            await asyncio.sleep(0.001)
            self.worst = max(self.worst, time.thread_time() - began)


@contextlib.asynccontextmanager
async def vault_on(server):
    store = open_store(
        parse_address(server.url), load_scripts(), random.Random(1).random, timeout_s=PATIENCE_S
    )
    shared = Shared(store, load_scripts())
    vault = SealedVault(
        shared, RealClock(), (Master(b"k" * 32),), Memory(1 << 20), is_own_key=False
    )
    store.start()
    shared.start()
    await until(lambda: shared.is_up)
    vault.shared = shared
    yield vault
    await shared.close()
    await store.close()


FIELDS = [
    ("r:zzz", "abc"), ("r:zzz", ""), ("r:zzz", "1.5"), ("r:zzz", "9" * 5000), (b"r:\xff\xfe", "1"),
    ("r:c", "-5"), ("r:c", "abc"), ("r:c", "9" * 15), ("r:c", "9" * 400), ("x" * 9999, "1"),
    ("generation", "g" * 100_000),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), FIELDS)
async def test_an_odd_field_hides_no_purge(server, field, value):
    async with shared_by_two(server) as (one, two):
        server.ask("HSET", STATE, field, value)
        await asyncio.sleep(0.15)
        assert one.is_up
        assert two.is_up
        assert two.of("c") == 0
        if not isinstance(field, bytes):
            assert two.odd == 1  # and not once a poll
        await one.purge("c")
        # A poll of the one who purged may tell of it a second time.
        await until(lambda: two.of("c") > 0 and one.of("c") == two.of("c"))
        erased = []
        two.on_purge(erased.append)
        await one.erase("t.a")
        await until(lambda: erased)


async def test_a_purge_is_new_to_those_who_know_of_one_that_was_lost(server):
    async with shared_by_two(server) as (one, two):
        for _ in range(3):
            await one.purge("c")
        await until(lambda: two.of("c") == one.of("c"))
        server.ask("HSET", STATE, "r:c", "-5")
        await until(lambda: server.ask("HGET", STATE, "r:c") != b"-5")

        assert int(server.ask("HGET", STATE, "r:c")) >= one.of("c")


@pytest.mark.parametrize("trouble", ["string", "list", "crowd"])
async def test_a_state_that_is_none_stops_sharing_until_a_purge(server, trouble):
    async with shared_by_two(server) as (one, two):
        server.ask("DEL", STATE)
        if trouble == "crowd":
            server.ask("HSET", STATE, *[w for i in range(5000) for w in (f"r:{i}", "1")])
        else:
            server.ask(*(("SET", STATE, "x") if trouble == "string" else ("LPUSH", STATE, "x")))
        await until(lambda: not (one.is_up or two.is_up))
        assert await one.get("t.a", (b"n",), 0.0) is None
        await one.purge("c")
        await until(lambda: one.is_up and two.is_up and two.of("c"))


async def test_a_fault_ends_no_listening(server, caplog):
    async with shared_by_two(server) as (one, two):

        def told(scope):
            if not caplog.records:
                raise RuntimeError(scope + "he" + "llo")

        two.on_purge(told)
        await one.erase("t.a")
        await until(lambda: "RuntimeError" in caplog.text)
        assert "hello" not in caplog.text
        await until(lambda: two.is_up)
        await one.purge("d")
        await until(lambda: two.of("d"))


async def test_closing_raises_nothing_that_was_before(server):
    async with vault_on(server) as vault:
        shared = vault.shared
        shared._purges._task.cancel()

        async def fail():
            raise ValueError

        shared._purges._task = asyncio.create_task(fail())
        await asyncio.sleep(0)
        await shared.close()


async def test_leaving_goes_on_after_a_step_that_failed(tmp_path, server, monkeypatch, caplog):
    closed, message = [], "secret"
    async with (
        Scripted([says(json_answer())]) as up,
        cached(tmp_path, up.port, server.url) as running,
    ):
        accounts = running.worker.accounts
        close = accounts.close

        async def closes():
            closed.append("accounts")
            await close()

        async def fails():
            raise ValueError(message)

        monkeypatch.setattr(accounts, "close", closes)
        monkeypatch.setattr(running.worker.app, "leave", fails)

    assert closed == ["accounts"]
    assert "to leave: " in caplog.text
    assert "ValueError" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("size", [0, 1, 31, 33, 40 << 20])
async def test_a_salt_of_another_size_is_replaced(server, size):
    async with vault_on(server) as vault:
        server.ask("SET", SALT_KEY, b"s" * size)
        async with Stall() as stall:
            await vault.shared.get("t.a", (b"n",), 0.0)

        assert len(server.ask("GET", SALT_KEY)) == 32
        assert vault.shared.salt("t.a") == server.ask("GET", SALT_KEY)
        assert stall.worst < 0.02


async def test_a_value_that_is_too_large_stays_where_it_is(server):
    async with vault_on(server) as vault:
        large, small = vault.key("t.a", b"l"), vault.key("t.a", b"s")
        await vault.far("t.a", (large, small), lease_s=0.0)
        vault.keep_all("t.a", ((large, b""), (small, b"data")), era=vault.era("t.a"), seconds=60.0)
        await stored(server, 2)
        name = b"ss:{c.t.a}:e:" + large.now
        server.ask("EVAL", "redis.call('SET',KEYS[1],string.rep('x',60000000))", 1, name)
        async with Stall() as stall:
            found = await vault.far("t.a", (large, small), lease_s=0.0)

        assert found.data == (None, b"data")
        assert vault.counts.rejected == {"form": 1}
        assert stall.worst < 0.02


async def test_an_answer_as_large_as_the_cache_takes_is_shared(server):
    async with vault_on(server) as vault:
        key, data = vault.key("t.a", b"l"), os.urandom(6 << 20)
        vault.most = 7 << 20
        await vault.far("t.a", (key,), lease_s=0.0)
        vault.keep("t.a", key, data, era=vault.era("t.a"), seconds=60.0)
        await stored(server)

        assert (await vault.far("t.a", (key,), lease_s=0.0)).data == (data,)


REPLIES = [
    None, 7, b"x", [], [b"s" * 32], [None, 1, None], [7, 1, None], [b"s" * 32, b"x", None],
    [[b"x"], 0, None], [b"s" * 31, 0, None], [b"s" * 32, 0, None, None], [[b"1-1", None]],
    [0, 0, b"abc", b""], [0, 0, b"9" * 5000, b"1-1", b"1-1", b"n", 5],
    [0, 0, b"1-1", b"1-1", b"1-1", b"n"], [1, 0, b"", b""], [b"", 0, 5, None, b"r:c"],
]  # fmt: skip


@pytest.mark.parametrize("reply", REPLIES, ids=repr)
async def test_an_odd_reply_is_a_miss(server, replicas, reply):
    kept = await replicas()
    shared = kept.shared
    vault = SealedVault(
        shared, RealClock(), (Master(b"k" * 32),), Memory(1 << 20), is_own_key=False
    )
    run = shared._store.run
    shared._store.run = lambda *words: asyncio.get_running_loop().call_soon(words[-1], reply)
    key = vault.key("t.a", b"m")
    assert (await vault.far("t.a", (key,), lease_s=1.0)).data == (None,)
    assert shared.odd > 0
    await vault.may_refresh("t.a", key, 1.0)
    await kept.hear("t.a", FRAME)
    assert (len(kept), near(kept, "capital")) == (0, [])
    with contextlib.suppress(StoreDown):
        await shared.purge("c")
    await asyncio.sleep(0.12)
    assert not shared._purges._task.done()
    shared._store.run = run
    await until(lambda: shared.is_up)


@pytest.mark.parametrize("value", [5, [b"x"], -1, b"", b"ss"])
async def test_an_odd_value_is_a_miss_and_a_metric(server, value):
    async with vault_on(server) as vault:
        store, reply = vault.shared._store, [b"s" * 32, 0, value]
        run = store.run
        store.run = lambda *words: asyncio.get_running_loop().call_soon(words[-1], reply)
        found = await vault.far("t.a", (vault.key("t.a", b"m"),), lease_s=0.0)
        store.run = run

        assert found.data == (None,)
        assert sum(vault.counts.rejected.values()) == 1


async def test_an_entry_of_many_fields_is_left_out(server, replicas):
    one, two = await replicas(), await replicas()
    add(one, "zebra unicorn")
    await told(server, 1)
    key = streams_of(server)[0]
    words = [w for i in range(20_000) for w in (b"%d" % i, b"ss\x01" + b"x" * 40)]
    for odd in (words, (b"n" * 21, b"x"), (b"n", b"x" * 70_000)):
        server.ask("XADD", key, "*", *odd)
    async with Stall() as stall:
        await two.hear("t.a", FRAME)

    assert near(two, "zebra unicorn")
    assert two.rejected == 3
    assert stall.worst < 0.02
    add(one, "tax law")
    await told(server, 5)
    two._clock.advance(1.5)
    await two.hear("t.a", FRAME)
    assert near(two, "tax law")
    assert two.rejected == 3


async def test_a_page_of_large_entries_is_told_in_parts(server, replicas):
    one, two = await replicas(), await replicas()
    add(one, "zebra unicorn")
    await told(server, 1)
    key = streams_of(server)[0]
    for _ in range(60):
        server.ask("XADD", key, "*", b"n", b"x" * 60_000)
    async with Stall() as stall:
        await two.hear("t.a", FRAME)
        await asyncio.gather(*two._tasks.running)

    assert near(two, "zebra unicorn")
    assert two.rejected == 60
    assert stall.worst < 0.05


async def test_the_last_possible_entry_is_no_error(server, replicas):
    one, two = await replicas(), await replicas()
    add(one, "zebra unicorn")
    await told(server, 1)
    last = "-".join(["18446744073709551615"] * 2)
    server.ask("XADD", streams_of(server)[0], last, "n", "x")
    for _ in range(3):
        await two.hear("t.a", FRAME)
        two._clock.advance(1.5)

    assert near(two, "zebra unicorn")
    assert (two.rejected, two.shared.failures) == (1, 0)


async def test_what_is_odd_is_a_metric(tmp_path, server):
    async with (
        Scripted([says(json_answer())]) as up,
        cached(tmp_path, up.port, server.url) as running,
    ):
        server.ask("HSET", STATE, "r:c", "abc")
        await until(lambda: running.worker.caches.shared.odd)
        page = await ask(running.worker.admin_port, request("/metrics", b"", method="GET"))
        assert b"sidestream_cache_store_odd_total 1.0" in page.body
        assert state(await ask(running.port, request(body=COLD))) == "miss"
        assert state(await ask(running.port, request(body=COLD))) == "hit"
        await until(lambda: entries(server))
