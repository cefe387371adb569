"""Redaction on the wire: what leaves, what comes back, what is kept of it."""

import asyncio
import base64
import gzip
import re
from contextlib import asynccontextmanager

import openai
import orjson
import pytest
from aiohttp import web

from tests.program import CHAT, DIGEST, ask, assert_refused, program, request
from tests.scripted import (
    DONE,
    REPLY,
    ROLE,
    SSE_HEAD,
    STOP,
    WORDS,
    Scripted,
    chunk,
    framed,
    json_answer,
    says,
    streams,
    then,
)

RULES = """\
redaction:
  strict:
    detect: [email, phone, credit_card, iban, us_ssn, national_id, ip_address, person, secrets]
    rules: [{name: employee_id, pattern: 'EMP-\\d{6}', tests: {match: ["EMP-123456"], no_match: ["EMP-12"]}},
            {name: codenames, terms: ["Project Condor"]}]
    actions: {secrets: %s}
    answers: {detect: [secrets, credit_card], action: %s}
%s"""
KEY = "sk-proj-" + "a1B2c3D4" * 6
TEXT = "Write to jane@example.com about EMP-123456 and project condor."


def rules(secrets="hash", answers="mask", more=""):
    return RULES % (secrets, answers, more)


def chat(content, **more):
    return {**CHAT, "messages": [{"role": "user", "content": content}], **more}


@asynccontextmanager
async def running(tmp_path, script, *, more=None, **parts):
    parts.setdefault("tenant", ", redaction: strict")
    async with (
        Scripted([script]) as upstream,
        program(tmp_path, upstream.port, more=more or rules(), **parts) as made,
    ):
        made.upstream = upstream
        yield made


async def run(tmp_path, data, script=None, **parts):
    if isinstance(data, dict):
        data = request(body=data)
    async with running(tmp_path, script or says(json_answer()), **parts) as made:
        answer = await ask(made.port, data)
    return answer, made.upstream.requests


def echo(*, stream=False):
    async def script(peer):
        text = peer.upstream.requests[-1].json["messages"][-1]["content"]
        if stream:
            await peer.stream([ROLE, *(chunk({"content": c}) for c in text), STOP, DONE])
        else:
            reply = orjson.loads(orjson.dumps(REPLY))
            reply["choices"][0]["message"]["content"] = text
            await peer.send(json_answer(reply))

    return script


def said(answer):
    events = [orjson.loads(e[6:]) for e in answer.events if not e.endswith("[DONE]")]
    return "".join(c["delta"].get("content") or "" for e in events for c in e.get("choices", ()))


@pytest.mark.parametrize("stream", [False, True])
async def test_the_provider_sees_pseudonyms_and_the_client_its_own_words(tmp_path, stream):
    answer, (seen,) = await run(tmp_path, chat(TEXT, stream=stream), echo(stream=stream))

    sent = seen.json["messages"][0]["content"]
    assert sent.startswith("Write to PII_EMAIL_")
    for original in ("jane", "EMP-1", "condor"):
        assert original not in seen.body.decode()
    assert (said(answer) if stream else answer.json["choices"][0]["message"]["content"]) == TEXT
    assert answer.headers["x-sidestream-redactions"] == "email=1, employee_id=1, codenames=1"


async def test_a_body_without_findings_arrives_as_the_clients_own_bytes(tmp_path):
    body = b'{ "model":"m",  "odd": 1.0, "big": 123456789012345678901234567890,\n "messages":[] }'

    answer, (seen,) = await run(tmp_path, request(body=body))

    assert seen.body == body
    assert "x-sidestream-redactions" not in answer.headers


async def test_what_is_not_redacted_in_a_body_stays_byte_for_byte(tmp_path):
    body = b'{ "model":"m", "odd": 1.0e5, "messages":[{"content" : "mail jane@example.com \\u00e9" , "x":[ 1,2 ]}], "big": 123456789012345678901234567890 }'

    _, (seen,) = await run(tmp_path, request(body=body))

    pseudonym = re.search(rb"PII_EMAIL_[a-z2-7]{8}", seen.body)[0]
    assert seen.body.replace(pseudonym, b"jane@example.com") == body.replace(
        b"\\u00e9", "é".encode()
    )


async def test_a_secret_is_blocked_with_its_kind_and_not_its_text(tmp_path):
    answer, requests = await run(tmp_path, chat(f"my key is {KEY}"), more=rules("block"))

    assert_refused(answer, 400, "content_filter")
    assert "openai project" in answer.error["message"]
    assert KEY not in answer.body.decode()
    assert answer.headers["x-sidestream-redactions"] == "secrets=1"
    assert requests == []


async def test_a_secret_is_never_reversible(tmp_path):
    answer, (seen,) = await run(tmp_path, chat(f"key {KEY}"), echo(), more=rules("pseudonymise"))

    content = answer.json["choices"][0]["message"]["content"]
    assert content == seen.json["messages"][0]["content"]
    assert re.fullmatch(r"key PII_SECRET_[a-z2-7]{8}", content)


async def test_the_same_value_is_the_same_for_one_tenant_and_another_for_two(tmp_path):
    other = f"  other: {{keys: [{{sha256: {'0' * 64}}}], redaction: strict}}\n  anyone: {{anonymous: true, redaction: strict}}"
    async with running(tmp_path, says(json_answer()), tenants=other) as made:
        for key in ("sk-test", "sk-test", None):
            await ask(made.port, request(body=chat("jane@example.com"), key=key))

    first, again, stranger = (r.json["messages"][0]["content"] for r in made.upstream.requests)
    assert first == again
    assert first != stranger


ORIGINALS = ("jane.roe@example.com", "5555 5555 5555 4444", "FR14 2004 1010 0505 0001 3M02 606", "536-90-4399", "+49 30 901820",
             "Dolores Haze", "10.20.30.40", "EMP-654321", KEY)  # fmt: skip


def everywhere():
    """Every place of a request where text may stand."""
    jane, card, iban, ssn, phone, person, ip, employee, key = ORIGINALS
    return {
        "model": "m",
        "messages": [
            {"role": "system", "content": f"Customer: Mrs. {person}", "name": employee},
            {"role": "user", "content": [{"type": "text", "text": f"card {card}"}, {"type": "image_url", "image_url": {"url": "data:text/plain;base64,amFuZS5yb2VAZXhhbXBsZS5jb20="}}]},
            {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "pay", "arguments": orjson.dumps({"iban": iban, jane: [ssn, {"type": jane}]}).decode()}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": orjson.dumps([{"ip": ip, "esc": '"' + jane}]).decode()},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": f"call {phone}", "parameters": {"enum": [jane]}}}],
        "stop": [ssn, f"x{employee}"[1:]], "metadata": {"type": jane, "note": key}, "user": jane,
        "prediction": {"type": "content", "content": f"it is {ip}"}, "unknown": {"deep": [[{"er": card}]]},
        "type": jane, "id": card, "file_data": base64.b64encode((f"{jane} " * 400).encode()).decode(),
    }  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
async def test_no_original_is_found_in_anything_that_leaves_the_process(tmp_path, capfd, stream):
    async def script(peer):
        text = peer.upstream.requests[-1].body.decode()
        if stream:
            await peer.stream(
                [
                    ROLE,
                    *(chunk({"content": text[i : i + 5]}) for i in range(0, len(text), 5)),
                    STOP,
                    DONE,
                ]
            )
        else:
            await peer.send(
                json_answer({**REPLY, "choices": [{"index": 0, "message": {"content": text}}]})
            )

    body = {**everywhere(), "stream": stream}
    async with running(tmp_path, script) as made:
        answer = await ask(made.port, request(body=body))
        metrics = await ask(made.worker.admin_port, request("/metrics", method="GET", key=None))
        status = await ask(
            made.worker.admin_port, request("/status", method="GET", key="admin-token")
        )
    notes = capfd.readouterr()

    left = "".join(f"{s.line}{s.headers}{s.body.decode()}" for s in made.upstream.requests)
    left += metrics.body.decode() + status.body.decode() + notes.out + notes.err
    for original in (*ORIGINALS, "amFuZS5yb2VA"):
        for form in (original, original.replace(" ", ""), original.replace("-", ""), original[3:]):
            assert form not in left, form
    back = said(answer) if stream else answer.json["choices"][0]["message"]["content"]
    for original in ORIGINALS[:-1]:
        assert original in back
    assert (
        'sidestream_redactions_total{action="pseudonymise",kind="email"}' in metrics.body.decode()
    )


async def test_the_log_line_counts_by_kind_and_action(tmp_path, log_lines):
    async with running(tmp_path, echo(), requests="stdout") as made:
        await ask(made.port, request(body=chat(f"{TEXT} {KEY}", user="jane@example.com")))

    (line,) = log_lines()
    assert (
        orjson.loads(line)["notes"]["redactions"]
        == "email:pseudonymise=2 employee_id:pseudonymise=1 codenames:pseudonymise=1 secrets:hash=1"
    )
    assert not [o for o in ("jane", "EMP-1", "condor", KEY) if o in line]


def responses(*texts, done=True):
    def event(kind, number, **more):
        return b"event: %s\ndata: %s\n\n" % (
            kind.encode(),
            orjson.dumps({"type": kind, "sequence_number": number, **more}),
        )

    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    events = [event("response.created", 0, response={"id": "resp_1"})]
    events += [
        event("response.output_text.delta", i, **place, delta=t) for i, t in enumerate(texts, 1)
    ]
    if done:
        whole = "".join(texts)
        events.append(event("response.output_text.done", len(events), **place, text=whole))
        events.append(
            event(
                "response.completed",
                len(events),
                response={
                    "id": "resp_1",
                    "status": "completed",
                    "output": [{"content": [{"type": "output_text", "text": whole}]}],
                },
            )
        )
    return events


def payloads(answer):
    return [orjson.loads(e.split("data: ", 1)[1]) for e in answer.events if "data: {" in e]


async def test_a_chat_stream_is_blocked_in_the_middle_by_an_error_event(tmp_path):
    events = [
        ROLE,
        chunk({"content": "The card is "}),
        *(chunk({"content": c}) for c in "5555 5555 5555 4444"),
        chunk({"content": " ok"}),
        STOP,
        DONE,
    ]
    answer, _ = await run(
        tmp_path, chat("hi", stream=True), streams(events), more=rules(answers="block")
    )

    *before, error = payloads(answer)
    assert error["error"]["code"] == "content_filter"
    assert "".join(e["choices"][0]["delta"].get("content", "") for e in before) == "The card is "
    assert "5555" not in answer.body.decode()
    assert b"[DONE]" not in answer.body


async def test_a_responses_stream_is_blocked_with_the_next_number(tmp_path):
    script = streams(responses("The card is ", "5555 5555 ", "5555 4444", " ok"))
    answer, _ = await run(
        tmp_path,
        request("/v1/responses", {"model": "m", "input": "hi", "stream": True}),
        script,
        more=rules(answers="block"),
    )

    made = payloads(answer)
    assert made[-1]["type"] == "error"
    assert made[-1]["error"]["code"] == "content_filter"
    assert [e["sequence_number"] for e in made] == list(range(len(made)))
    assert "5555" not in answer.body.decode()


async def test_a_responses_stream_says_the_same_in_its_pieces_and_in_full(tmp_path):
    async def script(peer):
        name = peer.upstream.requests[-1].json["input"].split()[-1]
        await peer.stream(responses("Ask ", name[:7], name[7:], " or ", "4111 1111", " 1111 1111"))

    answer, _ = await run(
        tmp_path,
        request("/v1/responses", {"model": "m", "input": "I am jane@example.com", "stream": True}),
        script,
    )

    made = payloads(answer)
    whole = "Ask jane@example.com or **** **** **** ****"
    assert "".join(e["delta"] for e in made if e["type"].endswith("delta")) == whole
    assert made[-2]["text"] == whole
    assert made[-1]["response"]["output"][0]["content"][0]["text"] == whole
    assert [e["sequence_number"] for e in made] == list(range(len(made)))


async def test_what_is_held_when_the_upstream_breaks_off_is_still_said(tmp_path):
    script = then(SSE_HEAD, framed(ROLE + chunk({"content": "ends in 4111 11"})), end="close")
    answer, _ = await run(tmp_path, chat("hi", stream=True), script)

    *before, error = payloads(answer)
    assert "".join(e["choices"][0]["delta"].get("content", "") for e in before) == "ends in 4111 11"
    assert error["error"]["code"] == "upstream_reset"


async def test_an_answer_with_probabilities_of_tokens_loses_those_of_changed_text(tmp_path):
    reply = {
        **REPLY,
        "choices": [
            {
                "index": 0,
                "message": {"content": "5555555555554444"},
                "logprobs": {"content": [{"token": "5555", "bytes": [53]}]},
            }
        ],
    }
    answer, _ = await run(tmp_path, chat("hi"), says(json_answer(reply)))

    assert answer.json["choices"][0] == {
        "index": 0,
        "message": {"content": "****************"},
        "logprobs": None,
    }
    assert answer.headers["x-sidestream-redactions"] == "credit_card=1"


async def test_a_json_answer_that_was_asked_for_stays_json(tmp_path):
    async def script(peer):
        name = peer.upstream.requests[-1].json["messages"][0]["content"]
        await peer.send(
            json_answer(
                {
                    **REPLY,
                    "choices": [
                        {"index": 0, "message": {"content": orjson.dumps({"n": name}).decode()}}
                    ],
                }
            )
        )

    more = rules().replace("rules: [", "rules: [{name: quoted, pattern: '<<.*>>'}, ")
    answer, _ = await run(
        tmp_path, chat('<<"a\\b">>', response_format={"type": "json_object"}), script, more=more
    )

    assert orjson.loads(answer.json["choices"][0]["message"]["content"]) == {"n": '<<"a\\b">>'}


async def test_a_compressed_body_is_read_and_one_we_cannot_read_is_refused(tmp_path):
    data = gzip.compress(orjson.dumps(chat("jane@example.com")))
    _, (seen,) = await run(tmp_path, request(body=data, headers=("Content-Encoding: gzip",)))
    answer, none = await run(tmp_path, request(body=data, headers=("Content-Encoding: br",)))

    assert seen.json["messages"][0]["content"].startswith("PII_EMAIL_")
    assert_refused(answer, 415, "unsupported_media_type")
    assert none == []


def form(*parts):
    body = b"".join(
        b'--XX\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (name, more, value)
        for name, more, value in parts
    )
    return body + b"--XX--\r\n", ("Content-Type: multipart/form-data; boundary=XX",)


async def test_the_text_of_a_form_is_redacted_and_its_file_is_not(tmp_path):
    sound = b"RIFF\0\0jane@example.com\xff"
    body, headers = form(
        (b"model", b"", b"whisper-1"),
        (b"file", b'; filename="a.wav"', sound),
        (b"prompt", b"", b"This is jane@example.com"),
    )
    _, (seen,) = await run(tmp_path, request("/v1/audio/transcriptions", body, headers=headers))

    assert sound in seen.body
    assert re.search(rb"This is PII_EMAIL_[a-z2-7]{8}\r\n--XX--", seen.body)
    assert int(seen.headers["content-length"]) == len(seen.body)


async def test_an_uploaded_file_of_requests_is_redacted_line_by_line(tmp_path):
    lines = b"\n".join(orjson.dumps({"body": chat(f"jane{i}@example.com")}) for i in range(3))
    body, headers = form((b"purpose", b"", b"batch"), (b"file", b'; filename="a.jsonl"', lines))
    _, (seen,) = await run(
        tmp_path,
        request("/v1/files", body, headers=headers),
        tenant=', redaction: strict, paths: ["/v1/*"]',
    )

    assert b"jane" not in seen.body
    assert len(set(re.findall(rb"PII_EMAIL_[a-z2-7]{8}", seen.body))) == 3


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "code"),
    [
        ("/v1/completions", {"model": "m", "prompt": [1, 2, 3]}, (), 400, None),
        ("/v1/embeddings", {"model": "m", "input": [[1, 2], [3]]}, (), 400, None),
        ("/v1/files", b"abc", ("Content-Type: application/octet-stream",), 415, "unsupported_media_type"),
        ("/v1/files", b"--XX\r\nbroken", ("Content-Type: multipart/form-data; boundary=XX",), 400, "invalid_json"),
        ("/v1/files", b"{broken", ("Content-Type: application/json",), 400, "invalid_json"),
    ],
)  # fmt: skip
async def test_what_cannot_be_read_is_refused(tmp_path, path, body, headers, status, code):
    answer, requests = await run(
        tmp_path,
        request(path, body, headers=headers),
        tenant=', redaction: strict, paths: ["/v1/*"]',
    )

    assert_refused(answer, status, code)
    assert requests == []


async def test_a_socket_is_closed_to_whom_redaction_is_for(tmp_path):
    data = request(
        "/v1/realtime?model=m",
        method="GET",
        headers=(
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        ),
    )
    answer, requests = await run(tmp_path, data, tenant=', redaction: strict, paths: ["/v1/*"]')

    assert_refused(answer, 403, "path_not_allowed")
    assert requests == []


async def test_a_routes_redaction_comes_in_the_place_of_the_tenants(tmp_path):
    routes = "  - {name: own, match: {model: own}, targets: [{upstream: main}], redaction: loose}"
    more = rules(more="  loose: {detect: [email], action: mask}\n")
    async with running(tmp_path, echo(), routes=routes, more=more) as made:
        answer = await ask(
            made.port, request(body=chat("jane@example.com EMP-123456", model="own"))
        )

    assert answer.json["choices"][0]["message"]["content"] == "****@*******.*** EMP-123456"


async def test_what_a_stored_conversation_knows_is_restored_in_the_next_answer(tmp_path):
    async def script(peer):
        seen = peer.upstream.requests
        name = re.search(rb"PII_EMAIL_[a-z2-7]{8}", seen[0].body)[0].decode()
        reply = {
            "object": "response",
            "id": f"resp_{len(seen)}",
            "output": [{"content": [{"type": "output_text", "text": f"you are {name}"}]}],
        }
        await peer.send(json_answer(reply))

    async with running(tmp_path, script) as made:
        texts = []
        for body in (
            {"input": "I am jane@example.com"},
            {"input": "who am I", "previous_response_id": "resp_1"},
            {"input": "who am I"},
        ):
            answer = await ask(made.port, request("/v1/responses", {"model": "m", **body}))
            texts.append(answer.json["output"][0]["content"][0]["text"])

    assert texts[:2] == ["you are jane@example.com"] * 2
    assert texts[2].startswith("you are PII_EMAIL_")


async def test_a_conversation_is_remembered_whose_first_answer_names_nobody(tmp_path):
    async def script(peer):
        seen = peer.upstream.requests
        name = re.search(rb"PII_EMAIL_[a-z2-7]{8}", seen[0].body)[0].decode()
        text = "noted" if len(seen) == 1 else f"it is {name}"
        content = [{"content": [{"type": "output_text", "text": text}]}]
        await peer.send(
            json_answer({"object": "response", "id": f"resp_{len(seen)}", "output": content})
        )

    async with running(tmp_path, script) as made:
        for body in (
            {"input": "remember jane@example.com"},
            {"input": "which address was it?", "previous_response_id": "resp_1"},
        ):
            answer = await ask(made.port, request("/v1/responses", {"model": "m", **body}))
        erase = request("/api/cache/erase?tenant=acme", b"", key="admin-token")
        erased = await ask(made.worker.admin_port, erase)
        later = await ask(made.port, request("/v1/responses", {"model": "m", **body}))

    assert answer.json["output"][0]["content"][0]["text"] == "it is jane@example.com"
    assert erased.status == 200
    assert later.json["output"][0]["content"][0]["text"].startswith("it is PII_EMAIL_")


@asynccontextmanager
async def presidio(answer):
    asked = []

    async def analyze(got):
        asked.append(await got.json())
        if isinstance(answer, int):
            return web.Response(status=answer)
        text = asked[-1]["text"]
        return web.json_response([
            {"start": m.start(), "end": m.end(), "entity_type": kind, "score": 0.9}
            for kind, name in answer for m in re.finditer(name, text)
        ])  # fmt: skip

    application = web.Application()
    application.router.add_post("/analyze", analyze)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1], asked
    finally:
        await runner.cleanup()


HTTP = """\
redaction:
  strict:
    detect: [email]
    http: {url: "http://127.0.0.1:%d/analyze", timeout: 5s}
    on_error: %s
"""


async def test_a_service_finds_the_names_that_no_pattern_finds(tmp_path):
    body = {**chat("Jane Roe wrote to jane@example.com"), "metadata": {"who": "for Jane Roe"}}
    async with presidio([("PERSON", "Jane Roe"), ("PERSON", "jane@ex"), ("LOCATION", "wrote")]) as (
        port,
        asked,
    ):
        answer, (seen,) = await run(tmp_path, body, echo(), more=HTTP % (port, "closed"))

    assert re.fullmatch(
        r"PII_PERSON_\w{8} wrote to PII_EMAIL_\w{8}", seen.json["messages"][0]["content"]
    )
    assert re.fullmatch(r"for PII_PERSON_\w{8}", seen.json["metadata"]["who"])
    assert answer.json["choices"][0]["message"]["content"] == "Jane Roe wrote to jane@example.com"
    assert asked == [
        {
            "text": "Jane Roe wrote to jane@example.com\n\nfor Jane Roe",
            "language": "en",
            "entities": ["PERSON"],
            "score_threshold": 0.5,
        }
    ]


@pytest.mark.parametrize(("on_error", "status"), [("closed", 503), ("open", 200)])
async def test_a_service_that_fails_closes_or_opens_as_it_is_told(tmp_path, on_error, status):
    async with presidio(500) as (port, _):
        answer, requests = await run(
            tmp_path, chat("Jane Roe"), echo(), more=HTTP % (port, on_error)
        )

    assert answer.status == status
    assert len(requests) == (status == 200)


async def test_two_requests_at_once_never_get_each_others_originals(tmp_path):
    async def script(peer):
        text = peer.upstream.requests[-1].json["messages"][0]["content"]
        everyone = " ".join(r.json["messages"][0]["content"] for r in peer.upstream.requests)
        await peer.stream(
            [
                ROLE,
                chunk({"content": text}),
                chunk({"content": " / " + everyone}),
                WORDS[0],
                STOP,
                DONE,
            ]
        )

    async with running(tmp_path, script) as made:
        asked = [
            ask(made.port, request(body=chat(f"jane{i}@example.com", stream=True)))
            for i in range(8)
        ]
        answers = await asyncio.gather(*asked)

    for i, answer in enumerate(answers):
        assert set(re.findall(r"jane\d@example.com", said(answer))) == {f"jane{i}@example.com"}
    assert DIGEST


async def test_the_official_client_reads_restored_streams_of_both_kinds(tmp_path):
    async def script(peer):
        seen = peer.upstream.requests[-1]
        name = re.search(rb"PII_EMAIL_[a-z2-7]{8}", seen.body)[0].decode()
        if b"/responses" in seen.line.encode():
            await peer.stream(responses("You are ", name[:9]))
        else:
            pieces = [chunk({"content": t}) for t in ("You are ", name[:7], name[7:], " P", "II_E")]
            await peer.stream([ROLE, *pieces, STOP, DONE])

    async with (
        running(tmp_path, script) as made,
        openai.AsyncOpenAI(base_url=made.url, api_key="sk-test", max_retries=0) as client,
    ):
        text = ""
        asked = [{"role": "user", "content": "jane@example.com"}]
        async for event in await client.chat.completions.create(
            model="m", messages=asked, stream=True
        ):
            text += event.choices[0].delta.content or ""
        deltas, final = "", ""
        async for event in await client.responses.create(
            model="m", input="jane@example.com", stream=True
        ):
            deltas += event.delta if event.type == "response.output_text.delta" else ""
            final = event.response.output if event.type == "response.completed" else final

    assert text == "You are jane@example.com PII_E"
    assert deltas.startswith("You are PII_EMAIL")
    assert final[0].content[0].text == deltas


PLAIN = b"HTTP/1.1 200 X\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s"
ODD_BYTES = b"caf\xe9 " + KEY.encode()


@pytest.mark.parametrize("kind", [b"text/plain", b"application/json"])
async def test_an_answer_that_is_not_utf_8_is_scanned_all_the_same(tmp_path, kind):
    script = says(PLAIN % (kind, len(ODD_BYTES), ODD_BYTES))
    answer, _ = await run(tmp_path, chat("hi"), script)

    assert answer.status == 200
    assert KEY.encode() not in answer.body
    assert answer.body.startswith("caf\ufffd ".encode())


async def test_an_answer_that_is_not_utf_8_and_holds_nothing_goes_on_as_it_came(tmp_path):
    script = says(PLAIN % (b"text/plain", 4, b"caf\xe9"))
    answer, _ = await run(tmp_path, chat("hi"), script)

    assert (answer.status, answer.body) == (200, b"caf\xe9")
