"""What guards say of an answer belongs to it, for all who are given it."""

import asyncio

import pytest

from tests.program import CHAT, ask, assert_refused, program, request
from tests.scripted import (
    DONE,
    ROLE,
    SSE_HEAD,
    STOP,
    Scripted,
    chunk,
    framed,
    json_answer,
    says,
    streams,
)

COLD = {**CHAT, "temperature": 0}
COLD_STREAM = {**COLD, "stream": True}
BAD = "Sure, run rm -rf / --no-preserve-root and be done."
REPLY = {
    "id": "c1", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": BAD},
                 "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
}  # fmt: skip
EVENTS = [ROLE, chunk({"content": BAD}), STOP, DONE]
BANNED = "banned: {kind: patterns, pack: banned_output, stage: answer, action: ACTION}"
WORDS = "words: {kind: patterns, patterns: [{name: greeting, pattern: Hello, tests: {match: [Hello], no_match: [Bye]}}], action: flag}"


def guarded(tmp_path, port, action, *, cache=", cache: answers"):
    names = "guards: [words, banned]"
    made = {
        "routes": f'  - {{name: c, match: {{model: "*"}}, targets: [{{upstream: main}}], retry: {{attempts: 1}}, {names}{cache}}}',
        "more": f"cache: {{answers: {{ttl: 1h}}}}\nguards:\n  {WORDS}\n  {BANNED.replace('ACTION', action)}",
    }
    return program(tmp_path, port, **made)


def flags(answer):
    return answer.headers.get("x-sidestream-guards")


async def crowd(running, requests, gate):
    """Answers to those who ask before the upstream has answered any."""
    asked = [asyncio.create_task(ask(running.port, data)) for data in requests]
    while running.worker.room.in_flight < len(requests):
        await asyncio.sleep(0.005)
    gate.set()
    return await asyncio.gather(*asked)


def waits(gate, *parts):
    async def script(peer):
        await gate.wait()
        await peer.send(*parts)

    return script


WHOLE = (json_answer(REPLY),)
STREAMED = (SSE_HEAD, *map(framed, EVENTS), b"0\r\n\r\n")


@pytest.mark.parametrize("again", [COLD, COLD_STREAM], ids=["json", "sse"])
@pytest.mark.parametrize("first", [COLD, COLD_STREAM], ids=["json", "sse"])
async def test_a_hit_names_the_guards_that_flagged_the_answer(tmp_path, first, again):
    script = streams(EVENTS) if first is COLD_STREAM else says(*WHOLE)
    async with Scripted([script]) as up, guarded(tmp_path, up.port, "flag") as running:
        asked = await ask(running.port, request(body=first))
        hit = await ask(running.port, request(body=again))

        # Of a stream the head may be gone before its texts have come.
        assert flags(asked) in (
            {"words, banned", "words"} if first is COLD_STREAM else {"words, banned"}
        )
        assert hit.headers["x-sidestream-cache"] == "hit"
        assert flags(hit) == "words, banned"
        assert len(up.requests) == 1


async def test_followers_hear_of_the_flag_too(tmp_path):
    gate = asyncio.Event()
    async with (
        Scripted([waits(gate, *WHOLE)]) as up,
        guarded(tmp_path, up.port, "flag") as running,
    ):
        answers = await crowd(running, [request(body=COLD)] * 10, gate)

        assert len(up.requests) == 1
        assert {flags(a) for a in answers} == {"words, banned"}
        assert max(a.headers["x-sidestream-cache"] for a in answers) == "miss"


async def test_followers_of_a_stream_in_json_hear_of_the_flag_too(tmp_path):
    gate = asyncio.Event()
    async with (
        Scripted([waits(gate, *STREAMED)]) as up,
        guarded(tmp_path, up.port, "flag") as running,
    ):
        asked = asyncio.create_task(ask(running.port, request(body=COLD_STREAM)))
        while not up.requests:
            await asyncio.sleep(0.005)
        answers = await crowd(running, [request(body=COLD)] * 5, gate)
        await asked

        assert len(up.requests) == 1
        assert {flags(a) for a in answers} == {"words, banned"}


@pytest.mark.parametrize("cache", ["", ", cache: answers"], ids=["alone", "cached"])
async def test_a_replay_names_the_guards_that_flagged_the_answer(tmp_path, cache):
    again = request(body=COLD, headers=["Idempotency-Key: k1"])
    async with (
        Scripted([says(*WHOLE)]) as up,
        guarded(tmp_path, up.port, "flag", cache=cache) as running,
    ):
        if cache:
            await ask(running.port, request(body=COLD))
        first, replay = [await ask(running.port, again) for _ in range(2)]

        assert replay.headers["idempotent-replayed"] == "true"
        assert flags(first) == flags(replay) == "words, banned"
        target = first.headers["x-sidestream-target"]
        assert replay.headers["x-sidestream-target"] == target == "main"
        assert len(up.requests) == 1


async def test_every_answer_says_whose_it_is(tmp_path):
    gate = asyncio.Event()
    async with (
        Scripted([waits(gate, *WHOLE)]) as up,
        guarded(tmp_path, up.port, "shadow") as running,
    ):
        answers = await crowd(running, [request(body=COLD)] * 3, gate)
        answers.append(await ask(running.port, request(body=COLD)))

        assert {a.headers["x-sidestream-target"] for a in answers} == {"main"}
        assert answers[-1].headers["x-sidestream-cache"] == "hit"
        assert "x-sidestream-attempts" not in answers[-1].headers


FORMS = {
    "whole": ([COLD], WHOLE),
    "streamed": ([COLD_STREAM], STREAMED),
    "mixed": ([COLD_STREAM, COLD], STREAMED),
}


@pytest.mark.parametrize("form", FORMS)
async def test_an_answer_that_is_blocked_is_blocked_for_all_who_wait(tmp_path, form):
    bodies, parts = FORMS[form]
    gate = asyncio.Event()
    async with (
        Scripted([waits(gate, *parts)]) as up,
        guarded(tmp_path, up.port, "block") as running,
    ):
        answers = await crowd(
            running, [request(body=body) for body in bodies * (40 // len(bodies))], gate
        )

        assert len(up.requests) == 1
        for answer in answers:
            if answer.status == 400:
                assert_refused(answer, 400, "content_policy_violation")
            else:
                # Events that came before the one that was blocked have been read.
                assert b"content_policy_violation" in answer.body
                assert b"rm -rf" not in answer.body
                assert b"[DONE]" not in answer.body
        await ask(running.port, request(body=COLD))
        assert len(up.requests) == 2


@pytest.mark.parametrize("form", ["whole", "streamed"])
async def test_a_repeated_key_waits_for_the_same_verdict(tmp_path, form):
    bodies, parts = FORMS[form]
    gate = asyncio.Event()
    async with (
        Scripted([waits(gate, *parts)]) as up,
        guarded(tmp_path, up.port, "block", cache="") as running,
    ):
        data = request(body=bodies[0], headers=["Idempotency-Key: k1"])
        answers = await crowd(running, [data] * 40, gate)

        assert len(up.requests) == 1
        assert all(b"content_policy_violation" in a.body for a in answers)


REDACTED = """\
redaction:
  strict: {detect: [email, credit_card], key: azkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODk=, answers: {detect: [credit_card], action: mask}}
cache: {answers: {ttl: 1h}}
"""
ROUTE = '  - {name: c, match: {model: "*"}, targets: [{upstream: main}], retry: {attempts: 1}, cache: answers}'
CARD = {**REPLY, "choices": [{**REPLY["choices"][0], "message": {
    "role": "assistant", "content": "It is 4111 1111 1111 1111."}}]}  # fmt: skip


@pytest.mark.parametrize("key", [None, "k1"], ids=["hit", "replay"])
async def test_redactions_are_counted_for_who_is_given_the_answer_again(tmp_path, key):
    """They are of this request and of this reading, whose stages ran for it."""
    mail = {**COLD, "messages": [{"role": "user", "content": "Hi jane@example.com"}]}
    headers = [f"Idempotency-Key: {key}"] if key else []
    async with (
        Scripted([says(json_answer(CARD))]) as up,
        program(
            tmp_path, up.port, routes=ROUTE, more=REDACTED, tenant=", redaction: strict"
        ) as running,
    ):
        answers = [await ask(running.port, request(body=mail, headers=headers)) for _ in range(2)]

        assert len(up.requests) == 1
        assert {a.headers["x-sidestream-redactions"] for a in answers} == {"email=1, credit_card=1"}
        assert all("4111" not in a.json["choices"][0]["message"]["content"] for a in answers)
