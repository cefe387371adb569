"""What a log line says."""

import orjson
import pytest

from proxy.core.errors import BadRequest
from proxy.core.exchange import End, Usage
from proxy.core.plan import Plan, Target
from proxy.observe.log import hash_of, line_for
from tests.kit import exchange

NOTHING = {
    "tenant": None, "key": None, "user": None, "method": "POST", "endpoint": "chat", "route": None,
    "target": None, "model": None, "upstream_model": None, "stream": False, "status": 0,
    "end": "complete", "attempts": 0, "duration_ms": 1500.0, "upstream_ms": 0.0, "ttft_ms": None,
    "events": 0, "bytes": 0,
}  # fmt: skip


def read(x, end):
    line = line_for(x, end, 1.5, 1_800_000_000.1239)
    assert line.endswith(b"}\n")
    said = orjson.loads(line)
    assert said.pop("id") == x.id
    assert said.pop("time") == pytest.approx(1_800_000_000.124)
    return said


def test_a_line_of_nothing_has_every_field():
    assert read(exchange(), End("complete")) == NOTHING


def test_a_line_names_who_and_what_and_how_long():
    target = Target("main", "main", "big")
    x = exchange(
        tenant="acme", key_name="one", user="alice", plan=Plan("chat", (target,)), target=target,
        model='a "quoted" \\ name', stream=True, status=200, attempts=2, upstream_s=0.25,
        first_byte_at=0.5, events=7, sent_bytes=99, usage=Usage(3, 4, 1), cost_nanos=5_000,
        queued_s=0.1, retried_s=0.5, finish="stop", tags={"team": "x"},
    )  # fmt: skip
    x.notes["cache"] = "memory"

    assert read(x, End("complete")) == NOTHING | {
        "tenant": "acme", "key": "one", "user": hash_of("alice"), "route": "chat",
        "target": "main", "model": 'a "quoted" \\ name', "upstream_model": "big", "stream": True,
        "status": 200, "attempts": 2, "upstream_ms": 250.0, "ttft_ms": 500.0, "events": 7,
        "bytes": 99, "tokens_in": 3, "tokens_out": 4, "tokens_cached": 1, "cost_usd": 0.000005,
        "queue_ms": 100.0, "retry_ms": 500.0, "finish": "stop", "tags": {"team": "x"}, "notes": {"cache": "memory"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (End("refused", BadRequest("no")), {"error": "invalid_request_error", "fault": "client"}),
        (End("refused", ValueError("secret")), {"error": "ValueError"}),
        (End("client_gone", ConnectionError()), {"status": 499}),
    ],
)
def test_a_line_says_what_went_wrong_and_never_in_whose_words(end, said):
    assert read(exchange(), end) == NOTHING | {"end": end.kind} | said


def test_lines_of_two_requests_that_differ_in_one_thing_differ():
    one, two = exchange(tenant="a", user="alice"), exchange(tenant="a", user="bob")

    assert read(one, End("complete"))["user"] != read(two, End("complete"))["user"]
