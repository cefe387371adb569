"""Health, status, metrics, reload, drain and several workers, as an operator sees them."""

import asyncio
import os
import re
import signal
import sys
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import orjson
import pytest

from proxy import __version__
from proxy.__main__ import main
from tests.ports import free_port
from tests.program import (
    CHAT,
    DIGEST,
    KEY,
    STREAM,
    ask,
    assert_refused,
    program,
    read_answer,
    request,
)  # fmt: skip
from tests.scripted import (
    DONE,
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


def get(path, **more):
    return request(path, method="GET", key=None, **more)


ADMIN = ("Authorization: Bearer admin-token",)


async def test_health_readiness_metrics_and_status(tmp_path):
    async with (
        Scripted([says(json_answer()), streams()]) as upstream,
        program(tmp_path, upstream.port) as running,
    ):
        await ask(running.port, request(body=CHAT))
        await ask(running.port, request(body=STREAM))
        await ask(running.port, request(body=CHAT, key="sk-wrong"))
        port = running.worker.admin_port
        health, ready = await ask(port, get("/healthz")), await ask(port, get("/readyz"))
        metrics = (await ask(port, get("/metrics"))).body.decode()
        closed = await ask(port, get("/status"))
        status = await ask(port, get("/status", headers=ADMIN))
        nothing = await ask(port, get("/nothing"))

    assert (health.status, ready.status) == (200, 200)
    assert_refused_admin(closed, 401)
    assert_refused_admin(nothing, 404)
    assert status.json["in_flight"] == 0
    assert status.json["version"] == __version__
    assert 0 <= status.json["uptime_s"] < 60
    assert (
        0
        <= datetime.now(UTC).timestamp()
        - datetime.fromisoformat(status.json["started_at"]).timestamp()
        < 60
    )
    assert status.json["upstreams"][0]["idle"] == 1
    assert ('sidestream_requests_total{endpoint="chat",route="rest",status="200",target="main",'
            'tenant="acme"} 2.0') in metrics  # fmt: skip
    assert 'sidestream_errors_total{code="invalid_api_key",fault="client"} 1.0' in metrics
    assert "sk-" not in metrics


def assert_refused_admin(answer, status):
    assert answer.status == status
    assert set(answer.error) == {"message", "type", "param", "code"}


async def test_readiness_does_not_depend_on_the_upstream(tmp_path):
    async with Scripted([]) as gone:
        pass
    async with program(tmp_path, gone.port) as running:
        await ask(running.port, request(body=CHAT))

        assert (await ask(running.worker.admin_port, get("/readyz"))).status == 200


async def test_a_reload_serves_the_new_and_a_bad_one_leaves_the_old(tmp_path):
    path = tmp_path / "sidestream.yaml"
    async with (
        Scripted([says(json_answer())]) as upstream,
        program(tmp_path, upstream.port) as running,
    ):
        text = path.read_text()
        path.write_text(text.replace("name: rest", "name: changed"))
        assert await running.worker.reloader.reload() == []
        changed = await ask(running.port, request(body=CHAT))
        path.write_text(text.replace("upstream: main", "upstream: mian"))
        refused = await ask(
            running.worker.admin_port, request("/api/reload", key=None, headers=ADMIN)
        )
        still = await ask(running.port, request(body=CHAT))
        metrics = (await ask(running.worker.admin_port, get("/metrics"))).body.decode()

    assert changed.headers["x-sidestream-route"] == "changed"
    assert refused.status == 422
    assert "did you mean 'main'?" in refused.json["problems"][0]
    assert still.headers["x-sidestream-route"] == "changed"
    assert "sidestream_config_reloads_total 1.0" in metrics
    assert "sidestream_config_reload_failures_total 1.0" in metrics
    assert upstream.connections == 1


async def test_an_open_stream_goes_on_under_the_settings_it_began_with(tmp_path):
    go = asyncio.Event()

    async def slow(peer):
        await peer.send(SSE_HEAD, framed(ROLE), framed(WORDS[0]))
        await go.wait()
        await peer.send(framed(STOP), framed(DONE), b"0\r\n\r\n")

    path = tmp_path / "sidestream.yaml"
    async with (
        Scripted([slow]) as upstream,
        program(tmp_path, upstream.port, first="20s", idle="20s") as running,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(request(body=STREAM))
        answer = asyncio.create_task(read_answer(reader))
        while running.worker.room.in_flight == 0:
            await asyncio.sleep(0.001)
        path.write_text(path.read_text().replace(str(upstream.port), "1"))
        assert await running.worker.reloader.reload() == []
        go.set()
        got = await asyncio.wait_for(answer, 5)
        writer.close()

    assert got.events[-1] == "data: [DONE]"


async def test_a_key_file_is_read_again_when_it_changes(tmp_path):
    key = tmp_path / "key"
    tenants = f"  beta: {{keys: [{{file: {key}, name: mounted}}]}}"
    async with (
        Scripted([says(json_answer())]) as upstream,
        program(tmp_path, upstream.port, tenants=tenants) as running,
    ):
        before = await ask(running.port, request(body=CHAT, key="sk-mounted"))
        key.write_text("sk-mounted\n")
        await running.worker.reloader.reload()
        after = await ask(running.port, request(body=CHAT, key="sk-mounted"))

    assert_refused(before, 401)
    assert after.headers["x-sidestream-tenant"] == "beta"


async def test_an_expired_key_says_since_when(tmp_path):
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    tenants = f"  beta: {{keys: [{{sha256: {'0' * 63}1, expires: {yesterday}}}]}}"
    async with Scripted([says(json_answer())]) as upstream:
        text = tenants.replace("0" * 63 + "1", _digest("sk-old"))
        async with program(tmp_path, upstream.port, tenants=text) as running:
            answer = await ask(running.port, request(body=CHAT, key="sk-old"))

    assert_refused(answer, 401, "invalid_api_key")
    assert f"expired on {yesterday}" in answer.error["message"]


def _digest(key):
    return sha256(key.encode()).hexdigest()


async def test_an_anonymous_tenant_serves_an_application_with_any_key(tmp_path):
    async with (
        Scripted([says(json_answer())]) as upstream,
        program(tmp_path, upstream.port, tenants="  all: {anonymous: true}") as running,
    ):
        named = await ask(running.port, request(body=CHAT))
        other = await ask(running.port, request(body=CHAT, key="sk-from-openai"))
        none = await ask(running.port, request(body=CHAT, key=None))

    served = [a.headers["x-sidestream-tenant"] for a in (named, other, none)]
    assert served == ["acme", "all", "all"]


async def test_passthrough_sends_the_clients_key_and_none_of_ours(tmp_path):
    parts = {
        "upstreams": '  through: {{kind: generic, passthrough: true, base_url: "http://127.0.0.1:{port}/v1"}}',
        "routes": '  - {name: t, match: {model: "m"}, targets: [{upstream: through}]}',
    }
    async with Scripted([says(json_answer())]) as upstream:
        parts["upstreams"] = parts["upstreams"].format(port=upstream.port)
        async with program(
            tmp_path, upstream.port, tenants="  all: {anonymous: true}", **parts
        ) as running:
            await ask(running.port, request(body=CHAT, key="sk-mine"))

    assert upstream.requests[0].headers["authorization"] == "Bearer sk-mine"


async def test_drain_lets_a_stream_end_and_refuses_the_new(tmp_path):
    go = asyncio.Event()

    async def slow(peer):
        await peer.send(SSE_HEAD, framed(ROLE), framed(WORDS[0]))
        await go.wait()
        await peer.send(framed(STOP), framed(DONE), b"0\r\n\r\n")

    async with (
        Scripted([slow]) as upstream,
        program(tmp_path, upstream.port, first="20s", idle="20s") as running,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        idle, idle_writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(request(body=STREAM))
        await reader.readuntil(b"Hi")
        running.worker.stop()
        assert await asyncio.wait_for(idle.read(), 2) == b""
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", running.port)
        assert (await ask(running.worker.admin_port, get("/readyz"))).status == 503
        go.set()
        rest = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        idle_writer.close()

    assert b"[DONE]" in rest


async def test_an_address_in_use_is_one_clear_line(tmp_path):
    async with Scripted([]) as upstream:
        env = {"SIDESTREAM_LISTEN": f"127.0.0.1:{upstream.port}"}
        env["SIDESTREAM_ADMIN_LISTEN"] = "127.0.0.1:0"
        async with Command("serve", env=env) as command:
            await command.process.wait()

    assert command.process.returncode == 1
    assert re.search(rb"cannot listen on 127\.0\.0\.1:\d+ \(`listen`\): ", command.rest[1])
    assert b"Traceback" not in command.rest[1]


async def test_a_request_leaves_one_log_line_without_its_text(tmp_path, log_lines):
    async with (
        Scripted([says(json_answer())]) as upstream,
        program(tmp_path, upstream.port, requests="stdout") as running,
    ):
        body = {**CHAT, "user": "alice@example.com"}
        await ask(running.port, request(body=body))
        await ask(running.port, request(body=body, key="sk-wrong-key"))
        await running.settled()

    lines = log_lines()
    first, second = map(orjson.loads, lines)
    assert first["tenant"] == "acme"
    assert first["key"] == "one"
    assert (first["tokens_in"], first["tokens_out"], first["finish"]) == (7, 3, "stop")
    assert first["end"] == "complete"
    assert second["error"] == "invalid_api_key"
    for secret in ("Hello", "alice", "sk-", KEY, DIGEST):
        assert secret not in "".join(lines)


class Command:
    """The installed command in a process of its own."""

    def __init__(self, *arguments, env=None):
        self._arguments = arguments
        self._env = {**os.environ, **(env or {})}

    async def __aenter__(self):
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "proxy", *self._arguments, env=self._env,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        return self

    async def until(self, words):
        async with asyncio.timeout(20):
            while line := await self.process.stderr.readline():
                if words in line.decode():
                    return line.decode()
        raise AssertionError(words)

    async def __aexit__(self, *exc):
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        self.rest = await asyncio.wait_for(self.process.communicate(), 20)


async def test_the_command_with_a_mock_serves_a_newcomer_and_leaves_on_sigterm():
    data, admin = free_port(), free_port()
    env = {
        "SIDESTREAM_LISTEN": f"127.0.0.1:{data}",
        "SIDESTREAM_ADMIN_LISTEN": f"127.0.0.1:{admin}",
    }
    async with Command("serve", "--with-mock", env=env) as command:
        await command.until("Ctrl-C")
        answer = await ask(data, request(body={**CHAT, "model": "mock"}, key="any"))
        broken = await ask(data, b"nonsense\r\n\r\n")
        command.process.send_signal(signal.SIGTERM)

    assert answer.status == 200
    assert broken.status == 400
    assert command.process.returncode == 0
    assert orjson.loads(command.rest[0].splitlines()[0])["endpoint"] == "chat"
    assert b"Traceback" not in command.rest[1]


async def test_two_signals_in_quick_succession_are_one(tmp_path):
    data, admin = free_port(), free_port()
    goes_on = asyncio.Event()

    async def slowly(peer):
        await peer.send(SSE_HEAD, framed(ROLE), framed(WORDS[0]))
        await goes_on.wait()
        await peer.send(framed(STOP), framed(DONE), b"0\r\n\r\n")

    path = tmp_path / "c.yaml"
    async with Scripted([slowly]) as upstream:
        path.write_text(f"""\
listen: 127.0.0.1:{data}
admin: {{listen: "127.0.0.1:{admin}"}}
upstreams: {{up: {{kind: generic, base_url: "http://127.0.0.1:{upstream.port}/v1"}}}}
routes: [{{name: all, targets: [{{upstream: up}}]}}]
""")
        async with Command("serve", "--config", str(path)) as command:
            await command.until("serving")
            reader, writer = await asyncio.open_connection("127.0.0.1", data)
            writer.write(request(body=STREAM, key=None))
            begun = await reader.readuntil(b"Hi")
            command.process.send_signal(signal.SIGTERM)
            await command.until("leaving with 1")
            command.process.send_signal(signal.SIGTERM)
            goes_on.set()
            rest = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            await asyncio.wait_for(command.process.wait(), 10)

    assert b" 200 " in begun
    assert b"[DONE]" in rest
    assert b"told to leave once more" not in command.rest[1]


def requests_in(metrics):
    name = "sidestream_requests_total"
    return sum(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith(name))


async def test_two_workers_share_a_port_and_their_counters_add_up(tmp_path, capsys):
    data, admin = free_port(), free_port()
    path = tmp_path / "c.yaml"
    async with Scripted([says(json_answer())]) as upstream:
        path.write_text(f"""\
listen: 127.0.0.1:{data}
admin: {{listen: "127.0.0.1:{admin}", token: t}}
workers: 2
upstreams: {{up: {{kind: generic, base_url: "http://127.0.0.1:{upstream.port}/v1"}}}}
routes: [{{name: all, targets: [{{upstream: up}}]}}]
""")
        command = Command("serve", "--config", str(path))
        async with command:
            await command.until("serving")
            await command.until("serving")
            for _ in range(40):
                assert (await ask(data, request(body=CHAT, key=None))).status == 200
            ready = await ask(admin, get("/readyz"))
            metrics = (await ask(admin, get("/metrics"))).body.decode()
            status = await ask(admin, get("/status", headers=("Authorization: Bearer t",)))
            closed = await ask(admin, get("/status"))
            erase = ["cache", "erase", "--config", str(path), "--tenant"]
            codes = [
                await asyncio.to_thread(main, [*erase, name]) for name in ("anonymuos", "anonymous")
            ]
            path.write_text(path.read_text().replace("token: t}", "token: u}"))
            for token in "tu":  # by now or by itself, every worker has the new one
                await ask(admin, request("/api/reload", key=None, headers=_bearer(token)))
            by_old, by_new = [
                await ask(admin, get("/status", headers=_bearer(token))) for token in "tu"
            ]
            workers = children(command.process.pid)
            os.kill(workers[0], signal.SIGKILL)
            await command.until("starting it again")
            await command.until("serving")
            for _ in range(10):
                assert (await ask(data, request(body=CHAT, key=None))).status == 200
            after = (await ask(admin, get("/metrics"))).body.decode()

    assert (requests_in(metrics), requests_in(after)) == (40, 50)
    assert ready.status == 200
    assert codes == [1, 0]
    said = "no tenant is named 'anonymuos'; did you mean 'anonymous'? If it was one before: --force"
    assert said in capsys.readouterr().err
    assert len(status.json["workers"]) == 2
    assert status.json["version"] == __version__
    assert_refused_admin(closed, 401)
    assert_refused_admin(by_old, 401)
    assert len(by_new.json["workers"]) == 2
    assert command.process.returncode == 0


def _bearer(token):
    return (f"Authorization: Bearer {token}",)


def children(pid):
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


async def test_a_tls_file_that_is_missing_is_one_clear_line(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(
        'upstreams: {a: {base_url: "https://a.example/v1", tls: {ca: /nowhere.pem}}}\n'
        "routes: [{name: r, targets: [{upstream: a}]}]\n"
    )
    async with Command("serve", "--config", str(path)) as command:
        await command.process.wait()

    assert command.process.returncode == 1
    assert b":1:56: $.upstreams.a.tls.ca: No such file" in command.rest[1]
    assert b"Traceback" not in command.rest[1]


async def test_wrong_configurations_end_the_command_with_all_problems(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("listne: x\n")
    async with Command("serve", "--config", str(path)) as command:
        await command.process.wait()

    assert command.process.returncode == 1
    assert b"c.yaml:1:1: $.listne: no such setting; did you mean 'listen'?" in command.rest[1]
    assert b"Traceback" not in command.rest[1]
