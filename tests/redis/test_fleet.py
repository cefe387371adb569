"""Four sidecars, two hundred clients, one limit, a real server."""

import asyncio
import contextlib
import time

import pytest

from tests.program import KEY, request
from tests.redis.fleet import Client, Upstream, api, fleet

HONEST = {
    "model": "m", "max_tokens": 50,
    "messages": [{"role": "user", "content": " ".join(["word"] * 40)}],
}  # fmt: skip


async def crowd(sidecars, is_over, count=200):
    clients = [Client(sidecars[i % len(sidecars)]) for i in range(count)]
    await asyncio.gather(*[client.run(HONEST, is_over) for client in clients])
    return clients


@pytest.mark.timeout(120)
async def test_never_one_token_above_a_days_limit_and_nearly_all_of_it_used(tmp_path, server):
    cap = 100_000
    async with (
        Upstream() as upstream,
        fleet(tmp_path, server.url, upstream.port, f"tokens_per_day: {cap}") as sidecars,
    ):
        clients = await crowd(sidecars, lambda answer: answer.status != 200)
        rows = await settled(sidecars, server, upstream.requests)

    assert {s for client in clients for s in client.statuses} == {200, 429}
    assert 0.9 * cap <= upstream.tokens <= cap
    assert rows == upstream.tokens


@pytest.mark.timeout(120)
async def test_a_rate_is_kept_and_used_to_nine_tenths(tmp_path, server):
    """Whoever is refused comes back exactly when told."""
    rate, burst, lasts = 15_000, 3_000, 6.0
    limit = f"tokens: {{rate: {rate}/s, burst: {burst}}}, concurrency: 1000"
    async with (
        Upstream() as upstream,
        fleet(tmp_path, server.url, upstream.port, limit) as sidecars,
    ):
        began = time.monotonic()
        ends = began + lasts
        clients = await crowd(sidecars, lambda _: time.monotonic() >= ends)
        took = time.monotonic() - began
        left = (await api(sidecars[0], "/api/limits/acme"))["limits"]

    assert {s for client in clients for s in client.statuses} == {200, 429}
    assert upstream.tokens <= burst + rate * took
    assert upstream.tokens >= 0.9 * rate * lasts
    assert left[1]["remaining"] == 1000


@pytest.mark.timeout(120)
async def test_a_sidecar_that_is_killed_frees_its_slots_within_the_lease(tmp_path, server):
    limit = "concurrency: 40, tokens_per_day: 1M"
    async with (
        Upstream() as upstream,
        fleet(tmp_path, server.url, upstream.port, limit, count=2) as (dying, living),
    ):
        writers = []
        for sidecar in (dying, living):
            for _ in range(10):
                reader, writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
                writer.write(request(body={**HONEST, "stream": True}, key=KEY))
                await reader.readuntil(b"Hi")
                writers.append(writer)
        during = await slots(living)
        dying.kill()
        killed = time.monotonic()
        while await slots(living) != 30:
            assert time.monotonic() - killed < 3.0
            await asyncio.sleep(0.05)
        freed = time.monotonic() - killed
        await asyncio.sleep(1.2)  # longer than a lease: the living one renews its own
        after = await slots(living)
        for writer in writers:
            writer.transport.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3):
                while await slots(living) != 40:
                    await asyncio.sleep(0.02)
        rows = [row for row in stream(server) if row[b"s"] == b"abandoned"]
        assert await slots(living) == 40

    assert (during, after) == (20, 30)
    assert freed <= 1.5
    assert len(rows) == 10


async def slots(sidecar):
    found = (await api(sidecar, "/api/limits/acme"))["limits"]
    return next(row["remaining"] for row in found if row["limit"] == "concurrency")


def stream(server):
    entries = server.ask("XRANGE", "ss:{t.acme}:u", "-", "+")
    return [dict(zip(fields[::2], fields[1::2], strict=True)) for _, fields in entries]


async def settled(sidecars, server, requests):
    """The ledger's tokens once all requests have their rows."""
    async with asyncio.timeout(10):
        while len(rows := stream(server)) < requests:
            await asyncio.sleep(0.02)
    used = int(server.ask("HGET", "ss:{t.acme}:c:tenant", "tokens_per_day").split()[0])
    assert used == sum(int(row[b"c"].split()[2]) for row in rows)
    assert all([(await slots_free(sidecar)) for sidecar in sidecars])
    return used


async def slots_free(sidecar):
    return (await api(sidecar, "/status"))["store"]["open"] == 0
