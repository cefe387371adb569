"""The same Idempotency-Key is given the same answer."""

import asyncio
import contextlib

import pytest

from proxy.core import fills
from tests.program import CHAT, KEY, STREAM, ask, assert_refused, program, request
from tests.scripted import ROLE, SSE_HEAD, WORDS, Scripted, framed, json_answer, says, streams
from tests.scripted import STREAM as FULL

TWO = """
  other: {keys: [{sha256: 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b}]}
"""


def again(name="k1", body=CHAT, key=KEY):
    return request(body=body, key=key, headers=[f"Idempotency-Key: {name}"])


@pytest.mark.parametrize(
    ("script", "body"), [(says(json_answer()), CHAT), (streams(), STREAM)], ids=["json", "sse"]
)
async def test_a_repeated_request_is_answered_as_the_first_was(tmp_path, script, body):
    async with Scripted([script]) as up, program(tmp_path, up.port) as running:
        first = await ask(running.port, again(body=body))
        second = await ask(running.port, again(body=body))
        other = await ask(running.port, again("k2", body=body))

        assert first.body == second.body == other.body
        assert "idempotent-replayed" not in first.headers
        assert second.headers["idempotent-replayed"] == "true"
        assert first.headers["content-type"] == second.headers["content-type"]
        assert b'"usage"' not in second.body or body is CHAT
        assert len(up.requests) == 2


async def test_at_the_same_time_they_wait_for_the_first(tmp_path):
    gate = asyncio.Event()

    async def script(peer):
        await gate.wait()
        await peer.send(json_answer())

    async with Scripted([script]) as up, program(tmp_path, up.port) as running:
        asked = [asyncio.create_task(ask(running.port, again())) for _ in range(10)]
        while running.worker.room.in_flight < 10:
            await asyncio.sleep(0.005)
        assert_refused(
            await ask(running.port, again(body={**CHAT, "n": 1})), 422, "idempotency_key_reused"
        )
        gate.set()
        answers = await asyncio.gather(*asked)

        assert len(up.requests) == 1
        assert len({a.body for a in answers}) == 1
        assert [a.headers.get("idempotent-replayed") for a in answers].count(None) == 1


@pytest.mark.parametrize("is_over", [False, True])
async def test_another_query_is_another_request(tmp_path, is_over):
    gate = asyncio.Event()
    headers = ["Idempotency-Key: k1"]
    one, other = (
        request(f"/v1/chat/completions?version={n}", CHAT, headers=headers) for n in (1, 2)
    )
    async with (
        Scripted([slowly(gate, json_answer())]) as up,
        program(tmp_path, up.port, **PATIENT) as running,
    ):
        asked = [asyncio.create_task(ask(running.port, one)) for _ in range(2)]
        while running.worker.room.in_flight < 2 or not up.requests:
            await asyncio.sleep(0.005)
        if is_over:
            gate.set()
            await asyncio.gather(*asked)
        assert_refused(await ask(running.port, other), 422, "idempotency_key_reused")
        gate.set()

        assert {a.status for a in await asyncio.gather(*asked)} == {200}
        assert len(up.requests) == 1


async def test_another_request_under_the_same_key_is_refused(tmp_path):
    async with Scripted([says(json_answer())]) as up, program(tmp_path, up.port) as running:
        await ask(running.port, again())
        answer = await ask(running.port, again(body={**CHAT, "temperature": 1}))

        assert_refused(answer, 422, "idempotency_key_reused")


async def test_what_failed_may_be_tried_again(tmp_path):
    scripts = [says(json_answer({"error": {"message": "x"}}, status=500)), says(json_answer())]
    async with Scripted(scripts) as up, program(tmp_path, up.port) as running:
        answers = [await ask(running.port, again()) for _ in range(3)]

        assert [a.status for a in answers] == [500, 200, 200]
        assert len(up.requests) == 2


async def test_tenants_have_keys_of_their_own(tmp_path):
    async with (
        Scripted([says(json_answer())]) as up,
        program(tmp_path, up.port, tenants=TWO) as running,
    ):
        for key in (KEY, "secret"):
            answer = await ask(running.port, again(key=key))
            assert "idempotent-replayed" not in answer.headers

        assert len(up.requests) == 2


async def test_a_key_has_a_sensible_length(tmp_path):
    async with Scripted([says(json_answer())]) as up, program(tmp_path, up.port) as running:
        for name in ("", "k" * 256):
            assert_refused(await ask(running.port, again(name)), 400)


async def test_a_key_may_be_of_any_bytes(tmp_path):
    async with Scripted([says(json_answer())]) as up, program(tmp_path, up.port) as running:
        answers = [await ask(running.port, again(k)) for k in ("k\xff", "k\xff", "k\xfe")]

        assert [a.status for a in answers] == [200] * 3
        assert [a.headers.get("idempotent-replayed") for a in answers] == [None, "true", None]
        assert len(up.requests) == 2


async def test_the_type_of_an_answer_is_repeated_as_it_was(tmp_path):
    head = b"HTTP/1.1 200 OK\r\ncontent-type: Text/Plain; charset=latin-1\r\ncontent-length: 1\r\n\r\n\xe9"
    async with Scripted([says(head)]) as up, program(tmp_path, up.port) as running:
        answers = [await ask(running.port, again()) for _ in range(2)]

        assert {a.headers["content-type"] for a in answers} == {"Text/Plain; charset=latin-1"}
        assert {a.body for a in answers} == {b"\xe9"}
        assert len(up.requests) == 1


async def test_an_answer_in_a_coding_of_its_own_is_not_repeated(tmp_path):
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: br\r\ncontent-length: 3\r\n\r\nabc"
    async with Scripted([says(head)]) as up, program(tmp_path, up.port) as running:
        answers = [await ask(running.port, again()) for _ in range(2)]

        assert {a.headers["content-encoding"] for a in answers} == {"br"}
        assert len(up.requests) == 2


def slowly(gate, *pieces):
    """Sends the first piece, and the others when ``gate`` opens."""

    async def script(peer):
        await peer.send(*pieces[:-1])
        await gate.wait()
        await peer.send(pieces[-1])

    return script


@contextlib.asynccontextmanager
async def broken(running, up, data, *, after=b""):
    """A client asks, and its connection breaks when ``after`` has come."""
    count = len(up.requests)
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port, limit=8 << 20)
    writer.write(data)
    while len(up.requests) == count:
        await asyncio.sleep(0.005)
    if after:
        await reader.readuntil(after)
    writer.transport.abort()
    while running.worker.room.in_flight:
        await asyncio.sleep(0.005)
    yield


PATIENT = {"first": "9s", "idle": "9s"}
EVENTS = b"".join(map(framed, FULL[1:])) + b"0\r\n\r\n"
FORMS = pytest.mark.parametrize(
    ("pieces", "body", "after"),
    [((json_answer(),), CHAT, b""), ((SSE_HEAD + framed(FULL[0]), EVENTS), STREAM, ROLE)],
    ids=["json", "sse"],
)


@FORMS
@pytest.mark.parametrize("when", ["meanwhile", "later"])
async def test_whose_connection_broke_gets_the_answer_under_the_same_key(
    tmp_path, pieces, body, after, when
):
    gate = asyncio.Event()
    async with (
        Scripted([slowly(gate, *pieces)]) as up,
        program(tmp_path, up.port, **PATIENT) as running,
    ):
        async with broken(running, up, again(body=body), after=after):
            if when == "later":
                gate.set()
                while running.worker.caches.flights:
                    await asyncio.sleep(0.005)
            asked = [asyncio.create_task(ask(running.port, again(body=body))) for _ in range(3)]
            if when == "meanwhile":
                while running.worker.room.in_flight < 3:
                    await asyncio.sleep(0.005)
                gate.set()
            answers = await asyncio.gather(*asked)
        other = await ask(running.port, again("k2", body=body))

        assert {a.headers.get("idempotent-replayed") for a in answers} == {"true"}
        assert {(a.status, a.body, a.is_whole) for a in answers} == {(200, other.body, True)}
        assert len(up.requests) == 2


@FORMS
async def test_without_a_key_who_leaves_ends_it(tmp_path, pieces, body, after):
    async with (
        Scripted([slowly(asyncio.Event(), *pieces)]) as up,
        program(tmp_path, up.port, **PATIENT) as running,
        broken(running, up, request(body=body), after=after),
    ):
        assert await running.settled() == {}


async def test_what_fails_when_its_client_has_left_may_be_tried_again(tmp_path):
    gate = asyncio.Event()
    failing = slowly(gate, json_answer({"error": {"message": "x"}}, status=500))
    async with (
        Scripted([failing, says(json_answer())]) as up,
        program(tmp_path, up.port, **PATIENT) as running,
        broken(running, up, again()),
    ):
        gate.set()
        while running.worker.caches.flights:
            await asyncio.sleep(0.005)
        answer = await ask(running.port, again())

        assert (answer.status, answer.headers.get("idempotent-replayed")) == (200, None)
        assert len(up.requests) == 2


async def test_no_answer_is_waited_for_longer_than_its_upstream_may_take(tmp_path):
    async with (
        Scripted([slowly(asyncio.Event(), json_answer())]) as up,
        program(tmp_path, up.port, first="300ms") as running,
        broken(running, up, again()),
    ):
        assert len(running.worker.caches.flights) == 1
        async with asyncio.timeout(5):
            while running.worker.caches.flights:
                await asyncio.sleep(0.005)
        assert await running.settled() == {}


async def test_an_answer_that_is_too_large_to_keep_is_not_gone_on_with(tmp_path):
    large = b"data: " + b"x" * (2 << 20) + b"\n\n"
    pieces = SSE_HEAD + framed(FULL[0]), framed(large), framed(WORDS[0]), EVENTS
    async with (
        Scripted([slowly(asyncio.Event(), *pieces)]) as up,
        program(tmp_path, up.port, **PATIENT) as running,
        broken(running, up, again(body=STREAM), after=WORDS[0]),
    ):
        assert await running.settled() == {}


async def test_a_tenant_alone_has_half_the_places_of_those_that_were_left(tmp_path, monkeypatch):
    monkeypatch.setattr(fills, "MAX_LEFT", 4)
    async with (
        Scripted([slowly(asyncio.Event(), json_answer())]) as up,
        program(tmp_path, up.port, first="1s") as running,
    ):
        for name in "abcd":
            async with broken(running, up, again(name)):
                pass
        while running.counts()["busy"] > 2:
            await asyncio.sleep(0.005)

        assert running.worker.caches.flights.left == 2
        assert await running.settled() == {}


async def test_what_was_paid_for_is_told_when_it_has_come(tmp_path):
    gate = asyncio.Event()
    async with (
        Scripted([slowly(gate, json_answer())]) as up,
        program(tmp_path, up.port, **PATIENT) as running,
        broken(running, up, again()),
    ):
        gate.set()
        while running.worker.caches.flights:
            await asyncio.sleep(0.005)
        await ask(running.port, again())
        page = await ask(
            running.worker.admin_port, request("/metrics", method="GET", key="admin-token")
        )
        lines = page.body.decode().splitlines()
        spent = [line for line in lines if line.startswith("sidestream_tokens_total")]

        assert sum(float(line.rpartition(" ")[2]) for line in spent) == 10.0


@pytest.mark.parametrize("is_late", [False, True])
async def test_leaving_waits_for_it_as_for_any_request(tmp_path, is_late, caplog):
    gate = asyncio.Event()
    async with (
        Scripted([slowly(gate, json_answer())]) as up,
        program(tmp_path, up.port, **PATIENT) as running,
        broken(running, up, again()),
    ):
        flights = running.worker.caches.flights
        flight = next(iter(flights._by_key.values()))
        running.worker.stop()
        await asyncio.sleep(0.1)
        assert not running.task.done()
        if not is_late:
            gate.set()
        await asyncio.wait_for(running.task, 5)
        await asyncio.sleep(0)

        assert len(flights) == 0
        assert (flight.error is None) is not is_late
        assert ("cut 1 requests" in caplog.text) is is_late
