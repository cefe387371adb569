"""What reaches the upstream, and what comes back of it."""

import asyncio

import orjson
import pytest

from tests.program import CHAT, STREAM, ask, assert_refused, program, read_answer, request
from tests.scripted import (
    DONE,
    REPLY,
    ROLE,
    STOP,
    USAGE_EVENT,
    WORDS,
    Scripted,
    json_answer,
    says,
    streams,
)  # fmt: skip
from tests.scripted import (
    STREAM as EVENTS,
)


async def sent(tmp_path, data, *, script=None, **parts):
    async with (
        Scripted([script or says(json_answer())]) as upstream,
        program(tmp_path, upstream.port, **parts) as running,
    ):
        answer = await ask(running.port, data)
    return answer, upstream.requests[0]


async def test_a_body_nobody_changed_arrives_as_the_clients_own_bytes(tmp_path):
    body = b'{ "model":"m",  "odd": 1.0, "big": 123456789012345678901234567890,\n "messages":[] }'

    _, seen = await sent(tmp_path, request(body=body))

    assert seen.body == body


async def test_credentials_are_ours_and_what_we_own_is_not_forwarded(tmp_path):
    headers = (
        "X-Api-Key: other", "Cookie: a=b", "X-Sidestream-Tenant: root", "Connection: X-Hop",
        "X-Hop: 1", "X-Forwarded-For: 1.2.3.4", "traceparent: 00-abc-def-01", "X-Kept: yes",
        "OpenAI-Organization: org-evil", "Accept-Encoding: br",
    )  # fmt: skip

    _, seen = await sent(tmp_path, request(body=CHAT, headers=headers))

    assert seen.headers["authorization"] == "Bearer sk-up"
    assert seen.headers["traceparent"] == "00-abc-def-01"
    assert seen.headers["x-kept"] == "yes"
    assert seen.headers["accept-encoding"] == "identity"
    for name in ("x-api-key", "cookie", "x-sidestream-tenant", "x-hop", "connection",
                 "x-forwarded-for", "openai-organization"):  # fmt: skip
        assert name not in seen.headers


async def test_an_answer_carries_who_served_it_and_none_of_the_upstreams_own_marks(tmp_path):
    script = says(json_answer(headers=("x-request-id: up-1", "x-sidestream-tenant: evil",
                                       "Set-Cookie: a=b", "Connection: close, X-Hop", "X-Hop: 1",
                                       "openai-processing-ms: 5")))  # fmt: skip

    answer, _ = await sent(tmp_path, request(body=CHAT), script=script)

    assert answer.json == REPLY
    assert answer.headers["x-request-id"] == "up-1"
    assert answer.headers["openai-processing-ms"] == "5"
    assert answer.headers["x-sidestream-id"].startswith("req_")
    assert [v for n, v in answer.raw_headers if n.lower() == "x-sidestream-tenant"] == ["acme"]
    assert answer.headers["x-sidestream-route"] == "rest"
    assert answer.headers["x-sidestream-target"] == "main"
    assert answer.headers["x-sidestream-attempts"] == "1"
    assert answer.headers["server-timing"].startswith("sidestream;dur=")
    assert "set-cookie" not in answer.headers
    assert "x-hop" not in answer.headers


async def test_an_alias_is_rewritten_and_the_rest_of_the_body_kept(tmp_path):
    routes = (
        '  - {name: alias, match: {model: "chat"}, targets: [{upstream: main, model: real/m-1}]}'
    )
    body = {**CHAT, "model": "chat", "unknown": {"x": [1, None]}}

    answer, seen = await sent(tmp_path, request(body=body), routes=routes)

    assert seen.json == {**body, "model": "real/m-1"}
    assert answer.headers["x-sidestream-target"] == "main/real/m-1"


async def test_usage_is_asked_for_and_hidden_from_a_client_that_did_not_ask(tmp_path):
    answer, seen = await sent(tmp_path, request(body=STREAM), script=streams())

    assert seen.json["stream_options"] == {"include_usage": True}
    assert answer.body == b"".join([ROLE, *WORDS, STOP, DONE])


async def test_usage_is_left_to_a_client_that_asked(tmp_path):
    body = {**STREAM, "stream_options": {"include_usage": True}}

    answer, seen = await sent(tmp_path, request(body=body), script=streams())

    assert seen.json == body
    assert answer.body == b"".join(EVENTS)


@pytest.mark.parametrize("body", [CHAT, STREAM], ids=["plain", "stream"])
async def test_tokens_and_cost_are_counted(tmp_path, body):
    more = 'prices: {"m": {input: 1000, output: 2000}}'
    script = streams() if body is STREAM else says(json_answer())
    async with (
        Scripted([script]) as upstream,
        program(tmp_path, upstream.port, more=more) as running,
    ):
        answer = await ask(running.port, request(body=body))
        await running.settled()
        text = (await ask(running.worker.admin_port, request("/metrics", method="GET"))).body

    assert answer.headers.get("x-sidestream-cost-usd") in (None, "0.013000000")
    assert (body is CHAT) == ("x-sidestream-cost-usd" in answer.headers)
    assert b'sidestream_tokens_total{endpoint="chat",kind="input"' in text
    costs = [line for line in text.decode().splitlines() if "sidestream_cost_usd_total{" in line]
    assert costs[0].endswith(" 0.013")


async def test_what_is_paid_by_the_request_is_a_cost_without_tokens(tmp_path):
    more = """
prices: {"i": {input: 0, output: 0, request: 0.04}}
limits: {tight: {budgets: [{usd: 10, per: day}]}}
"""
    answer = json_answer({"text": "Hi"})
    async with (
        Scripted([says(answer)]) as upstream,
        program(tmp_path, upstream.port, more=more, tenant=", limits: tight") as running,
    ):
        form = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\ni\r\n--b--\r\n'
        kind = "Content-Type: multipart/form-data; boundary=b"
        asked = request("/v1/audio/transcriptions", form, headers=(kind,))
        status = (await ask(running.port, asked)).status
        await running.settled()
        text = (await ask(running.worker.admin_port, request("/metrics", method="GET"))).body

    costs = [line for line in text.decode().splitlines() if "sidestream_cost_usd_total{" in line]
    assert (status, [line.split()[-1] for line in costs]) == (200, ["0.04"])


async def test_prefix_v1_may_be_left_out_and_queries_are_kept(tmp_path):
    _, seen = await sent(tmp_path, request("/chat/completions?a=b%20c", CHAT))

    assert seen.line == "POST /v1/chat/completions?a=b%20c HTTP/1.1"


async def test_a_socket_path_without_an_upgrade_is_refused(tmp_path):
    async with Scripted([]) as upstream, program(
        tmp_path, upstream.port, tenant=", paths: [/v1/realtime]"
    ) as running:  # fmt: skip
        answer = await ask(running.port, request("/v1/realtime?model=m", method="GET"))

    assert_refused(answer, 400)


async def test_uploads_stream_through_with_their_length(tmp_path):
    body = bytes(range(256)) * 2000
    tenant = ", paths: [/v1/files]"

    _, seen = await sent(
        tmp_path, request("/v1/files", body, headers=("Content-Type: multipart/form-data; boundary=x",)),
        tenant=tenant,
    )  # fmt: skip

    assert seen.body == body
    assert seen.headers["content-length"] == str(len(body))


async def test_chunked_uploads_stream_through_chunked(tmp_path):
    body = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    data = request("/v1/files", body, headers=("Transfer-Encoding: chunked",))

    _, seen = await sent(tmp_path, data, tenant=", paths: [/v1/files]")

    assert seen.body == b"hello world"
    assert seen.headers["transfer-encoding"] == "chunked"


@pytest.mark.parametrize("is_file_first", [True, False])
async def test_a_form_is_routed_by_its_model_wherever_it_stands(tmp_path, is_file_first):
    sound = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n' + (
        bytes(range(256)) * 1000
    )
    model = b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper'
    parts = [sound, model] if is_file_first else [model, sound]
    body = b"\r\n".join(parts) + b"\r\n--B--\r\n"
    routes = '  - {name: ears, match: {model: "whisper"}, targets: [{upstream: main}]}'

    answer, seen = await sent(
        tmp_path,
        request("/v1/audio/transcriptions", body,
                headers=("Content-Type: multipart/form-data; boundary=B",)),
        routes=routes,
    )  # fmt: skip

    assert seen.body == body
    assert answer.headers["x-sidestream-route"] == "ears"


@pytest.mark.parametrize("is_file_first", [True, False])
async def test_an_alias_in_a_form_is_rewritten_and_the_file_kept(tmp_path, is_file_first):
    def form(model):
        sound = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n'
        field = b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\n' + model
        parts = [sound + b"\x00\xffmodel" * 30_000, field]
        return b"\r\n".join(parts if is_file_first else parts[::-1]) + b"\r\n--B--\r\n"

    routes = (
        '  - {name: ears, match: {model: "ears"}, targets: [{upstream: main, model: whisper-9}]}'
    )
    kind = ("Content-Type: multipart/form-data; boundary=B",)

    _, seen = await sent(
        tmp_path, request("/v1/audio/transcriptions", form(b"ears"), headers=kind), routes=routes
    )

    assert seen.body == form(b"whisper-9")


async def test_a_second_model_behind_the_file_reaches_nobody(tmp_path):
    part = b'--B\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    body = b"".join((part % (b"model", b"m"), part % (b"file", b"x" * 300_000)))
    body += part % (b"model", b"dear") + b"--B--\r\n"
    kind = ("Content-Type: multipart/form-data; boundary=B",)
    async with Scripted([says(json_answer())]) as up, program(tmp_path, up.port) as running:
        got = await ask(running.port, request("/v1/audio/transcriptions", body, headers=kind))
        again = await ask(running.port, request(body=CHAT))

    assert_refused(got, 400)
    assert got.error["param"] == "model"
    assert again.status == 200
    assert [seen.line.split()[1] for seen in up.requests] == ["/v1/chat/completions"]


async def test_an_early_answer_to_an_upload_reaches_the_client(tmp_path):
    async def early(peer):
        raise AssertionError

    async with Scripted([early]) as upstream:

        async def read_head_only(peer):
            await peer.reader.readuntil(b"\r\n\r\n")
            await peer.send(json_answer(b'{"error":{"message":"too big"}}', 413))
            return await asyncio.sleep(30)

        upstream._read = read_head_only
        tenant = ", paths: [/v1/files]"
        async with program(tmp_path, upstream.port, tenant=tenant, first="5s") as running:
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            head = request("/v1/files", b"", headers=())
            writer.write(head.replace(b"Content-Length: 0", b"Content-Length: 1000000") + b"x" * 10)
            answer = await asyncio.wait_for(read_answer(reader), 5)
            writer.close()

    assert answer.status == 413
    assert answer.json["error"]["message"] == "too big"


async def test_head_and_options_are_answered_without_a_body(tmp_path):
    async with (
        Scripted([says(json_answer())]) as upstream,
        program(
            tmp_path,
            upstream.port,
            routes='  - {name: a, match: {model: "chat"}, targets: [{upstream: main}]}',
            more='cors: {origins: ["https://app.example"]}',
        ) as running,
    ):
        head = await ask(running.port, request("/v1/models", method="HEAD"), is_head=True)
        preflight = await ask(
            running.port,
            request(method="OPTIONS", key=None, headers=(
                "Origin: https://app.example", "Access-Control-Request-Method: POST",
                "Access-Control-Request-Headers: authorization")),
        )  # fmt: skip
        stranger = await ask(
            running.port, request(body=CHAT, headers=("Origin: https://evil.example",))
        )

    assert head.status == 200
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-origin" not in stranger.headers


async def test_a_websocket_is_tunnelled_both_ways_with_our_key(tmp_path):
    async def accept(peer):
        await peer.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: abc\r\nSec-WebSocket-Protocol: realtime\r\n\r\nhello"
        )
        assert await peer.reader.readexactly(4) == b"ping"
        await peer.send(b"pong")
        await peer.left()

    headers = (
        "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.sk-test",
    )  # fmt: skip
    async with (
        Scripted([accept]) as upstream,
        program(
            tmp_path,
            upstream.port,
            tenant=", paths: [/v1/realtime]",
            routes="  - {name: v, match: {model: voice}, targets: [{upstream: main, model: gpt-rt}]}",
        ) as running,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        data = request("/v1/realtime?model=voice&x=1", method="GET", key=None, headers=headers)
        writer.write(data)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert await reader.readexactly(5) == b"hello"
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"pong"
        writer.transport.abort()
        await asyncio.wait_for(upstream.peer_left.wait(), 1)

    seen = upstream.requests[0]
    assert seen.line == "GET /v1/realtime?model=gpt-rt&x=1 HTTP/1.1"
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"upgrade: websocket" in head.lower()
    assert seen.headers["authorization"] == "Bearer sk-up"
    assert seen.headers["sec-websocket-protocol"] == "realtime"
    assert seen.headers["upgrade"] == "websocket"


async def test_a_fallback_answers_when_the_first_target_cannot(tmp_path):
    routes = (
        '  - {name: chain, match: {model: "m"}, targets: [{upstream: dead}],\n'
        "     fallback: [{upstream: main, model: m2}], retry: {attempts: 1}}"
    )
    async with Scripted([]) as gone:
        pass
    dead = f'  dead: {{kind: generic, base_url: "http://127.0.0.1:{gone.port}/v1"}}'

    answer, seen = await sent(tmp_path, request(body=CHAT), routes=routes, upstreams=dead)

    assert answer.status == 200
    assert seen.json["model"] == "m2"
    assert answer.headers["x-sidestream-attempts"] == "2"


@pytest.mark.parametrize("is_large", [True, False])
async def test_an_answer_that_is_passed_over_gives_its_connection_back(tmp_path, is_large):
    body = b'{"error":{"message":"' + b"x" * (900_000 if is_large else 10) + b'"}}'
    first = says(json_answer(body, 503))
    if not is_large:
        first = streams([b'data: {"error":{"message":"no","code":503}}\n\n', *EVENTS])
    routes = (
        '  - {name: chain, match: {model: "m"}, targets: [{upstream: first}],\n'
        "     fallback: [{upstream: main}], retry: {attempts: 1}}"
    )
    async with Scripted([first]) as bad, Scripted([streams()]) as good:
        spare = f'  first: {{kind: generic, base_url: "http://127.0.0.1:{bad.port}/v1"}}'
        async with program(tmp_path, good.port, routes=routes, upstreams=spare) as running:
            answer = await ask(running.port, request(body=STREAM))

    assert answer.events[-1] == "data: [DONE]"


@pytest.mark.parametrize(("status", "tries"), [(500, 2), (429, 2), (400, 1), (404, 1), (422, 1)])
async def test_statuses_are_retried_only_where_that_can_help(tmp_path, status, tries):
    script = says(json_answer(b'{"error":{"message":"x"}}', status, ("Retry-After-Ms: 1",)))
    async with (
        Scripted([script]) as upstream,
        program(tmp_path, upstream.port, attempts=2) as running,
    ):
        answer = await ask(running.port, request(body=CHAT))

    assert answer.status == status
    assert len(upstream.requests) == tries


async def test_what_the_sdk_repeats_we_do_not_repeat_as_well(tmp_path):
    script = says(json_answer(b"{}", 500))
    async with (
        Scripted([script]) as upstream,
        program(tmp_path, upstream.port, attempts=3) as running,
    ):
        await ask(running.port, request(body=CHAT, headers=("x-stainless-retry-count: 1",)))

    assert len(upstream.requests) == 1


async def test_models_lists_what_the_tenant_may_use(tmp_path):
    routes = '  - {name: a, match: {model: ["chat", "text-*"]}, targets: [{upstream: main}]}'
    tenant = ', models: ["chat", "text-embedding-3-small", "other-*"]'
    async with (
        Scripted([says(json_answer())]) as upstream,
        program(tmp_path, upstream.port, routes=routes, tenant=tenant) as running,
    ):
        models = await ask(running.port, request("/v1/models", method="GET"))
        one = await ask(running.port, request("/v1/models/chat", method="GET"))
        none = await ask(running.port, request("/v1/models/gpt-9", method="GET"))
        denied = await ask(running.port, request(body={**CHAT, "model": "chatt"}))

    assert [m["id"] for m in models.json["data"]] == ["chat", "text-embedding-3-small"]
    assert one.json["id"] == "chat"
    assert_refused(none, 404, "model_not_found")
    assert_refused(denied, 403, "model_not_allowed")
    assert "did you mean 'chat'?" in denied.error["message"]
    assert upstream.requests == []


async def test_vllms_private_fields_and_errors_are_put_right(tmp_path):
    body = {**CHAT, "priority": -5, "vllm_xargs": {}, "guided_regex": "a+"}
    script = says(json_answer(b'{"error":"Unauthorized"}', 401))

    answer, seen = await sent(
        tmp_path, request(body=body, headers=("X-Vllm-Priority: 1",)), kind="vllm", script=script
    )

    salt = seen.json["cache_salt"]
    assert seen.json == {**CHAT, "structured_outputs": {"regex": "a+"}, "cache_salt": salt}
    assert len(salt) == 32
    assert "acme" not in salt
    assert "x-vllm-priority" not in seen.headers
    assert_refused(answer, 401)


async def test_keep_alive_serves_many_on_one_connection_to_one_upstream_connection(tmp_path):
    async with (
        Scripted([says(json_answer())]) as upstream,
        program(tmp_path, upstream.port) as running,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        for _ in range(20):
            writer.write(request(body=CHAT))
            assert (await asyncio.wait_for(read_answer(reader), 5)).json == REPLY
        writer.close()

    assert upstream.connections == 1


async def test_usage_event_alone_in_a_read_is_hidden_too(tmp_path):
    events = [ROLE, *WORDS, STOP, USAGE_EVENT[:50], USAGE_EVENT[50:], DONE]

    answer, _ = await sent(tmp_path, request(body=STREAM), script=streams(events))

    assert b"prompt_tokens" not in answer.body
    assert orjson.loads(answer.events[-2].removeprefix("data: "))["choices"][0]["finish_reason"]


async def test_a_form_in_the_text_of_another_field_is_nobodys_form(tmp_path):
    part = b'--B\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    body = part % (b"prompt", b"x" + part % (b"model", b"m") + part % (b"file", b"x" * 300_000))
    body += part % (b"model", b"dear") + b"--B--\r\n"
    kind = ("Content-Type: multipart/form-data; boundary=B",)
    async with (
        Scripted([says(json_answer())]) as up,
        program(tmp_path, up.port, tenant=", models: [m]") as running,
    ):
        got = await ask(running.port, request("/v1/audio/transcriptions", body, headers=kind))
        packed = await ask(
            running.port,
            request("/v1/audio/transcriptions", body, headers=(*kind, "Content-Encoding: gzip")),
        )

    assert_refused(got, 403, "model_not_allowed")
    assert_refused(packed, 415)
    assert not up.requests
