"""What metrics, headers and log lines say of a request that went wrong or waited."""

import contextlib

import orjson
import pytest

from tests.program import CHAT, ask, program, request
from tests.scripted import Scripted, json_answer, says

REFUSED = {"error": {"message": "no", "type": "x", "param": None, "code": None}}


async def metrics_of(running):
    answer = await ask(running.worker.admin_port, request("/metrics", method="GET", key=None))
    return answer.body.decode()


@pytest.mark.parametrize(
    ("status", "fault"), [(500, "upstream"), (429, "upstream"), (401, "upstream"), (400, "client")]
)
async def test_an_error_of_the_provider_is_counted_and_logged_by_whose_fault_it_is(
    tmp_path, log_lines, status, fault
):
    async with (
        Scripted([says(json_answer(REFUSED, status))]) as up,
        program(tmp_path, up.port, attempts=2, requests="stdout") as running,
    ):
        answer = await ask(running.port, request(body=CHAT))
        metrics = await metrics_of(running)

    line = orjson.loads(log_lines()[0])
    assert (answer.status, answer.json["error"]["message"]) == (status, "no")
    assert f'sidestream_errors_total{{code="upstream_{status}",fault="{fault}"}} 1.0' in metrics
    assert (line["end"], line["fault"], line["error"]) == ("complete", fault, f"upstream_{status}")


@contextlib.asynccontextmanager
async def passing_through(tmp_path):
    """Runs where the clients' own keys go through, and the provider refuses them."""
    routes = "  - {name: t, match: {model: m}, targets: [{upstream: through}]}"
    async with Scripted([says(json_answer(REFUSED, 401))]) as up:
        through = (
            "  through: {kind: generic, passthrough: true,"
            f' base_url: "http://127.0.0.1:{up.port}/v1"}}'
        )
        async with program(tmp_path, up.port, upstreams=through, routes=routes) as running:
            yield running


async def test_a_key_that_the_client_sent_through_is_its_own_fault(tmp_path):
    async with passing_through(tmp_path) as running:
        await ask(running.port, request(body=CHAT))
        metrics = await metrics_of(running)

    assert 'sidestream_errors_total{code="upstream_401",fault="client"} 1.0' in metrics


@pytest.mark.parametrize("more", ["", "cached"])
async def test_a_pause_between_attempts_is_not_our_overhead(tmp_path, log_lines, more):
    busy = json_answer(REFUSED, 503, ("retry-after-ms: 80",))
    parts = {"more": "cache: {c: {}}"} if more else {}
    cache = ", cache: c" if more else ""
    routes = (
        "  - {name: r, match: {model: m}, targets: [{upstream: main}],"
        f" retry: {{attempts: 2}}{cache}}}"
    )
    async with (
        Scripted([says(busy), says(json_answer())]) as up,
        program(tmp_path, up.port, routes=routes, requests="stdout", **parts) as running,
    ):
        answer = await ask(running.port, request(body={**CHAT, "temperature": 0}))

    timing = dict(part.split(";dur=") for part in answer.headers["server-timing"].split(", "))
    assert answer.headers["x-sidestream-attempts"] == "2"
    assert float(timing["retry"]) >= 79
    assert float(answer.headers["x-sidestream-overhead-ms"]) < 60
    assert orjson.loads(log_lines()[0])["retry_ms"] >= 79


@pytest.mark.parametrize("status", [401, 403])
async def test_a_provider_that_refuses_our_key_is_told_once_a_minute(tmp_path, caplog, status):
    refused = json_answer(REFUSED, status)
    async with (
        Scripted([says(refused)]) as up,
        program(tmp_path, up.port) as running,
    ):
        answers = [await ask(running.port, request(body=CHAT)) for _ in range(3)]
        upstream = running.worker.plane.current.pipeline._forward._upstreams["main"]
        upstream.silent_until = 0.0
        answers.append(await ask(running.port, request(body=CHAT)))

    told = [record for record in caplog.records if "refuses our key" in record.getMessage()]
    assert [record.levelname for record in told] == ["WARNING", "WARNING"]
    assert f"upstream main: the provider refuses our key (status {status})" in told[0].getMessage()
    assert "sk-" not in caplog.text
    assert {answer.status for answer in answers} == {status}
    assert {answer.body for answer in answers} == {orjson.dumps(REFUSED)}


async def test_a_key_of_the_clients_own_is_no_warning(tmp_path, caplog):
    async with passing_through(tmp_path) as running:
        await ask(running.port, request(body=CHAT))

    assert "refuses our key" not in caplog.text
