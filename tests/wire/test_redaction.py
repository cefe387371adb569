"""Redaction on the wire: what leaves, what comes back."""

import orjson
import pytest

from tests.program import CHAT, ask, assert_refused, program, request
from tests.scripted import DONE, ROLE, STOP, Scripted, chunk, json_answer, says

RULES = """\
redaction:
  strict:
    detect: [email, phone, credit_card, secrets]
    rules: [{name: employee_id, pattern: 'EMP-\\d{6}', tests: {match: ["EMP-123456"], no_match: ["EMP-12"]}},
            {name: codenames, terms: ["Project Condor"]}]
    actions: {secrets: block}
"""
TEXT = "Write to jane@example.com about EMP-123456 and project condor."


def chat(content, **more):
    return {**CHAT, "messages": [{"role": "user", "content": content}], **more}


async def run(tmp_path, body, script, more=RULES, **parts):
    async with (
        Scripted([script]) as upstream,
        program(
            tmp_path, upstream.port, tenant=", redaction: strict", more=more, **parts
        ) as running,
    ):
        answer = await ask(running.port, request(body=body))
    return answer, upstream.requests


def echo(stream):
    async def script(peer):
        text = peer.upstream.requests[-1].json["messages"][-1]["content"]
        if not stream:
            reply = {
                "id": "c1",
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": text},
                        "finish_reason": "stop",
                    }
                ],
            }
            await peer.send(json_answer(reply))
        else:
            await peer.stream([ROLE, *(chunk({"content": c}) for c in text), STOP, DONE])

    return script


def said(answer):
    events = [orjson.loads(e[6:]) for e in answer.events if not e.endswith("[DONE]")]
    return "".join(e["choices"][0]["delta"].get("content") or "" for e in events)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_provider_sees_pseudonyms_and_the_client_its_own_words(tmp_path, stream):
    answer, (seen,) = await run(tmp_path, chat(TEXT, stream=stream), echo(stream))

    sent = seen.json["messages"][0]["content"]
    assert sent.startswith("Write to PII_EMAIL_")
    for original in ("jane", "EMP-1", "condor"):
        assert original not in seen.body.decode()
    assert (said(answer) if stream else answer.json["choices"][0]["message"]["content"]) == TEXT
    assert answer.headers["x-sidestream-redactions"] == "email=1, employee_id=1, codenames=1"


async def test_a_secret_is_blocked_with_its_kind_and_not_its_text(tmp_path):
    key = "sk-proj-" + "a1B2" * 10
    answer, requests = await run(tmp_path, chat(f"my key is {key}"), says(json_answer()))

    assert_refused(answer, 400, "content_filter")
    assert key not in answer.body.decode()
    assert requests == []
