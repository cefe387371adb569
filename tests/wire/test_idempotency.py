"""The same Idempotency-Key is given the same answer."""

import asyncio

import pytest

from tests.program import CHAT, KEY, STREAM, ask, assert_refused, program, request
from tests.scripted import Scripted, json_answer, says, streams

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
