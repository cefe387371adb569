"""A contended upstream before the running program: queue, refusals, fairness."""

import asyncio
from hashlib import sha256

import orjson
import pytest

from tests.program import CHAT, KEY, STREAM, ask, assert_refused, program, read_answer, request
from tests.scripted import (
    DONE,
    REPLY,
    ROLE,
    SSE_HEAD,
    STOP,
    WORDS,
    Scripted,
    framed,
    json_answer,
    says,
    streams,
)

ADMIN = ("Authorization: Bearer admin-token",)
QUIET = "sk-quiet"


def bounded(port, bounds, *, kind="generic", fallback="", attempts=1):
    """The parts of a program whose model ``m`` is at a contended upstream."""
    return {
        "upstreams": f'  busy: {{kind: {kind}, base_url: "http://127.0.0.1:{port}/v1",'
        f" concurrency: {{{bounds}}}}}",
        "routes": "  - {name: busy, match: {model: m}, targets: [{upstream: busy}],"
        f" fallback: [{fallback}], retry: {{attempts: {attempts}}}}}",
        "tenants": f"  quiet: {{keys: [{{sha256: {sha256(QUIET.encode()).hexdigest()}}}]}}",
    }


class Held:
    """A script that answers when it is told to, and counts who is with it."""

    def __init__(self, answer=None):
        self.go = asyncio.Event()
        self.answer = answer or says(json_answer())
        self.now = self.most = 0

    async def __call__(self, peer):
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.go.wait()
            await self.answer(peer)
        finally:
            self.now -= 1


def gate_of(running):
    return running.worker.app._fleet._gates["busy"]


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


def later(port, data):
    return asyncio.create_task(ask(port, data))


async def admin(running, path, **more):
    asked = request(path, method="GET", key=None, headers=ADMIN, **more)
    return await ask(running.worker.admin_port, asked)


async def test_no_more_than_max_go_upstream_at_once_and_all_are_served(tmp_path):
    held = Held()
    async with (
        Scripted([held]) as upstream,
        program(tmp_path, upstream.port, **bounded(upstream.port, "max: 2")) as running,
    ):
        tasks = [later(running.port, request(body=CHAT)) for _ in range(5)]
        await until(lambda: gate_of(running).waiting == 3)
        held.go.set()
        answers = await asyncio.gather(*tasks)

    assert [a.status for a in answers] == [200] * 5
    assert held.most == 2


async def test_a_full_queue_is_a_503_that_says_when_to_come_back(tmp_path):
    held = Held()
    async with (
        Scripted([held]) as upstream,
        program(tmp_path, upstream.port, **bounded(upstream.port, "max: 1, queue: 1")) as running,
    ):
        tasks = [later(running.port, request(body=CHAT)) for _ in range(2)]
        await until(lambda: gate_of(running).waiting == 1)
        refused = await ask(running.port, request(body=CHAT))
        status = (await admin(running, "/status")).json
        metrics = (await admin(running, "/metrics")).body.decode()
        held.go.set()
        await asyncio.gather(*tasks)

    assert_refused(refused, 503, "overloaded")
    assert refused.headers["retry-after"] == "1"
    assert "x-sidestream-attempts" not in refused.headers
    (queue,) = status["queues"]
    assert (queue["upstream"], queue["in_flight"], queue["cap"], queue["waiting"]) == (
        "busy", 1, 1, 1,
    )  # fmt: skip
    assert queue["waiting_by_tenant"] == {"acme": 1}
    for line in (
        'sidestream_queue_depth{upstream="busy"} 1.0',
        'sidestream_queue_in_flight{upstream="busy"} 1.0',
        'sidestream_queue_cap{upstream="busy"} 1.0',
        'sidestream_queue_refusals_total{reason="full",upstream="busy"} 1.0',
        'sidestream_queue_wait_seconds_count{upstream="busy"} 1.0',
    ):
        assert line in metrics


async def test_a_refusal_of_the_queue_goes_to_the_fallback(tmp_path):
    held = Held()
    async with Scripted([held]) as upstream, Scripted([says(json_answer())]) as other:
        parts = bounded(upstream.port, "max: 1, queue: 0", fallback="{upstream: main}")
        async with program(tmp_path, other.port, **parts) as running:
            first = later(running.port, request(body=CHAT))
            await until(lambda: held.now == 1)
            second = await ask(running.port, request(body=CHAT))
            held.go.set()
            await first

    assert (second.status, second.headers["x-sidestream-target"]) == (200, "main")
    assert (len(upstream.requests), len(other.requests)) == (1, 1)


async def test_waiting_in_vain_ends_with_the_queues_time_out(tmp_path):
    held = Held()
    async with Scripted([held]) as upstream:
        parts = bounded(upstream.port, "max: 1, queue_timeout: 10ms")
        async with program(tmp_path, upstream.port, **parts) as running:
            first = later(running.port, request(body=CHAT))
            await until(lambda: held.now == 1)
            refused = await ask(running.port, request(body=CHAT))
            held.go.set()
            await first

    assert_refused(refused, 503, "overloaded")
    assert len(upstream.requests) == 1


async def test_a_client_that_would_give_up_first_is_refused_at_once(tmp_path):
    held = Held()
    async with (
        Scripted([held]) as upstream,
        program(tmp_path, upstream.port, **bounded(upstream.port, "max: 1")) as running,
    ):
        first = later(running.port, request(body=CHAT))
        await asyncio.sleep(0.2)  # so long a slot is held
        held.go.set()
        await first
        held.go.clear()
        second = later(running.port, request(body=CHAT))
        await until(lambda: held.now == 1)
        headers = ("X-Stainless-Read-Timeout: 0.1",)
        refused = await ask(running.port, request(body=CHAT, headers=headers))
        metrics = (await admin(running, "/metrics")).body.decode()
        held.go.set()
        await second

    assert_refused(refused, 503, "overloaded")
    assert "time-out" in refused.error["message"]
    assert 'refusals_total{reason="deadline",upstream="busy"} 1.0' in metrics


async def test_who_leaves_the_queue_frees_the_place_and_never_reaches_the_upstream(tmp_path):
    held = Held()
    async with (
        Scripted([held]) as upstream,
        program(tmp_path, upstream.port, **bounded(upstream.port, "max: 1")) as running,
    ):
        first = later(running.port, request(body=CHAT))
        await until(lambda: held.now == 1)
        _, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(request(body=CHAT))
        await until(lambda: gate_of(running).waiting == 1)
        writer.close()
        await until(lambda: gate_of(running).waiting == 0)
        held.go.set()
        await first

    assert len(upstream.requests) == 1


async def test_a_stream_holds_its_slot_to_its_end_and_no_longer_if_its_client_leaves(tmp_path):
    async def endless(peer):
        await peer.send(SSE_HEAD, framed(ROLE), framed(WORDS[0]))
        await peer.left()

    async with (
        Scripted([endless, streams()]) as upstream,
        program(tmp_path, upstream.port, **bounded(upstream.port, "max: 1")) as running,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(request(body=STREAM))
        await reader.readuntil(b"Hi")
        second = later(running.port, request(body=STREAM))
        await until(lambda: gate_of(running).waiting == 1)
        assert gate_of(running).in_flight == 1
        writer.close()
        answer = await second

    assert answer.events[-1] == "data: [DONE]"


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (says(json_answer({"error": {"message": "no"}}, 400)), 400),
        (says(json_answer({"error": {"message": "no"}}, 500)), 500),
        (says(json_answer(b"x" * 600_000, 500)), 500),
        (says(json_answer(orjson.dumps(REPLY) + b" " * 600_000)), 200),
        (says(b"nonsense\r\n\r\n"), 502),
        (streams([ROLE, STOP, DONE]), 200),
        (streams([b'data: {"error": {"message": "x", "code": 500}}\n\n']), 500),
    ],
)
async def test_the_slot_comes_back_after_every_kind_of_end(tmp_path, script, status):
    async with Scripted([script]) as upstream:
        parts = bounded(upstream.port, "max: 1, adaptive: true", attempts=2)
        async with program(tmp_path, upstream.port, **parts) as running:
            for body in (CHAT, STREAM, CHAT):
                answer = await ask(running.port, request(body=body))
                await running.settled()
                assert gate_of(running).in_flight == 0

    assert answer.status in (status, 200)


async def test_a_429_lowers_the_adaptive_cap_of_a_hosted_upstream(tmp_path):
    no = says(json_answer({"error": {"message": "slow down"}}, 429))
    async with Scripted([no, says(json_answer())]) as upstream:
        parts = bounded(upstream.port, "max: 10, adaptive: true", kind="openai", attempts=2)
        async with program(tmp_path, upstream.port, **parts) as running:
            answer = await ask(running.port, request(body=CHAT))
            await running.settled()
            cap = gate_of(running).cap

    assert (answer.status, cap) == (200, 7)


async def test_interactive_tenants_go_before_batch(tmp_path):
    held = Held()
    async with Scripted([held]) as upstream:
        parts = bounded(upstream.port, "max: 1") | {"tenant": ", priority: batch"}
        async with program(tmp_path, upstream.port, **parts) as running:
            tasks = [later(running.port, request(body=CHAT))]
            await until(lambda: held.now == 1)
            for key, name in ((KEY, "batch"), (QUIET, "interactive")):
                waiting = gate_of(running).waiting
                tasks.append(later(running.port, request(body={**CHAT, "user": name}, key=key)))
                await until(lambda before=waiting: gate_of(running).waiting == before + 1)
            held.go.set()
            await asyncio.gather(*tasks)

    assert [r.json.get("user") for r in upstream.requests] == [None, "interactive", "batch"]


async def test_a_reload_lets_in_who_waits_and_keeps_the_count(tmp_path):
    held = Held()
    path = tmp_path / "sidestream.yaml"
    async with (
        Scripted([held]) as upstream,
        program(tmp_path, upstream.port, **bounded(upstream.port, "max: 1")) as running,
    ):
        tasks = [later(running.port, request(body=CHAT)) for _ in range(4)]
        await until(lambda: gate_of(running).waiting == 3)
        path.write_text(path.read_text().replace("max: 1}", "max: 2}"))
        assert await running.worker.reloader.reload() == []
        await until(lambda: held.now == 2)
        gate = gate_of(running)
        assert (gate.in_flight, gate.waiting) == (2, 2)
        path.write_text(path.read_text().replace(" concurrency: {max: 2}", ""))
        assert await running.worker.reloader.reload() == []
        await until(lambda: held.now == 4)
        held.go.set()
        await asyncio.gather(*tasks)

    assert (gate.in_flight, gate.waiting) == (0, 0)


async def test_waiting_is_logged_and_is_no_overhead_of_ours(tmp_path, log_lines):
    held = Held()
    async with (
        Scripted([held]) as upstream,
        program(
            tmp_path, upstream.port, requests="stdout", **bounded(upstream.port, "max: 1")
        ) as running,
    ):
        first = later(running.port, request(body=CHAT))
        await until(lambda: held.now == 1)
        second = later(running.port, request(body=CHAT))
        await until(lambda: gate_of(running).waiting == 1)
        await asyncio.sleep(0.3)
        held.go.set()
        answers = await asyncio.gather(first, second)
        await running.settled()

    assert float(answers[1].headers["x-sidestream-overhead-ms"]) < 200
    waited = [line["queue_ms"] for line in map(orjson.loads, log_lines()) if "queue_ms" in line]
    assert len(waited) == 1
    assert waited[0] >= 300


# A server with eight slots in real time, a flood before it, and somebody else.

SLOTS, OUTSTANDING, STEP = 8, 200, 0.003


class Server:
    """Serves a request in ``max_tokens`` steps; counts who is with it."""

    def __init__(self):
        self.now = self.most = 0

    async def __call__(self, peer):
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            tokens = peer.upstream.requests[-1].json["max_tokens"]
            await asyncio.sleep(tokens * STEP)
            usage = {"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": 10 + tokens}
            await peer.send(json_answer({**REPLY, "usage": usage}))
        finally:
            self.now -= 1


async def timed(port, key, tokens):
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await ask(port, request(body={**CHAT, "max_tokens": tokens}, key=key))
    assert answer.status == 200
    return loop.time() - began


async def test_beside_a_flood_a_quiet_tenant_waits_for_the_next_slot(tmp_path):
    server = Server()
    async with (
        Scripted([server]) as upstream,
        program(
            tmp_path,
            upstream.port,
            **bounded(upstream.port, f"max: {SLOTS}, queue: 300, queue_timeout: 30s"),
        ) as running,
    ):
        alone = max([await timed(running.port, QUIET, 20) for _ in range(5)])
        is_over = False

        async def flood():
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            took = []
            while not is_over:
                began = asyncio.get_running_loop().time()
                writer.write(request(body={**CHAT, "max_tokens": 25}, key=KEY))
                assert (await read_answer(reader)).status == 200
                took.append(asyncio.get_running_loop().time() - began)
            writer.close()
            return took

        floods = [asyncio.create_task(flood()) for _ in range(OUTSTANDING)]
        await until(lambda: gate_of(running).waiting == OUTSTANDING - SLOTS)
        beside = max([await timed(running.port, QUIET, 20) for _ in range(10)])
        is_over = True
        took = await asyncio.gather(*floods)

    assert server.most == SLOTS
    assert beside <= 3 * alone + 25 * STEP
    assert max(map(max, took)) > 4 * beside  # the flood waits behind itself
