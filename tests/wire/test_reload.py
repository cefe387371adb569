"""What a reload leaves of what goes on, and what a refused one must not touch."""

import asyncio
import base64

import pytest

from tests.program import CHAT, STREAM, ask, program, request
from tests.scripted import ROLE, SSE_HEAD, WORDS, Scripted, framed, json_answer, says


async def hangs(peer):
    await peer.send(SSE_HEAD, framed(ROLE), framed(WORDS[0]))
    await asyncio.Event().wait()


async def _reloaded(running, tmp_path, *changes):
    path = tmp_path / "sidestream.yaml"
    text = path.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    path.write_text(text)
    return await running.worker.reloader.reload()


async def test_a_stream_of_an_upstream_that_is_gone_keeps_its_deadlines(tmp_path):
    async with (
        Scripted([hangs]) as upstream,
        program(tmp_path, upstream.port, idle="300ms") as running,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(request(body=STREAM))
        await reader.readuntil(b"Hi")
        assert await _reloaded(running, tmp_path, (str(upstream.port), "1")) == []
        rest = await asyncio.wait_for(reader.read(), 5)
        writer.close()

    assert b"error" in rest


OTHER_STORE = (
    'log: {requests: "off"}',
    'log: {requests: "off"}\nstore: {url: "redis://127.0.0.1:1"}',
)


async def test_a_refused_reload_leaves_deadlines_gates_and_connections_alone(tmp_path):
    """The store is looked at after everything else could have been changed."""
    async with (
        Scripted([says(json_answer()), says(json_answer()), hangs]) as upstream,
        program(tmp_path, upstream.port, kind="generic, concurrency: {max: 1}") as running,
    ):
        await ask(running.port, request(body=CHAT))
        problems = await _reloaded(
            running, tmp_path, (f"127.0.0.1:{upstream.port}/v1", "127.0.0.1:1/v1"),
            ("main: {", "other: {"), ("upstream: main", "upstream: other"), OTHER_STORE,
        )  # fmt: skip
        (gate,) = running.worker.app.status()["queues"]
        await ask(running.port, request(body=CHAT))
        cut = await ask(running.port, request(body=STREAM))

    assert "the store cannot change while running" in problems[0]
    assert (gate["upstream"], gate["cap"]) == ("main", 1)
    assert upstream.connections == 1
    assert b"error" in cut.body


async def test_a_refused_reload_leaves_what_caches_hold(tmp_path):
    more = "cache: {c: {ttl: 1h, max_size: 1MiB}}"
    cold = request(body={**CHAT, "temperature": 0})
    routes = '  - {name: cached, match: {model: "m"}, targets: [{upstream: main}], cache: c}'
    async with (
        Scripted([says(json_answer())]) as upstream,
        program(tmp_path, upstream.port, more=more, routes=routes) as running,
    ):
        await ask(running.port, cold)
        before = running.worker.caches.status()
        problems = await _reloaded(
            running, tmp_path, ("1MiB", "2MiB"), ("c: {", "d: {"), ("cache: c", "cache: d"),
            OTHER_STORE,
        )  # fmt: skip
        after = running.worker.caches.status()
        again = await ask(running.port, cold)

    assert problems
    assert before["caches"]["c"]["entries"] == 1
    assert after == before
    assert again.headers["x-sidestream-cache"] == "hit"


async def test_first_answers_outlive_a_reload_that_was_refused(tmp_path):
    """Their key was to be another, and limits are looked at last of all."""
    first, second = (base64.b64encode(letter * 32).decode() for letter in (b"k", b"o"))
    slow = ("600/min", "{rate: 1/d, burst: 1099511627776}")
    more = f"cache: {{c: {{encrypt: {first}}}}}\nlimits: {{some: {{requests: 600/min}}}}"
    post = request(body=CHAT, headers=["Idempotency-Key: one"])
    async with (
        Scripted([says(json_answer())]) as upstream,
        program(tmp_path, upstream.port, more=more, tenant=", limits: some") as running,
    ):
        await ask(running.port, post)
        refused = await _reloaded(running, tmp_path, (first, second), slow)
        shown = running.worker.caches.status()["caches"]
        mended = await _reloaded(running, tmp_path, (second, first), slow[::-1])
        again = await ask(running.port, post)

    assert "too large for so slow a rate" in refused[0]
    assert not mended
    assert shown["idempotency"]["entries"] == 1
    assert again.headers["idempotent-replayed"] == "true"
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("more", ["", "rotate: 2MiB"], ids=["unchanged", "changed"])
async def test_rows_that_no_disk_took_outlive_a_reload(tmp_path, more):
    folder = tmp_path / "gone"
    usage = f"usage: {{to: {folder}/u.jsonl, keep: 5}}, "
    async with (
        Scripted([says(json_answer())]) as upstream,
        program(tmp_path, upstream.port, usage=usage) as running,
    ):
        for _ in range(3):
            await ask(running.port, request(body=CHAT))
        await running.settled()
        running.worker.accounts._file.lost = 2
        assert await _reloaded(running, tmp_path, ("keep: 5", more or "keep: 5")) == []
        folder.mkdir()
        running.worker.accounts.sweep()
        rows = (folder / "u.jsonl").read_bytes().splitlines()
        gauges = {name: value for name, _, _, value in running.worker.accounts.gauges()}

    assert len(rows) == 3
    assert gauges["sidestream_usage_rows_lost"] == 2


async def test_timeouts_of_clients_and_the_drain_follow_a_reload(tmp_path):
    async with Scripted([]) as upstream, program(tmp_path, upstream.port) as running:
        clients = running.worker.clients
        changes = (
            ("process: {}", "process: {header_timeout: 2s, body_timeout: 3s, idle_timeout: 4s}"),
            ("grace: 1s", "grace: 5ms"),
        )
        assert await _reloaded(running, tmp_path, *changes) == []

        assert (clients.header_s, clients.body_s, clients.idle_s) == (2, 3, 4)
        assert running.worker._settings.drain.grace == 0.005


async def test_what_takes_a_restart_is_said_and_stays(tmp_path, caplog):
    """A gate's share is of the workers that run, not of those that are wished for."""
    path = tmp_path / "sidestream.yaml"
    async with (
        Scripted([]) as upstream,
        program(tmp_path, upstream.port, kind="generic, concurrency: {max: 8}") as running,
    ):
        before = path.read_text()
        path.write_text(
            before.replace('requests: "off"', 'requests: "stdout"').replace(
                "process: {}", "process: {max_header: 4KiB, max_stream_duration: 2h}"
            ).replace("listen: 127.0.0.1:0", "listen: 127.0.0.1:1").replace('127.0.0.1:0"', '127.0.0.1:2"')
            + "workers: 4\nstore: {timeout: 1s, lease: 9s, rows: 7}\n"
        )  # fmt: skip
        headers = ("Authorization: Bearer admin-token",)
        told = await ask(
            running.worker.admin_port, request("/api/reload", key=None, headers=headers)
        )
        (gate,) = running.worker.app.status()["queues"]
        path.write_text(before)
        problems = await running.worker.reloader.reload()
        again = await ask(
            running.worker.admin_port, request("/api/reload", key=None, headers=headers)
        )

    notes = told.json["notes"]
    assert told.json["reloaded"]
    assert [note.split(": ")[1] for note in notes] == [
        "$.listen", "$.admin.listen", "$.workers", "$.store.timeout", "$.store.lease",
        "$.store.rows", "$.process.max_header", "$.process.max_stream_duration", "$.log.requests",
    ]  # fmt: skip
    assert all(
        note.endswith("a change takes a restart; until then it stays as it was") for note in notes
    )
    assert set(notes) <= set(caplog.messages)
    assert gate["max"] == 8
    assert problems == []
    assert again.json["notes"] == []


async def test_without_a_token_only_who_asks_from_here_sees_the_status(tmp_path):
    """The parent of several workers asks for others and says for whom."""
    async with Scripted([]) as upstream, program(tmp_path, upstream.port) as running:
        assert await _reloaded(running, tmp_path, (", token: admin-token", "")) == []
        answers = [
            await ask(
                running.worker.admin_port,
                request("/status", method="GET", key=None, headers=(f"x-sidestream-from: {who}",)),
            )
            for who in ("127.0.0.1", "", "192.0.2.7")
        ]

    assert [answer.status for answer in answers] == [200, 200, 401]


async def test_deadlines_go_on_after_a_sweep_that_failed(tmp_path, monkeypatch):
    async with (
        Scripted([hangs]) as upstream,
        program(tmp_path, upstream.port, idle="300ms") as running,
    ):
        fleet = running.worker.app._fleet
        really, failed = fleet.sweep, []

        def sweep(now):
            if not failed:
                failed.append(now)
                raise RuntimeError
            really(now)

        monkeypatch.setattr(fleet, "sweep", sweep)
        async with asyncio.timeout(5):
            answer = await ask(running.port, request(body=STREAM))

    assert failed
    assert b"error" in answer.body
