"""A store that freezes, dies, comes back empty or forgets: nobody waits, nothing counts twice."""

import asyncio
import logging

import pytest

from proxy.core.ledger import Claim, Limit, Settlement, order_of
from tests.redis.conftest import PATIENCE_S, at_once, until


def day(cap=10_000, on_failure="open"):
    return Limit(name="day", kind="window", cap=cap, on_failure=on_failure)


def slots(cap=4, on_failure="local"):
    return Limit(name="slots", kind="slot", cap=cap, on_failure=on_failure)


async def soon(ledger, claims):
    async with asyncio.timeout(PATIENCE_S):
        return await ledger.reserve(*order_of("acme", claims), b"guess")


async def used_of(ledger, limit):
    left = await ledger.peek(*order_of("acme", (Claim(limit, "tenant", 0),)))
    assert not left.was_uncounted
    return limit.cap - left.remaining[0]


@pytest.fixture(params=["freeze", "kill"])
def break_it(request):
    def broken(server):
        getattr(server, request.param)()

    def mended(server):
        server.thaw() if request.param == "freeze" else server.start()

    return broken, mended


async def test_no_call_waits_for_a_store_that_does_not_answer(own_server, connect, break_it):
    ledger = await connect(own_server.url)
    limit = day()
    break_it[0](own_server)

    claims = (Claim(limit, "tenant", 1),)
    grants = await asyncio.gather(*[soon(ledger, claims) for _ in range(10)])
    grants += [at_once(ledger.reserve(*order_of("acme", claims), b"guess")) for _ in range(190)]

    assert all(grant.lease and grant.was_uncounted for grant in grants)
    break_it[1](own_server)


@pytest.mark.parametrize("mode", ["open", "closed", "local"])
async def test_each_limit_fails_the_way_it_says(own_server, connect, break_it, mode):
    ledger = await connect(own_server.url)
    limit = day(cap=100, on_failure=mode)
    break_it[0](own_server)

    grants = [await soon(ledger, (Claim(limit, "tenant", 60),)) for _ in range(2)]

    told = [(g.lease is not None, g.is_local, g.was_uncounted) for g in grants]
    assert (
        told
        == {
            "open": [(True, False, True)] * 2,
            "closed": [(False, False, True)] * 2,
            "local": [(True, True, False), (False, True, False)],
        }[mode]
    )
    break_it[1](own_server)


@pytest.mark.parametrize("how", ["freeze", "kill"])
async def test_what_was_used_in_an_outage_is_charged_once_when_it_ends(own_server, connect, how):
    """Leases from before, during and across; a frozen server may still carry out
    the reservations that nobody waited for.
    """
    ledger = await connect(own_server.url)
    limit = day()
    claims = (Claim(limit, "tenant", 100),)
    before = [await ledger.reserve(*order_of("acme", claims), b"guess") for _ in range(5)]
    getattr(own_server, how)()
    during = [await ledger.reserve(*order_of("acme", claims), b"guess") for _ in range(5)]
    for grant in [*before, *during]:
        ledger.settle(grant.lease, Settlement((7,), b"used"))
    assert ledger.status()["settled"] == 0

    own_server.thaw() if how == "freeze" else own_server.start()
    await until(lambda: ledger.status()["settled"] == 10, 10)
    rows = [row for _, row in await ledger.rows("acme")]

    assert await used_of(ledger, limit) == 70
    assert sum(c.amount for row in rows for c in row.charges) == 70
    assert len({row.lease for row in rows}) == len(rows) == 10
    assert ledger.status()["lost"] == 0


async def test_a_reply_that_was_lost_is_asked_for_again_and_counts_once(own_server, connect):
    """The settlement was carried out, but the connection went before its answer came."""
    ledger = await connect(own_server.url)
    limit, risen = day(), asyncio.Event()
    ledger._store.on_up(risen.set)
    for _ in range(50):
        grant = await ledger.reserve(*order_of("acme", (Claim(limit, "tenant", 100),)), b"guess")
        ledger.settle(grant.lease, Settlement((7,), b"used"))
        await asyncio.sleep(0)  # the write has left
        risen.clear()
        ledger._store._pipe.abort()
        await risen.wait()
    await until(lambda: ledger.status()["settled"] == 50)

    rows = [row for _, row in await ledger.rows("acme")]
    assert await used_of(ledger, limit) == 350
    assert len(rows) == 50


async def test_a_refusal_in_an_outage_leaves_nothing_in_the_store(own_server, connect):
    """Closed: refused, though the frozen server grants it once it wakes."""
    ledger = await connect(own_server.url)
    claims = (Claim(day(on_failure="closed"), "tenant", 100), Claim(slots(), "tenant"))
    own_server.freeze()
    refused = await ledger.reserve(*order_of("acme", claims), b"guess")
    own_server.thaw()
    await until(lambda: ledger.status()["settled"] == 1)

    left = await ledger.peek(*order_of("acme", claims))
    assert refused.lease is None
    assert left.remaining == (10_000, 4)
    assert await ledger.rows("acme") == []


async def test_a_caller_who_leaves_gives_back_what_was_granted(own_server, connect):
    ledger = await connect(own_server.url)
    claims = (Claim(day(), "tenant", 100), Claim(slots(), "tenant"))
    asked = asyncio.get_running_loop().create_task(
        ledger.reserve(*order_of("acme", claims), b"guess")
    )
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await until(lambda: ledger.status()["settled"] == 1)

    assert (await ledger.peek(*order_of("acme", claims))).remaining == (10_000, 4)
    assert ledger.status()["open"] == 0


async def test_a_store_that_has_forgotten_its_scripts_is_given_them_again(own_server, connect):
    ledger = await connect(own_server.url)
    own_server.ask("SCRIPT", "FLUSH")

    grant = await soon(ledger, (Claim(day(), "tenant", 1),))

    assert grant.lease
    assert not grant.was_uncounted


async def test_a_replica_knows_its_share(own_server, connect):
    """Three replicas: each grants a third, and never less than one."""
    ledgers = [await connect(own_server.url) for _ in range(3)]
    for ledger in ledgers:
        ledger._say_alive()
    await until(lambda: all(ledger.status()["replicas"] == 3 for ledger in ledgers))
    own_server.kill()
    limit = day(cap=90, on_failure="local")
    one = slots(cap=2)

    grants = [
        await ledgers[0].reserve(*order_of("acme", (Claim(limit, "tenant", 10),))) for _ in range(4)
    ]
    singles = [
        await ledgers[1].reserve(*order_of("acme", (Claim(one, "tenant"),))) for _ in range(2)
    ]

    assert [g.lease is not None for g in grants] == [True, True, True, False]
    assert [g.lease is not None for g in singles] == [True, False]


async def test_leases_are_kept_while_their_holder_lives_and_freed_when_it_dies(own_server, connect):
    living = await connect(own_server.url, lease_s=0.7)
    dying = await connect(own_server.url, lease_s=0.7)
    claims = (Claim(slots(), "tenant"),)
    await living.reserve(*order_of("acme", claims), b"kept")
    await dying.reserve(*order_of("acme", claims), b"left")
    await dying._store.close()  # as good as kill -9 to the store

    await until(lambda: own_server.ask("XLEN", "ss:{t.acme}:u") == 1, 10)

    ((_, row),) = await living.rows("acme")
    assert (row.state, row.record) == ("abandoned", b"left")
    assert (await living.peek(*order_of("acme", claims))).remaining == (3,)


async def test_an_outage_is_one_line_in_the_log(own_server, connect, caplog):
    with caplog.at_level(logging.WARNING):
        ledger = await connect(own_server.url)
        own_server.kill()
        for _ in range(50):
            await ledger.reserve(*order_of("acme", (Claim(day(), "tenant", 1),)))
        own_server.start()
        await until(lambda: ledger._store.is_up, 10)

    assert [record.message.split(": ")[-1].split("; ")[-1] for record in caplog.records] == [
        "limits follow their on_failure",
        f"store 127.0.0.1:{own_server.port} answers again",
    ]


async def test_closing_hands_over_what_waits_and_takes_no_longer_than_it_may(own_server, connect):
    ledger = await connect(own_server.url)
    grant = await ledger.reserve(*order_of("acme", (Claim(day(), "tenant", 100),)), b"guess")
    ledger.settle(grant.lease, Settlement((7,), b"used"))
    await ledger.close(5.0)
    after = own_server.ask("XLEN", "ss:{t.acme}:u")

    stuck = await connect(own_server.url)
    grant = await stuck.reserve(*order_of("acme", (Claim(day(), "tenant", 100),)), b"guess")
    own_server.freeze()
    stuck.settle(grant.lease, Settlement((7,), b"used"))
    async with asyncio.timeout(PATIENCE_S):
        await stuck.close(0.2)

    assert after == 1
