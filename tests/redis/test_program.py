"""The running program with a real store that freezes, dies and comes back."""

import asyncio
import time

import pytest

from tests.program import CHAT, STREAM, ask, assert_refused, program, request
from tests.redis.conftest import PATIENCE_S, until
from tests.scripted import Scripted, json_answer, says, streams


def config(server, limits):
    return {
        "tenant": ", limits: tight",
        "more": f"store: {{url: 'redis://127.0.0.1:{server.port}', timeout: 500ms}}\nlimits: {{tight: {{{limits}}}}}",
    }


async def timed(running, body=CHAT):
    began = time.monotonic()
    answer = await ask(running.port, request(body=body))
    return answer, time.monotonic() - began


async def connected(running):
    await until(lambda: running.worker.accounts.ledger.status()["is_up"])


def settled(running):
    status = running.worker.accounts.ledger.status()
    return not status["waiting"] and not status["open"]


async def charged(running):
    """What the ledger's rows say and what the counter says."""
    ledger = running.worker.accounts.ledger
    rows = [row for _, row in await ledger.rows("acme")]
    key = b"ss:{t.acme}:c:tenant"
    words = await ledger._store.call(key, "HGET", key, "tokens_per_day")
    last = {row.lease: row for row in rows}
    total = sum(c.amount for row in last.values() for c in row.charges)
    return total, int(words.split()[0]), len(last)


async def test_limits_hold_over_two_replicas(tmp_path, server):
    for name in "ab":
        (tmp_path / name).mkdir()
    parts = config(server, "requests: {rate: 6/min, burst: 6}, concurrency: 50")
    async with (
        Scripted([says(json_answer())]) as upstream,
        program(tmp_path / "a", upstream.port, **parts) as one,
        program(tmp_path / "b", upstream.port, **parts) as other,
    ):
        await connected(one)
        await connected(other)
        answers = await asyncio.gather(
            *[ask(r.port, request(body=CHAT)) for r in (one, other) for _ in range(8)]
        )

    assert sorted(a.status for a in answers) == [200] * 6 + [429] * 10
    assert len(upstream.requests) == 6


@pytest.mark.parametrize("how", ["freeze", "kill"])
@pytest.mark.parametrize("mode", ["open", "closed", "local"])
async def test_each_fail_mode_holds_and_nobody_waits(tmp_path, own_server, how, mode):
    parts = config(own_server, f"requests: {{rate: 6/min, burst: 3}}, on_store_failure: {mode}")
    async with (
        Scripted([says(json_answer())]) as upstream,
        program(tmp_path, upstream.port, **parts) as running,
    ):
        await connected(running)
        getattr(own_server, how)()
        results = [await timed(running) for _ in range(6)]
        metrics = running.worker.accounts.ledger.status()
        # It is let go of before the program ends, so that what waits is handed over.
        own_server.thaw() if how == "freeze" else own_server.start()
        await until(lambda: settled(running), 10)

    statuses = [answer.status for answer, _ in results]
    assert max(waited for _, waited in results) < PATIENCE_S
    assert statuses == {
        "open": [200] * 6, "closed": [503] * 6, "local": [200] * 3 + [429] * 3,
    }[mode]  # fmt: skip
    assert metrics["is_up"] is False
    if mode == "closed":
        assert_refused(results[0][0], 503, "limits_unavailable")
        assert results[0][0].headers["retry-after"] == "1"


@pytest.mark.parametrize("how", ["freeze", "kill"])
async def test_what_was_used_in_an_outage_is_charged_once(tmp_path, own_server, how):
    """Streamed and not, before, during and across; killed means restarted empty."""
    parts = config(own_server, "tokens_per_day: 100k, concurrency: 50, on_store_failure: open")
    gate = asyncio.Event()

    async def script(peer):
        if b"across" in peer.upstream.requests[-1].body:
            await gate.wait()
        await (
            peer.stream()
            if b'"stream"' in peer.upstream.requests[-1].body
            else peer.send(json_answer())
        )

    across = {**STREAM, "messages": [{"role": "user", "content": "across"}]}
    async with (
        Scripted([script]) as upstream,
        program(tmp_path, upstream.port, **parts) as running,
    ):
        await connected(running)
        await asyncio.gather(*[ask(running.port, request(body=b)) for b in (CHAT, STREAM)])
        await until(lambda: settled(running))
        before = 2 if how == "freeze" else 0
        waiting = [asyncio.create_task(ask(running.port, request(body=across))) for _ in range(5)]
        await until(lambda: len(upstream.requests) == 7)
        getattr(own_server, how)()
        during = await asyncio.gather(*[timed(running, b) for b in (CHAT, STREAM) * 5])
        gate.set()
        answers = await asyncio.gather(*waiting)
        own_server.thaw() if how == "freeze" else own_server.start()
        await until(lambda: settled(running), 10)
        rows, counter, number = await charged(running)

    assert {a.status for a in answers} == {200} == {a.status for a, _ in during}
    assert max(waited for _, waited in during) < PATIENCE_S
    assert number == before + 15
    assert rows == counter == 10 * (before + 15)


async def test_a_switch_works_for_all_replicas(tmp_path, server):
    for name in "ab":
        (tmp_path / name).mkdir()
    parts = config(server, "concurrency: 50")
    async with (
        Scripted([streams()]) as upstream,
        program(tmp_path / "a", upstream.port, **parts) as one,
        program(tmp_path / "b", upstream.port, **parts) as other,
    ):
        await connected(one)
        await connected(other)
        await one.worker.accounts.switch("tenant", "acme", is_off=True)
        here = await ask(one.port, request(body=STREAM))
        await until(other.worker.accounts.switches.words)
        there = await ask(other.port, request(body=STREAM))

    assert_refused(here, 403, "disabled")
    assert_refused(there, 403, "disabled")


async def test_nothing_of_a_prompt_a_key_or_a_user_is_in_the_store(tmp_path, server):
    parts = config(server, "requests: 100/min, budgets: [{usd: 1, per: day, by: user}]")
    parts["more"] += '\nprices: {"*": {input: 1, output: 1}}'
    body = {
        **CHAT,
        "messages": [{"role": "user", "content": "a s3cret"}],
        "user": "bob@example.com",
    }
    async with (
        Scripted([says(json_answer())]) as upstream,
        program(tmp_path, upstream.port, **parts) as running,
    ):
        await connected(running)
        await ask(running.port, request(body=body))
        await until(lambda: settled(running))
        held = b""
        for key in server.ask("KEYS", "*"):
            kind = server.ask("TYPE", key).decode()
            words = {"hash": ("HGETALL", key), "zset": ("ZRANGE", key, 0, -1), "set": ("SMEMBERS", key),
                     "stream": ("XRANGE", key, "-", "+")}[kind]  # fmt: skip
            held += key + repr(server.ask(*words)).encode()

    assert b"acme" in held
    for secret in (b"s3cret", b"bob@", b"sk-test", b"sk-up"):
        assert secret not in held
